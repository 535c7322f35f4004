// The Q/K/V stepper: attention as a strip of matrices, one step of it laid out as row times column.
// Everything but the functions that draw is pure.

import { drawCells, reachOf } from "./cells.js";
import { brief, fixed } from "./mix.js";
import { copy, csv, h, linked, listen, mailbox, table, widget } from "./parts.js";
import { axes, belongs, editable, flow, MATRICES, placeName, route, STEPS, strip, written }
  from "./stages.js";
import { visible } from "./tokens.js";

const INPUTS = ["states", "query_weight", "key_weight", "value_weight", "query", "key", "value",
  "mask", "scale"];
const SYNCED = [...INPUTS, "step", "token"];
const LIMIT = 1e6; // as in stepper.py
// Pixels of a cell: best, least in the step, least in the strip with numbers, and without.
const ROOMY = 42, TIGHT = 26, LEGIBLE = 29, BARE = 7;

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
const changed = (matrix, { row, column }, value) => matrix.map((line, i) => (i === row
  ? line.map((old, j) => (j === column ? value : old)) : line));

// The view's state: the inputs, the step, `at` (where each axis stands) and the chosen matrix.
export function begin(get) {
  const inputs = Object.fromEntries(SYNCED.map((name) => [name, get(name)]));
  return stepped({ ...inputs, at: { t: inputs.token, s: null, i: 0, j: 0, v: 0 } }, inputs.step);
}

// The step's result is chosen, at the token where the learner is; the key it looks at most.
function stepped(state, step) {
  let { s } = state.at;
  if (s === null) {
    const row = flow(state).weights[state.at.t];
    s = row.indexOf(Math.max(...row));
  }
  return { ...state, step, at: { ...state.at, s }, chosen: STEPS[step].shows.at(step === "given" ? 0 : -1) };
}

function picked(state, { matrix, row, column }) {
  const [a, b] = axes(matrix, state.step), at = { ...state.at, [a]: row, [b]: column };
  return { ...state, chosen: matrix, at, token: at.t };
}

// Where the chosen number stands in its matrix.
export const cursor = (state, matrix = state.chosen) => {
  const [a, b] = axes(matrix, state.step);
  return { row: state.at[a], column: state.at[b] };
};

const tidy = (x) => Math.min(LIMIT, Math.max(-LIMIT, x)) + 0;

export function reduce(state, event) {
  switch (event.type) {
    case "choose":
      return picked(state, event);
    case "step":
      return stepped(state, event.to);
    case "type":
      if (!editable(state.states, state.chosen) || state.chosen === "mask") return state;
      return { ...state, [state.chosen]: changed(state[state.chosen], cursor(state), tidy(event.value)) };
    case "toggle": {
      const chosen = picked(state, { ...event, matrix: "mask" }), at = cursor(chosen);
      return { ...chosen, mask: changed(state.mask, at, !state.mask[at.row][at.column]) };
    }
    case "mask":
      return { ...state, mask: state.mask.map((row, t) => row.map((_, s) =>
        event.kind === "all" || s <= t + row.length - state.mask.length)) };
    case "scale":
      return { ...state, scale: event.value };
    case "token":
      return { ...state, token: event.index, at: { ...state.at, t: event.index } };
    case "set":
      return arrived({ ...state, ...event.values }, event.values);
    default:
      return state;
  }
}

function arrived(state, values) {
  const moved = "token" in values ? { ...state, at: { ...state.at, t: values.token } } : state;
  return "step" in values ? stepped(moved, values.step) : moved;
}

// Pixels of a cell: of each line of the strip, as large as fits in one line or in two, or else
// without numbers; and of the step's, and whether there is room to lay out row times column.
export function layout(width, state, m, letters) {
  const across = (name) => m[name][0].length, lines = strip(state.states);
  // A tile has a frame and a gap, and its name needs some room; its cells are a pixel apart.
  const fits = (line, room) => {
    const total = line.reduce((sum, [name]) => sum + across(name), 0);
    return Math.floor((room - line.length * 19 - total) / total);
  };
  const one = fits(lines.flat(), width);
  const rooms = lines.map((line) => [width, 2 * width - 120].map((room) => fits(line, room))
    .find((size) => size >= LEGIBLE) ?? 0);
  const small = one >= LEGIBLE ? lines.map(() => one) : rooms;
  const { shows, product, turns } = STEPS[state.step], gutter = Math.min(84, 7.4 * letters + 10);
  const wide = shows.map((name) => (name === turns ? m[name].length : across(name)));
  const paired = product ? (width - 2 * gutter - 40) / (wide[0] + wide[1]) : 0;
  const alone = (width - gutter - 16) / Math.max(...wide);
  const cell = (room) => Math.max(TIGHT, Math.min(ROOMY, Math.floor(room - 1))); // a pixel between
  return { small: small.map((size) => (small.every(Boolean) ? Math.min(36, size) : BARE)), lines: one >= LEGIBLE ? 1 : 2, gutter,
    corner: paired > TIGHT,
    cell: cell(paired > TIGHT ? paired : alone) };
}

