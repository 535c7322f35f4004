// Predict first: native radio buttons or a range, kept by a button that then becomes "Change it".

import { h, listen, readout } from "./parts.js";

// state: { draft, kept }. What is chosen but not kept is a draft; kept is null until there is one.
export function reduce(state, event) {
  if (event.type === "choose") return state.kept === null ? { ...state, draft: event.value } : state;
  if (event.type === "press" && state.kept !== null) return { draft: state.kept, kept: null };
  if (event.type === "press" && state.draft !== null) return { ...state, kept: state.draft };
  if (event.type === "arrive") {
    return event.value === null ? { ...state, kept: null } : { draft: event.value, kept: event.value };
  }
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
  const name = `predict-${Math.random()}`;
  const inputs = options.map((text) =>
    h("input", { type: "radio", name, value: text, onchange: () => choose(text) }));
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
  const range = h("input", { type: "range", min: low, max: high, step: "any", "aria-label": question,
    oninput: () => choose(tidy(snapped(Number(range.value)), step)), onkeydown: (event) => press(event) });
  const number = h("output", { class: "tl-number" });
  const snapped = (x) => Math.min(high, low + Math.round((x - low) / step) * step);
  const press = (event) => {
    const turn = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
    if (!turn || range.disabled) return;
    event.preventDefault();
    choose(tidy(Math.max(low, snapped(Number(range.value) + turn * step)), step));
  };
  return {
    elements: [h("div", { class: "tl-row" }, range, number)],
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
  const middle = options.length ? null : tidy(low + step * Math.round((high - low) / 2 / step), step);
  let state = reduce({ draft: middle, kept: null }, { type: "arrive", value: model.get("answer") ?? null });

  const act = (event) => {
    const before = state.kept;
    state = reduce(state, event);
    show();
    if (event.type !== "press" || state.kept === before || state.kept === null) return;
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
  return listen(model, {
    "change:answer": () => act({ type: "arrive", value: model.get("answer") ?? null }),
  });
}

export default { render };
