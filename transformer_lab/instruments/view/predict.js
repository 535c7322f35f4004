// Predict first: native radio buttons or a range, kept by a button that then becomes "Change it".

import { h, listen, readout } from "./parts.js";

// state: { draft, kept }. What is chosen but not kept is a draft; kept is null until there is one.
export function reduce(state, event) {
  const { draft, kept } = state;
  if (event.type === "choose") return kept === null ? { draft: event.value, kept } : state;
  if (event.type === "press") return { draft, kept: kept === null ? draft : null };
  if (event.type === "arrive") return { draft: event.value ?? draft, kept: event.value };
  return state;
}

// The sentence below the question, and the words on the button.
export function words(state, unit, offline) {
  if (state.kept === null) return { sentence: "", button: "This is my answer" };
  const next = offline ? "Now read on." : "Now run the next cells.";
  return { sentence: `Kept: ${amount(state.kept, unit)}. ${next}`, button: "Change it" };
}

export function amount(value, unit) {
  return unit ? `${value} ${unit}` : value;
}

// A slider's number with as many places as its step has, at most six.
export function tidy(number, step) {
  const places = Math.min(6, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  return String(Number(number.toFixed(places)));
}

function radios(options, choose) {
  const inputs = options.map((text) =>
    h("input", { type: "radio", name: "answer", value: text, onchange: () => choose(text) }));
  const rows = inputs.map((input, i) =>
    h("label", { class: "tl-choice" }, input, h("span", {}, options[i])));
  return {
    elements: rows,
    show(draft, locked) {
      inputs.forEach((input, i) => {
        input.checked = options[i] === draft;
        input.disabled = locked && options[i] !== draft;
      });
    },
  };
}

function slider(low, high, step, unit, question, choose) {
  const range = h("input", { type: "range", min: low, max: high, step, "aria-label": question,
    oninput: () => choose(tidy(Number(range.value), step)) });
  const number = h("b", { class: "tl-number" });
  return {
    elements: [h("div", { class: "tl-row" },
      h("span", { class: "tl-quiet" }, String(low)), range,
      h("span", { class: "tl-quiet" }, String(high)), number)],
    show(draft, locked) {
      range.value = draft;
      range.disabled = locked;
      number.textContent = amount(draft, unit);
      range.setAttribute("aria-valuetext", amount(draft, unit));
    },
  };
}

function render({ model, el }) {
  const options = model.get("options"), unit = model.get("unit"), question = model.get("question");
  const [low, high, step] = ["low", "high", "step"].map((name) => model.get(name));
  const answer = () => ({ type: "arrive", value: model.get("answer") ?? null });
  const middle = low + step * Math.round((high - low) / 2 / step);
  const draft = options.length ? null : tidy(middle, step);
  let state = reduce({ draft, kept: null }, answer());

  const act = (event) => {
    state = reduce(state, event);
    show();
    if (event.type !== "press") return;
    button.focus(); // what had it may be disabled now
    if (state.kept === null) return;
    model.set("answer", state.kept);
    model.save_changes();
  };
  const choose = (value) => act({ type: "choose", value });
  const field = options.length ? radios(options, choose)
    : slider(low, high, step, unit, question, choose);
  const said = readout();
  const button = h("button", { type: "submit" });
  const submit = (event) => { event.preventDefault(); act({ type: "press" }); };
  const show = () => {
    const { sentence, button: label } = words(state, unit, model.get("offline"));
    field.show(state.draft, state.kept !== null);
    button.textContent = label;
    button.disabled = state.draft === null;
    said.say(sentence);
  };
  el.classList.add("tl");
  el.append(h("form", { class: "tl-predict", onsubmit: submit },
    h("fieldset", {}, h("legend", {}, question), ...field.elements),
    h("div", { class: "tl-row" }, button, said.element)));
  show();
  return listen(model, { "change:answer": () => act(answer()) });
}

export default { render };