// One sentence on what the step's result now says.
export function outcome(state, m, labels) {
  const { t } = state.at, token = labels.tokens[t], row = m.weights[t];
  const out = `(${m.output[t].map((x) => fixed(x)).join(", ")})`;
  if (!state.mask[t].some(Boolean)) {
    return `${token} may look at nothing: its weights and its output are 0.`;
  }
  const most = row.indexOf(Math.max(...row));
  return `${token} looks most at ${labels.looked[most]}: weight ${row[most].toFixed(3)}. `
    + `Its output is ${out}.`;
}

const HINTS = { here: "Underlined numbers can be changed: choose one, then type or use the slider.",
  before: "These numbers follow from those before. Go back to change them." };
const cutTo = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);
const numbered = (tokens, names) => tokens.map((token, i) => cutTo(visible(token), 8)
  + (names[i].endsWith(`(${i})`) ? ` ${i}` : ""));

function draw(model, el) {
  const { tokens, looked, token_names: tokenNames, looked_names: lookedNames, title, ...start }
    = model.get("start");
  const labels = { tokens: tokenNames, looked: lookedNames };
  const axis = { t: numbered(tokens, tokenNames), s: numbered(looked, lookedNames) };
  const letters = Math.max(1, ...axis.t.map((x) => x.length), ...axis.s.map((x) => x.length));
  let state = begin((name) => model.get(name)), point = null, waiting = false;
  let open = false, width = 0;

  function act(event) {
    const before = state.at.t;
    state = reduce(state, event);
    point = null;
    if (state.at.t !== before && event.type !== "token") group.tell(state.at.t);
    tell(state);
    later();
  }
  function later() {
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const { tell, send } = mailbox(model, SYNCED);
  const group = linked(model, (index) => {
    if (index >= 0 && index < tokens.length) act({ type: "token", index });
  });

  // The strip: every matrix small, and a button to its step.
  const lines = strip(state.states).map((line, at) => line.map(([name, step, how]) => {
    const cells = drawCells();
    const button = h("button", { type: "button", class: "tl-tile", onclick() {
      act({ type: "step", to: step });
      if (name !== state.chosen) act({ type: "choose", matrix: name, ...cursor(state, name) });
    } }, h("span", { class: `tl-${MATRICES[name].role}-ink` }, MATRICES[name].sign),
    h("span", { class: "tl-quiet" }, how), cells.element);
    return { name, cells, button, at };
  }));
  const tiles = lines.flat();
  const way = h("div", { class: "tl-strip", role: "group", "aria-label": "steps" },
    ...lines.map((line) => h("div", {}, ...line.map(({ button }) => button))));

  // The step itself.
  const go = (by) => () => {
    const steps = route(state.states), to = steps[steps.indexOf(state.step) + by] ?? steps[0];
    act({ type: "step", to });
  };
  const back = h("button", { type: "button", onclick: go(-1) }, "Back");
  const next = h("button", { type: "button", onclick: go(1) }, "Next");
  const heading = h("h4", {}), words = h("p", { class: "tl-quiet" });
  const desk = h("div", { class: "tl-board-of" });
  const shown = {};
  const piece = (name) => (shown[name] ??= figure(name));

  function figure(name) {
    const turns = () => STEPS[state.step].turns === name;
    const mine = (cell) => (cell && turns() ? { row: cell.column, column: cell.row } : cell);
    const cells = drawCells({
      point(cell) { point = cell && { type: "choose", matrix: name, ...mine(cell) }; later(); },
      choose(cell, key) {
        if (name === "mask" && !key) act({ type: "toggle", ...cell });
        else act({ type: "choose", matrix: name, ...mine(cell) });
      },
      key(event) {
        if (!editable(state.states, name) || event.ctrlKey) return false;
        const typed = /^[-.0-9]$/.test(event.key);
        if (!typed && event.key !== "Enter" && event.key !== " ") return false;
        act({ type: "choose", matrix: name, ...cursor(state, name) });
        if (name === "mask") { if (!typed) act({ type: "toggle", ...cursor(state) }); return true; }
        home = cells.element;
        show();
        number.value = typed ? "" : number.value;
        number.focus();
        if (!typed) number.select();
        return !typed;
      },
    });
    const caption = h("figcaption");
    return { cells, caption, element: h("figure", { class: "tl-cells-piece" }, caption, cells.element), mine };
  }

  // What is chosen: how it comes about, and a hand on it.
  let home = null, typing = false;
  const sum = h("p", { class: "tl-sum", role: "status", "aria-live": "polite" });
  const told = h("p", { class: "tl-told" });
  const leave = (event) => {
    if (event.key === "Enter" || event.key === "Escape") { (home ?? number).focus(); typing = false; later(); }
  };
  const type = (from) => () => {
    typing = from === number;
    if (Number.isFinite(from.valueAsNumber)) act({ type: "type", value: from.valueAsNumber });
  };
  const stop = () => { typing = false; later(); };
  const number = h("input", { type: "number", step: 0.1, class: "tl-cell", onkeydown: leave,
    onchange: stop, onblur: stop });
  number.addEventListener("input", type(number));
  const slider = h("input", { type: "range", step: 0.05 });
  slider.addEventListener("input", type(slider));
  const handle = h("span", { class: "tl-number" });
  const hand = h("div", { class: "tl-row tl-hand" }, h("span", {}, "Change ", handle), number, slider);
  const hint = h("p", { class: "tl-quiet" });
  const factor = h("input", { type: "number", min: 0, max: 100, step: 0.1, class: "tl-cell",
    "aria-label": "scale", oninput() {
      const value = factor.valueAsNumber;
      if (value >= 0 && value <= 100) act({ type: "scale", value });
    }, onchange() { factor.value = Number(state.scale.toPrecision(4)); } });
  const button = (text, event) => h("button", { type: "button", onclick: () => act(event()) }, text);
  const d = flow(start).query[0].length;
  const scales = h("div", { class: "tl-row" }, h("label", { class: "tl-row" }, "scale", factor),
    button(`1/√d = 1/√${d}`, () => ({ type: "scale", value: 1 / Math.sqrt(d) })),
    button("1: not scaled", () => ({ type: "scale", value: 1 })));
  const masks = h("div", { class: "tl-row" },
    h("span", { class: "tl-quiet" }, "Click a cell of the mask, or press Space on it."),
    button("Causal", () => ({ type: "mask", kind: "causal" })),
    button("All may look", () => ({ type: "mask", kind: "all" })));

  const given = INPUTS.filter((name) => start[name] !== null);
  const again = button("Start again", () => ({ type: "set",
    values: Object.fromEntries(given.map((name) => [name, start[name]])) }));
  const lists = h("div"), note = h("span", { class: "tl-quiet", role: "status" });
  const toggle = h("button", { type: "button", "aria-expanded": "false",
    onclick() { open = !open; later(); } }, "Show as table");
  const listed = (m) => {
    const name = STEPS[state.step].shows.at(-1);
    const [rows, columns] = axes(name, state.step).map((each, k) => (k ? m[name][0] : m[name])
      .map((_, i) => (each === "t" ? tokenNames[i] : each === "s" ? lookedNames[i] : String(i))));
    return [MATRICES[name].sign, rows, columns, m[name].flat()];
  };
  const copied = h("button", { type: "button", async onclick() {
    const done = await copy(csv(...listed(flow(state)).slice(1), (x) => String(Number(x.toPrecision(9)))));
    note.textContent = done ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");

  const body = h("div", { class: "tl-stepper" }, title ? h("h3", {}, title) : null, way, told,
    h("div", { class: "tl-row tl-steer" }, back, next, heading), words, desk, sum,
    h("div", { class: "tl-hands" }, hint, hand, scales, masks),
    h("div", { class: "tl-row" }, again, toggle, copied, note), lists);
  el.append(body);

  function show() {
    waiting = false;
    const m = flow(state), live = point ? reduce(state, point) : state, { step } = state;
    const { shows, product, turns } = STEPS[step];
    const room = layout(width || 800, state, m, letters);
    // Scores before and after the scale have one scale of colours.
    const common = Math.max(reachOf(m.scores), reachOf(m.scaled));
    const limit = (name) => (name === "weights" ? null
      : /^(scores|scaled|masked)$/.test(name) ? common : reachOf(m[name]));
    const put = (place, text) => { if (place.textContent !== text) place.textContent = text; };

    for (const { name, cells, button: tile, at } of tiles) {
      const current = shows.includes(name) && (name === shows.at(-1) || step === "given");
      if (current) tile.setAttribute("aria-current", "step");
      else tile.removeAttribute("aria-current");
      cells.update({ values: m[name], rows: null, columns: null, size: room.small[at], limit: limit(name),
        lit: belongs(name, live), mask: name === "weights" ? m.mask : null });
    }
    way.classList.toggle("tl-strip-one", room.lines === 1);
    put(told, outcome(state, m, labels));
    const steps = route(state.states), at = steps.indexOf(step);
    back.disabled = at === 0;
    put(next, at === steps.length - 1 ? "From the first step" : "Next");
    put(heading, `${at + 1} of ${steps.length}. ${STEPS[step].title}`);
    put(words, STEPS[step].say);

    desk.classList.toggle("tl-corner-of", Boolean(product) && room.corner);
    const figures = shows.map(piece);
    if (!same([...desk.children].map((e) => e.dataset.name), shows)) {
      shows.forEach((name, i) => { figures[i].element.dataset.name = name; });
      desk.replaceChildren(...figures.map(({ element }) => element));
    }
    const cornered = product && room.corner;
    const sides = shows.map((name) => axes(name, step).map((each, i) => axis[each]
      ?? Array.from({ length: i ? m[name][0].length : m[name].length }, (_, k) => String(k))));
    shows.forEach((name, i) => { if (turns === name) sides[i].reverse(); });
    const gutters = sides.map(([rows]) => Math.ceil(7.4 * Math.max(...rows.map((x) => x.length))) + 8);
    if (cornered) gutters[2] = gutters[1];
    figures.forEach(({ cells, caption, mine, element }, i) => {
      const name = shows[i], isTurned = turns === name, [rows, columns] = sides[i];
      const values = isTurned ? m[name][0].map((_, j) => m[name].map((row) => row[j])) : m[name];
      const last = i === shows.length - 1, narrow = Math.max(1, Math.floor(room.cell / 7.4));
      const sign = `${MATRICES[name].sign}${isTurned ? "ᵀ" : ""}`, size = `${values.length} × ${values[0].length}`;
      const edit = editable(state.states, name);
      element.dataset.role = cornered ? ["left", "top", "result"][i] : last ? "result" : "";
      caption.className = `tl-${MATRICES[name].role}-ink`;
      put(caption, `${sign}  ${size}`);
      cells.update({ values, rows: cornered && last ? values.map(() => "") : rows,
        columns: cornered && last ? null : columns.map((text) => cutTo(text, narrow)),
        size: room.cell, gutter: gutters[i],
        limit: limit(name), editable: edit, mask: name === "weights" ? m.mask : null, lit: mine(belongs(name, live)),
        cursor: mine(cursor(state, name)),
        label: `${sign}, ${size}: arrow keys choose a number${name === "mask" ? ", Space changes it"
          : edit ? ", type to change it" : ""}` });
    });

    const spoken = written(m, live, labels);
    sum.replaceChildren(...spoken.map(([text, role, strong]) =>
      h(strong ? "b" : "span", role ? { class: `tl-${role}-ink` } : {}, text)));

    const free = editable(state.states, state.chosen);
    hand.hidden = !free || state.chosen === "mask";
    hint.hidden = !hand.hidden || step === "scaled" || step === "masked";
    put(hint, HINTS[shows.some((name) => editable(state.states, name)) ? "here" : "before"]);
    if (!hand.hidden) {
      const { row, column } = cursor(state), x = state[state.chosen][row][column];
      const name = placeName(labels, state.chosen, step, state.at);
      put(handle, name);
      number.setAttribute("aria-label", name);
      slider.setAttribute("aria-label", `${name}, slider`);
      const most = Math.max(3, Math.ceil(1.5 * reachOf(start[state.chosen])));
      slider.min = -most;
      slider.max = most;
      const text = String(Number(x.toPrecision(4)));
      if (!typing && number.value !== text) number.value = text;
      if (slider.valueAsNumber !== x && document.activeElement !== slider) slider.value = x;
    }
    scales.hidden = step !== "scaled";
    masks.hidden = step !== "masked";
    if (document.activeElement !== factor) factor.value = Number(state.scale.toPrecision(4));
    again.disabled = given.every((name) => same(state[name], start[name]));
    toggle.setAttribute("aria-expanded", String(open));
    put(toggle, open ? "Hide table" : "Show as table");
    lists.replaceChildren(...(open ? [table(...listed(m), (x) => (x === -Infinity ? "−∞" : fixed(x, 4)))] : []));
  }

  const watch = new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) >= 1) { width = contentRect.width; show(); }
  });
  watch.observe(body);
  const unlisten = listen(model, Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
    if (same(model.get(name), state[name])) return;
    act({ type: "set", values: { [name]: model.get(name) } });
  }])));
  show();
  return () => { unlisten(); group.stop(); watch.disconnect(); send(); };
}

export default widget(draw);
