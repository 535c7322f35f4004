// The mask painter: who may look at whom, painted by hand, and what follows from it.
// Everything but `draw` is pure.

import { first, fits, LARGEST, later, leaks, RULES, weigh } from "./flow.js";
import { drawGrid } from "./grids.js";
import { cividis } from "./matrix.js";
import { begin, maskOf, masksOf, real, reduce, same, SIDES } from "./paint.js";
import { copy, csv, floats, h, legend, linked, listen, mailbox, readout, select, table, widget }
  from "./parts.js";
import { visible } from "./tokens.js";

const SYNCED = ["masks", "part", "layers"];
const SHOWN = { mask: "mask", encoder: "encoder", decoder: "decoder", cross: "across" };

// What each number is called: [of a row, of a column].
export function called(state, part = state.part) {
  const [row, key] = SIDES[part];
  if (part !== "mask") return [row, key];
  return state.sides.T > state.sides.S ? ["query", "key"] : ["position", "position"];
}

// Positions are counted over all S; the T that look are the last of them.
const shift = (state, part) => (part === "mask" ? Math.max(0, state.sides.S - state.sides.T) : 0);

// Tokens of rows and columns, or null.
function tokensOf(start, state, part) {
  const { tokens, looked_at: others } = start, fit = (list, side) =>
    (list && list.length === state.sides[side] ? list : null);
  const bySide = { target: tokens, source: others, T: tokens,
    S: others ?? (state.sides.S === state.sides.T ? tokens : null) };
  return SIDES[part].map((side) => fit(bySide[side], side));
}

// All that is drawn and said of the part in hand.
export function follow(state, start, tables) {
  const masks = masksOf(state), { part } = state, mask = masks[part];
  const scores = tables[Object.keys(masks).indexOf(part)];
  const ahead = later(mask, part), since = first(masks, part, state.layers);
  return { masks, mask, scores, ahead, since, weights: weigh(mask, scores), leak: leaks(mask, part),
    empty: mask.flatMap((row, t) => (row.some(Boolean) ? [] : [t])), shift: shift(state, part),
    late: since.flatMap((row, t) => (row.some((at, s) => at && ahead(t, s)) ? [t] : [])),
    tokens: tokensOf(start, state, part), called: called(state) };
}

const list = (items) => (items.length < 2 ? items.join("")
  : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);
const many = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
const capital = (text) => text[0].toUpperCase() + text.slice(1);

// "position 2", or "position 2 “sat”": axis 0 is a row, 1 a column.
export function name(f, axis, i) {
  const token = f.tokens[axis]?.[i];
  return `${f.called[axis]} ${i + (axis ? 0 : f.shift)}${token ? ` “${visible(token)}”` : ""}`;
}

export function sentence(state, f) {
  const cell = state.point ?? state.cursor;
  if (!cell) {
    return "Press and drag in a mask to allow or forbid. By keyboard: arrow keys move, Space "
      + "paints, Shift and an arrow paint on.";
  }
  const { row, column } = cell, from = capital(name(f, 0, row)), to = name(f, 1, column);
  const one = f.since[row].flatMap((at, s) => (at ? [s] : []));
  const heard = one.length === f.since[row].length && one.length > 1 ? `all ${one.length} inputs`
    : one.length ? `${one.length === 1 ? "input" : "inputs"} ${list(one)}` : "no input";
  const out = `After ${many(state.layers, "layer")} its output hears from ${heard}.`;
  if (f.mask[row][column]) {
    return `${from} may look at ${to}: score ${number(f.scores[row][column])}, weight ${
      f.weights[row][column].toFixed(3)}. ${out}`;
  }
  const pad = column >= real(state, state.part) ? ", which is padding" : "";
  return `${from} may not look at ${to}${pad}. ${out}`;
}

const number = (x) => `${x < 0 ? "−" : ""}${Math.abs(x).toFixed(2)}`;

// What the mask lets in that a decoder must not know.
export function leakage(state, f) {
  if (state.part === "encoder") return "An encoder may look both ways: all of the source is known, so nothing leaks.";
  if (state.part === "cross") return "All of the source is known, so looking across leaks nothing.";
  if (f.mask.length > f.mask[0].length) {
    return "More positions look than are looked at: they are not the same ones, and none lies in the future.";
  }
  if (!f.leak.length) return "No cell lets the future in.";
  const shown = f.leak.slice(0, f.leak.length > 5 ? 4 : 5)
    .map(([t, s]) => `${name(f, 0, t)} sees ${name(f, 1, s)}`);
  const rest = f.leak.length - shown.length;
  const cells = f.leak.length === 1 ? "1 cell lets" : `${f.leak.length} cells let`;
  const outputs = f.late.map((t) => t + f.shift);
  const known = outputs.length === 1 ? `output ${outputs[0]} depends on its future`
    : `outputs ${list(outputs)} depend on their future`;
  return `${cells} the future in: ${shown.join(", ")}${rest ? `, and ${rest} more` : ""}. After ${
    many(state.layers, "layer")} ${known}.`;
}

