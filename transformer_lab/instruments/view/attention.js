// The attention explorer: all heads small, one head large, the text with its looks, two heads
// compared. Everything but `draw` is pure.

import { drawHeads, headName } from "./heads.js";
import { drawZoom } from "./zoom.js";
import { drawText, sameTokens } from "./text.js";
import { cividis, diverging } from "./matrix.js";
import { bytes, copy, csv, floats, h, linked, listen, probabilities, reword, readout, table, widget }
  from "./parts.js";
import { names, rank } from "./tokens.js";

const HINT = "Point at a token or a cell, or use Tab and the arrow keys. A click or Enter keeps it.";

// What Python sent, with numbers as typed arrays. `at(layer, head)` is undefined if not sent.
export function read(content) {
  const rows = content.rows, columns = content.columns ?? rows;
  const size = rows.length * columns.length;
  const weights = content.sent.length ? probabilities(content.weights) : new Float32Array();
  const place = new Map(content.sent.map(([layer, head], i) => [`${layer}/${head}`, i * size]));
  const heads = content.layers.flatMap((layer) =>
    Array.from({ length: content.count }, (_, head) => [layer, head]));
  const values = floats(content.values);
  return {
    ...content, rows, columns, heads, self: !content.columns,
    rowNames: names(rows), columnNames: names(columns),
    mask: content.mask ? bytes(content.mask) : null,
    thumbs: content.thumbs ? bytes(content.thumbs) : null,
    scores: content.scores.map(([key, name, meaning, low], i) => ({
      key, name, meaning, low, values: values.subarray(i * heads.length, (i + 1) * heads.length),
    })),
    at(layer, head) {
      const from = place.get(`${layer}/${head}`);
      return from === undefined ? undefined : weights.subarray(from, from + size);
    },
  };
}

// The view's state. `chosen` was clicked or kept with Enter, `point` is only under the pointer or
// the cursor: {row, column}, where null stands for the whole row or column.
export function begin(get) {
  const query = get("query"), pinned = get("pinned");
  return {
    layer: get("layer"), head: get("head"), pinned, sort: get("sort"), point: null,
    chosen: query === null ? null : { row: query, column: null },
    scale: "plain", difference: pinned.length === 2, table: false,
  };
}

export function reduce(state, event) {
  switch (event.type) {
    case "head":
      return { ...state, layer: event.layer, head: event.head, difference: false };
    case "pin": {
      const here = [state.layer, state.head];
      const others = state.pinned.filter(([a, b]) => a !== here[0] || b !== here[1]);
      const pinned = others.length < state.pinned.length ? others : [...others.slice(0, 1), here];
      return { ...state, pinned, difference: pinned.length === 2 };
    }
    case "unpin":
      return { ...state, pinned: [], difference: false };
    case "difference":
      return { ...state, difference: event.on && state.pinned.length === 2 };
    case "point":
      return { ...state, point: event.cell };
    case "choose":
      return { ...state, chosen: event.cell, point: null };
    case "set":
      return { ...state, ...event.values };
    default:
      return state;
  }
}

// What the large matrix shows; `values` is undefined while they are on their way.
export function shown(data, state) {
  if (!state.difference) {
    const values = data.at(state.layer, state.head);
    return { values, name: `layer ${state.layer} head ${state.head}`, signed: false, colour: cividis };
  }
  const [a, b] = state.pinned.map((place) => data.at(...place));
  const values = a && b && a.map((x, i) => x - b[i]);
  let limit = 0.01;
  values?.forEach((x) => { limit = Math.max(limit, Math.abs(x)); });
  const [one, two] = state.pinned.map(([layer, head]) => `layer ${layer} head ${head}`);
  return { values, name: `${one} − ${two}`, signed: true, limit, colour: diverging,
    signs: `orange: more in ${one}, blue: more in ${two}` };
}

