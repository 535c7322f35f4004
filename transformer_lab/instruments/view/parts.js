// The pieces of a page that every instrument needs. All text goes in as text, never as markup.

const FOCUSABLE = new Set(["button", "input", "select", "textarea", "summary", "a"]);

// h("button", { class: "x", onclick: f, "aria-label": "…" }, "text", child, …)
// A focusable element is marked so that JupyterLab leaves its keys alone: without the mark, d d
// in a focused button deletes the cell. The mark must sit on the element itself.
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  if (FOCUSABLE.has(tag) || "tabindex" in properties) {
    element.setAttribute("data-lm-suppress-shortcuts", "true");
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// A labelled native select: options are [value, text] pairs.
export function select(label, options, value, change) {
  const list = h("select", { onchange: () => change(list.value) },
    ...options.map(([key, text]) => h("option", { value: key }, text)));
  list.value = value;
  const element = h("label", { class: "tl-field" }, h("span", {}, label), list);
  return Object.assign(element, { list });
}

// New text, only where it is news: the same text written again would be laid out again.
export function reword(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// A sentence that a screen reader speaks when it changes.
export function readout() {
  const element = h("p", { class: "tl-readout", "aria-live": "polite", role: "status" });
  return { element, say(text) { reword(element, text); } };
}

// A real table: `rows` and `columns` are names, values go row by row.
export function table(caption, rows, columns, values, format) {
  const head = h("tr", {}, h("td"), ...columns.map((c) => h("th", { scope: "col" }, c)));
  const body = rows.map((name, i) => h("tr", {}, h("th", { scope: "row" }, name),
    ...columns.map((_, j) => h("td", {}, format(values[i * columns.length + j], i, j)))));
  return h("div", { class: "tl-table", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...body)));
}

// Comma-separated values, quoted where a name needs it.
export function csv(rows, columns, values, format = (x) => String(x)) {
  const quote = (name) => (/[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
  const lines = [["", ...columns.map(quote)].join(",")];
  rows.forEach((name, i) => lines.push([quote(name),
    ...columns.map((_, j) => format(values[i * columns.length + j]))].join(",")));
  return lines.join("\n") + "\n";
}

// True if the text reached the clipboard.
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { value: text, class: "tl-hidden" });
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// A colour bar with its ends named; `colour` maps [from, to] to [r, g, b].
export function legend(title, from, to, colour, format) {
  const stops = Array.from({ length: 17 }, (_, i) => from + ((to - from) * i) / 16);
  const bar = h("span", { class: "tl-bar" });
  bar.style.background = `linear-gradient(to right, ${
    stops.map((x) => `rgb(${colour(x).join(" ")})`).join(", ")})`;
  return h("span", { class: "tl-legend" }, h("span", {}, title),
    h("span", { class: "tl-number" }, format(from)), bar,
    h("span", { class: "tl-number" }, format(to)));
}

// Numbers from Python: bytes arrive as a DataView, at any offset.
export function probabilities(view) {
  const steps = new Uint16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  return Float32Array.from(steps, (step) => step / 65535);
}
export function floats(view) {
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}
export function bytes(view) {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

// Calls the listeners of `model` until the returned function is called.
export function listen(model, handlers) {
  for (const [name, handler] of Object.entries(handlers)) model.on(name, handler);
  return () => {
    for (const [name, handler] of Object.entries(handlers)) model.off(name, handler);
  };
}

// Messages to Python, at most one each 100 ms: one a frame would slow the hand. `tell` keeps those
// traits of `values` that are news; `send` sends at once, for the end.
export function mailbox(model, names) {
  let sending = null;
  function send() {
    clearTimeout(sending);
    if (sending !== null) model.save_changes();
    sending = null;
  }
  function tell(values) {
    const news = names.filter((name) =>
      JSON.stringify(model.get(name)) !== JSON.stringify(values[name]));
    news.forEach((name) => model.set(name, values[name]));
    if (news.length) sending ??= setTimeout(send, 100);
  }
  return { tell, send };
}

// Linked selection: `choose` is called with the index of a token that was chosen in another
// instrument of the same group on this page; `tell` says what was chosen here.
export function linked(model, choose) {
  const group = model.get("group"), from = {};
  if (!group) return { tell() {}, stop() {} };
  const hear = ({ detail }) => {
    if (detail.group === group && detail.from !== from) choose(detail.index);
  };
  document.addEventListener("tl-choose", hear);
  return {
    tell(index) {
      document.dispatchEvent(new CustomEvent("tl-choose", { detail: { group, from, index } }));
    },
    stop() { document.removeEventListener("tl-choose", hear); },
  };
}

// Predict first. Calls `draw(place)` at once if nothing is asked, else once the learner has
// answered or skipped; the answer is written to the model and stands above what is drawn.
function predictFirst(model, place, draw) {
  const show = () => {
    const question = model.get("question"), answer = model.get("answer");
    place.replaceChildren();
    place.classList.add("tl");
    if (!question) return draw(place);
    if (answer === null || answer === undefined) return place.append(ask(question));
    const said = answer === "" ? "You skipped this one." : `You said: ${answer}`;
    place.append(h("p", { class: "tl-said" }, h("span", {}, question), " ", h("b", {}, said)));
    const below = h("div");
    place.append(below);
    draw(below);
  };
  const reply = (answer) => { model.set("answer", answer); model.save_changes(); };
  const ask = (question) => {
    const choices = model.get("options").map((text) => h("label", { class: "tl-choice" },
      h("input", { type: "radio", name: "answer", value: text, onchange: () => go.disabled = false }),
      h("span", {}, text)));
    const go = h("button", { type: "submit", disabled: true }, "This is my answer");
    const send = (event) => {
      event.preventDefault();
      const chosen = choices.find((choice) => choice.firstChild.checked);
      if (chosen) reply(chosen.firstChild.value);
    };
    return h("form", { class: "tl-predict", onsubmit: send },
      h("fieldset", {}, h("legend", {}, question), ...choices),
      h("div", { class: "tl-row" }, go,
        h("button", { type: "button", onclick: () => reply("") }, "Skip")));
  };
  show();
  return listen(model, { "change:answer": show });
}

// What an instrument exports: `draw(model, place)` behind the question, if there is one. draw
// returns what must be called at the end.
export const widget = (draw) => ({ render({ model, el }) {
  let end = () => {};
  const stop = predictFirst(model, el, (place) => { end(); end = draw(model, place); });
  return () => { stop(); end(); };
} });