// What each convention gives where a row may look at nothing; [] where there is no such row.
export function conventions(f) {
  if (!f.empty.length) return [];
  const S = f.mask[0].length, rows = f.empty.map((t) => t + f.shift);
  const all = rows.length === f.mask.length, it = rows.length === 1 ? "it" : "each";
  const who = rows.length === 1 ? `${capital(f.called[0])} ${rows[0]} may look at nothing`
    : all ? `No ${f.called[0]} may look at anything`
      : `${capital(f.called[0])}s ${list(rows)} may look at nothing`;
  return [`${who}. What ${it} then gets depends on the convention:`,
    ["zeros", "this course, and torch’s fused scaled_dot_product_attention."],
    ["NaN", "softmax over −∞ alone. One layer on, every output is NaN: 0 × NaN is NaN."],
    ["uniform", S === 1 ? "−10⁹ in place of −∞: all the weight on the key that is hidden."
      : `−10⁹ in place of −∞: 1/${S} on every key, hidden ones and padding too.`],
    ["depends", "torch’s nn.MultiheadAttention: NaN or zeros; it depends on whether you ask for its weights, and on its mode."]];
}

// "0.42" without its zero, "1", or "" in a cell that has no room for it.
const share = (x) => (x >= 0.995 ? "1" : x.toFixed(2).slice(1));

// The cells of each kind of grid.
export function layout(state, f) {
  const flat = (cell) => f.mask.flatMap((row, t) => row.map((may, s) => cell(may, t, s)));
  return {
    masks: Object.fromEntries(Object.entries(f.masks).map(([part, mask]) => {
      const ahead = later(mask, part);
      return [part, mask.flatMap((row, t) => row.map((may, s) => (!may ? { kind: "off" }
        : ahead(t, s) ? { kind: "leak", text: "!" } : { kind: "on" })))];
    })),
    weights: flat((may, t, s) => (may ? { kind: "weight", fill: cividis(f.weights[t][s]),
      text: share(f.weights[t][s]) } : { kind: "off" })),
    reach: flat((_, t, s) => (!f.since[t][s] ? { kind: "none" }
      : { kind: f.ahead(t, s) ? "leak" : "heard", text: String(f.since[t][s]) })),
  };
}

// One line a cell.
export function asCsv(f) {
  const rows = f.mask.flatMap((row, t) => row.map(() => String(t + f.shift)));
  const values = f.mask.flatMap((row, t) => row.flatMap((may, s) =>
    [s, Number(may), Number(f.scores[t][s].toPrecision(7)), Number(f.weights[t][s].toPrecision(9)),
      f.since[t][s]]));
  return csv(rows, ["looks at", "may look", "score", "weight", "reached in layers"], values);
}

// Float32 bytes -> one 12 × 12 table for each part, as rows.
export function unpack(view) {
  const all = floats(view), size = LARGEST * LARGEST;
  return Array.from({ length: all.length / size }, (_, i) => Array.from({ length: LARGEST }, (_, t) =>
    Array.from(all.subarray(i * size + t * LARGEST, i * size + (t + 1) * LARGEST))));
}

function slider(text, low, act) {
  const range = h("input", { type: "range", min: low, step: 1, "aria-label": text,
    oninput: () => act(Number(range.value)) });
  const shown = h("output", { class: "tl-number" });
  const element = h("label", { class: "tl-field" }, h("span", {}, text), range, shown);
  return { element, update(value, high, off = false) {
    range.max = high;
    range.value = value;
    range.disabled = off;
    shown.textContent = value;
  } };
}