// The sentence that reads out a cell, a row or a column.
export function sentence(data, state, view) {
  const cell = state.point ?? state.chosen, across = data.columns.length;
  if (!view.values) {
    return data.offline ? `${view.name}: its weights are in the notebook, not on this page.`
      : `${view.name}: its weights are on their way.`;
  }
  if (!cell) return HINT;
  const from = data.rowNames[cell.row], to = data.columnNames[cell.column];
  const signed = (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(3);
  const number = view.signed ? signed : (x) => x.toFixed(3);
  const top = (values, labels) => Array.from(values, (x, i) => [x, labels[i]])
    .sort((a, b) => Math.abs(b[0]) - Math.abs(a[0])).slice(0, 2).filter(([x]) => x !== 0)
    .map(([x, label]) => `${label} ${number(x)}`).join(", then ");
  const column = (s) => data.rows.map((_, t) => view.values[t * across + s]);
  if (cell.row === null) {
    return `${view.name}: ${to} is attended to most by ${top(column(cell.column), data.rowNames)}`;
  }
  const row = view.values.subarray(cell.row * across, (cell.row + 1) * across);
  if (cell.column === null) {
    const out = top(row, data.columnNames);
    if (!out) return `${view.name}: ${from} attends to nothing`;
    if (view.signed) return `${view.name}: ${from} differs most at ${out}`;
    const into = data.self ? top(column(cell.row), data.rowNames) : "";
    return `${view.name}: ${from} attends most to ${out}`
      + (into ? `. It is attended to most by ${into}` : "");
  }
  const at = cell.row * across + cell.column;
  if (data.mask && !data.mask[at]) return `${view.name}: ${from} may not look at ${to} (masked)`;
  if (view.signed) {
    const [a, b] = state.pinned.map((place) => data.at(...place)[at].toFixed(3));
    return `${view.name}: ${from} to ${to} is ${a} − ${b} = ${signed(row[cell.column])}`;
  }
  const allowed = data.mask ? row.filter((_, s) => data.mask[cell.row * across + s]).length : across;
  return `${view.name}: ${from} attends to ${to}, weight ${number(row[cell.column])}, `
    + `rank ${rank(row, cell.column)} of ${allowed}`;
}

const SYNCED = ["layer", "head", "pinned", "sort"];

function draw(model, place) {
  const receive = () => ({ ...read(model.get("content")), offline: Boolean(model.get("offline")) });
  let data = receive(), state = begin((name) => model.get(name));
  let view = shown(data, state), waiting = false;

  function act(event) {
    const before = state;
    state = reduce(state, event);
    if (state.layer !== before.layer || state.head !== before.head || state.pinned !== before.pinned
      || state.difference !== before.difference) view = shown(data, state);
    tell();
    const row = state.chosen?.row ?? null;
    if (row !== null && row !== (before.chosen?.row ?? null)) link.tell(row);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const link = linked(model, (row) => {
    if (row in data.rows && row !== state.chosen?.row) act({ type: "choose", cell: { row, column: null } });
  });

  // Hovering stays here; what Python may want to know is sent.
  function tell() {
    const values = { query: state.chosen?.row ?? null };
    for (const name of SYNCED) values[name] = state[name];
    const news = Object.entries(values).filter(([name, value]) =>
      JSON.stringify(model.get(name)) !== JSON.stringify(value));
    news.forEach(([name, value]) => model.set(name, value));
    if (news.length) model.save_changes();
  }

  // Two keys may come within one frame: what acts must ask for the state as it is now.
  const now = () => state;
  const heads = drawHeads(act, now), zoom = drawZoom(act, now), text = drawText(act);
  const said = readout(), notice = h("p", { class: "tl-notice" });
  const title = h("h3", {});
  const own = ownSentence(model);
  const below = h("div"), note = h("span", { class: "tl-quiet", role: "status" });
  const tableButton = h("button", { type: "button", "aria-expanded": "false",
    onclick: () => act({ type: "set", values: { table: !state.table } }) }, "Show as table");
  const csvButton = h("button", { type: "button", async onclick() {
    const done = await copy(csv(data.rows, data.columns, view.values, (x) => x.toFixed(5)));
    note.textContent = done ? `Copied ${data.rows.length} × ${data.columns.length} weights.`
      : "The browser did not allow copying; show the table and copy from there.";
  } }, "Copy as CSV");
  const tools = h("div", { class: "tl-row" }, tableButton, csvButton, note);
  const panels = h("div", { class: "tl-panels" }, heads.element, zoom.element);
  place.append(h("div", { class: "tl-looking" }, title, own.element, notice, text.element, said.element,
    panels, tools, below));

  function show() {
    waiting = false;
    const tiny = !data.sent.length;
    reword(title, data.title);
    title.hidden = !data.title;
    notice.hidden = !tiny;
    reword(notice, `This text has ${Math.max(data.rows.length, data.columns.length)} tokens; `
      + `up to ${data.cap} are drawn. Here is one score for each head.`);
    for (const element of [text.element, zoom.element, tools]) element.hidden = tiny;
    heads.update(data, state);
    if (tiny) return said.say(`${headName(data, state, data.heads.findIndex(
      ([a, b]) => a === state.layer && b === state.head))}`);
    zoom.update(data, state, view);
    text.update(data, state, view);
    said.say(sentence(data, state, view));
    reword(tableButton, state.table ? "Hide the table" : "Show as table");
    tableButton.setAttribute("aria-expanded", String(state.table));
    const wanted = state.table && view.values ? view : null;
    if (below.view === wanted) return;
    below.view = wanted;
    below.replaceChildren(...(wanted ? [table(`${view.name}: rows look, columns are looked at`,
      data.rowNames, data.columnNames, view.values, (x, t, s) =>
        (data.mask && !data.mask[t * data.columns.length + s] ? "masked" : x.toFixed(3)))] : []));
  }

  const sized = new ResizeObserver(() => {
    zoom.resize(zoom.element.clientWidth);
    text.resize();
  });
  sized.observe(place);
  const follow = (name) => () => {
    if (model.get(name) !== state[name]) act({ type: "set", values: { [name]: model.get(name) } });
  };
  const stop = listen(model, {
    ...Object.fromEntries(SYNCED.map((name) => [`change:${name}`, follow(name)])),
    "change:query"() {
      const query = model.get("query");
      if (query !== (state.chosen?.row ?? null)) {
        act({ type: "choose", cell: query === null ? null : { row: query, column: null } });
      }
    },
    "change:content"() {
      const old = data;
      data = receive();
      state = { ...begin((name) => model.get(name)), scale: state.scale, table: state.table,
        difference: state.difference && model.get("pinned").length === 2,
        ...(sameTokens(old, data) ? { chosen: state.chosen, point: state.point } : {}) };
      view = shown(data, state);
      act({ type: "none" });
    },
  });
  show();
  return () => { stop(); own.stop(); link.stop(); sized.disconnect(); };
}

// The box for the learner's own sentence, where Python can read one.
export function ownSentence(model) {
  if (!model.get("content").reads) return { element: "", stop() {} };
  const offline = Boolean(model.get("offline"));
  const box = h("input", { type: "text", value: model.get("text"), disabled: offline,
    "aria-label": "Your own sentence", placeholder: "Type your own sentence" });
  const go = h("button", { type: "submit", disabled: offline }, "Read it");
  const note = h("p", { class: "tl-quiet", role: "status" });
  const answer = () => {
    note.textContent = offline
      ? "Reading a new sentence needs the notebook: this page carries no model."
      : model.get("message");
  };
  const submit = (event) => {
    event.preventDefault();
    if (!box.value.trim()) note.textContent = "Type a word or a sentence first.";
    else if (box.value !== model.get("text")) {
      note.textContent = "Reading … (a notebook that runs other cells answers when they are done)";
      model.set("message", "");
      model.set("text", box.value);
      model.save_changes();
    }
  };
  const stop = listen(model, { "change:message": answer, "change:content": answer,
    "change:text": () => { box.value = model.get("text"); } });
  // JupyterLab takes Enter before the form hears of it.
  box.addEventListener("keydown", (event) => { if (event.key === "Enter") submit(event); });
  answer();
  return { element: h("form", { class: "tl-own", onsubmit: submit }, h("div", { class: "tl-row" }, box, go), note), stop };
}

export default widget(draw);