function draw(model, el) {
  const start = model.get("start"), tables = unpack(start.scores);
  let state = begin((name) => model.get(name)), waiting = false, open = false;
  const parts = Object.keys(state.grids), three = parts.length > 1;

  function act(event) {
    const before = state;
    state = reduce(state, event);
    if (!same(before.cursor, state.cursor) && state.cursor) choose();
    tell({ masks: masksOf(state), part: state.part, layers: state.layers });
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const { tell, send } = mailbox(model, SYNCED);
  const isSquare = () => maskOf(state).length === maskOf(state)[0].length;
  const choose = () => { if (isSquare()) link.tell(state.cursor.row); };
  const link = linked(model, (index) => {
    if (!isSquare() || index === null || !(index < maskOf(state).length)) return;
    state = { ...state, cursor: { row: index, column: state.cursor?.column ?? index }, point: null };
    act({ type: "point", cell: null });
  });

  const role = (kind, text) => h("span", { class: `tl-${kind}-ink` }, text);
  const hear = (part) => (event) => {
    if (part !== state.part && (event.type === "point" || event.type === "drop")) return;
    if (part !== state.part) act({ type: "part", part });
    if (event.type === "point" && same(event.cell, state.point)) return;
    if (event.type !== "focus") act(event);
  };
  const titles = { mask: ["who may look"], encoder: ["encoder: source at source"],
    decoder: ["decoder: target at target"], cross: ["across: target at source"] };
  const boards = Object.fromEntries(parts.map((part) =>
    [part, drawGrid(titles[part], "paint", hear(part),
      () => (part === state.part ? state.cursor : null))]));
  const follower = (event) => hear(state.part)(event);
  const weightHead = h("span"), reachHead = h("span");
  const weights = drawGrid([weightHead], "", follower), reached = drawGrid([reachHead], "", follower);
  boards[parts[0]].element.append(h("p", { class: "tl-quiet" }, role("query", "row"), " looks at ",
    role("key", "column"), h("span", { class: "tl-paint-key" },
      h("i", { class: "tl-paint-cell tl-paint-on" }), "may  ", h("i", { class: "tl-paint-cell tl-paint-off" }),
      "may not  ", h("i", { class: "tl-paint-cell tl-paint-leak" }, "!"), "the future")));
  weights.element.append(h("p", { class: "tl-quiet" },
    legend("weight", 0, 1, cividis, String), h("br"), "softmax of the allowed scores, row by row"));
  const depth = slider("layers", 1, (to) => act({ type: "layers", to }));
  const depthNote = h("span", { class: "tl-quiet" }, "T ≠ S: the mask of one layer");
  reached.element.append(h("div", { class: "tl-row" }, depth.element, depthNote), h("p", { class: "tl-quiet" },
    "The number: from so many layers on, a row’s output hears from a column’s input. ",
    "A skip path carries each position’s own input along."));

  const rules = select("rule", [...Object.entries(RULES).map(([key, [text]]) => [key, text]),
    ["padding", "padding only"], ["painted", "painted by hand"]], "", (rule) => act({ type: "rule", rule }));
  const sizes = Object.fromEntries(["window", "prefix", "block"].map((rule) => [rule,
    slider(RULES[rule][2] ?? rule, rule === "prefix" ? 0 : 1, (to) => act({ type: "size", rule, to }))]));
  const sides = Object.keys(state.sides);
  const label = { T: "positions, T", S: "looked at, S", source: "source positions",
    target: "target positions" };
  const counts = Object.fromEntries(sides.map((side) => [side,
    slider(label[side], 1, (to) => act({ type: "side", side, to }))]));
  const lengths = Object.fromEntries(sides.filter((side) => side !== "T").map((side) => [side,
    slider(three ? `real in ${side}` : "real keys", 0, (to) => act({ type: "length", side, to }))]));
  const square = h("input", { type: "checkbox",
    onchange: () => act({ type: "square", on: square.checked }) });
  const hands = parts.map((part) => h("button", { type: "button", onclick: () => {
    act({ type: "part", part });
  } }, SHOWN[part]));

  const said = readout(), leak = h("p", { class: "tl-paint-leakage", role: "status" });
  const empty = h("div", { class: "tl-paint-none" }), note = h("span", { class: "tl-quiet", role: "status" });
  const tables2 = h("div", { class: "tl-paint-tables" });
  const button = (text, onclick) => h("button", { type: "button", onclick }, text);
  const undo = button("Undo", () => act({ type: "undo" }));
  const asTable = button("Show as table", () => {
    open = !open;
    asTable.setAttribute("aria-expanded", String(open));
    asTable.textContent = open ? "Hide the table" : "Show as table";
    show();
  });
  asTable.setAttribute("aria-expanded", "false");

  el.append(h("div", { class: "tl-painter" },
    start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-row tl-paint-bar" },
      three ? h("div", { class: "tl-row", role: "group", "aria-label": "mask in hand" },
        h("span", { class: "tl-quiet" }, "in hand"), ...hands) : null,
      rules, ...Object.values(sizes).map(({ element }) => element), undo,
      button("Start again", () => act({ type: "reset", start }))),
    h("div", { class: "tl-row tl-paint-bar" },
      ...sides.flatMap((side) => [counts[side].element, lengths[side]?.element ?? null]),
      three ? null : h("label", { class: "tl-field" }, square, h("span", {}, "same positions: S = T"))),
    h("div", { class: `tl-paint-grids${three ? " tl-paint-three" : ""}` },
      ...parts.map((part) => boards[part].element), weights.element, reached.element),
    said.element, leak, empty,
    h("div", { class: "tl-row" }, asTable, button("Copy as CSV", async () => {
      const done = await copy(asCsv(follow(state, start, tables)));
      note.textContent = done ? "Copied." : "The browser did not allow copying; select the table instead.";
    }), note), tables2));

  const text = (element, words) => { if (element.textContent !== words) element.textContent = words; };
  function show() {
    waiting = false;
    const f = follow(state, start, tables), drawn = layout(state, f), { part } = state;
    const [T, S] = [f.mask.length, f.mask[0].length], at = state.point ?? state.cursor;
    const labels = (one) => {
      const given = tokensOf(start, state, one), mask = f.masks[one], by = shift(state, one);
      return { rows: mask.map((_, t) => (given[0] ? visible(given[0][t]) : String(t + by))),
        columns: mask[0].map((_, s) => (given[1] ? visible(given[1][s]) : String(s))) };
    };
    for (const one of parts) {
      boards[one].update({ ...labels(one), cells: drawn.masks[one], real: real(state, one),
        empty: f.masks[one].flatMap((row, t) => (row.some(Boolean) ? [] : [t])),
        cursor: one === part ? at : null, now: three && one === part,
        label: `${titles[one][0]}, ${f.masks[one].length} × ${f.masks[one][0].length}; arrow keys `
          + "move, Space paints, Shift and an arrow paint on" });
    }
    text(weightHead, three ? `weights: ${SHOWN[part]}` : "weights");
    text(reachHead, three ? `reach, in layers: ${SHOWN[part]}` : "reach, in layers");
    const side = { ...labels(part), cursor: at, real: real(state, part), empty: f.empty };
    weights.update({ ...side, cells: drawn.weights, label: `weights; ${sentence(state, f)}` });
    reached.update({ ...side, empty: [], cells: drawn.reach, label: `reach; ${sentence(state, f)}` });
    for (const option of rules.list.options) {
      option.disabled = option.value === "painted" || !fits(option.value, T, S, part);
    }
    const rule = state.grids[part].rule;
    rules.list.value = rule === "all" && real(state, part) < S ? "padding" : rule;
    for (const [key, one] of Object.entries(sizes)) {
      one.element.hidden = key !== rule;
      one.update(state.sizes[key], LARGEST);
    }
    for (const one of sides) {
      counts[one].update(state.sides[one], LARGEST);
      counts[one].element.hidden = one === "S" && state.square;
      lengths[one]?.update(state.lengths[one], state.sides[one]);
    }
    square.checked = Boolean(state.square);
    depth.update(state.layers, 6, part === "mask" && T !== S);
    depthNote.hidden = part !== "mask" || T === S;
    hands.forEach((hand, i) => hand.setAttribute("aria-pressed", String(parts[i] === part)));
    undo.disabled = !state.past.length;
    said.say(sentence(state, f));
    text(leak, leakage(state, f));
    leak.classList.toggle("tl-paint-warns", f.leak.length > 0);
    const lines = conventions(f), now = JSON.stringify(lines);
    if (empty.dataset.now !== now) {
      empty.dataset.now = now;
      empty.replaceChildren(...(lines.length ? [h("p", {}, lines[0]), h("dl", {}, ...lines.slice(1)
        .flatMap(([what, why]) => [h("dt", {}, what), h("dd", {}, why)]))] : []));
    }
    tables2.replaceChildren(...(open ? [
      table("weights; – may not look", side.rows, side.columns, f.weights.flat(),
        (x, t, s) => (f.mask[t][s] ? x.toFixed(3) : "–")),
      table(`layers after which a row hears from a column; – not within ${many(state.layers, "layer")}`,
        side.rows, side.columns, f.since.flat(), (x) => x || "–")] : []));
  }

  const stop = listen(model, {
    "change:masks": () => act({ type: "masks", masks: model.get("masks") }),
    "change:part": () => act({ type: "part", part: model.get("part") }),
    "change:layers": () => act({ type: "layers", to: model.get("layers") }),
  });
  show();
  return () => { stop(); link.stop(); send(); };
}

export default widget(draw);
