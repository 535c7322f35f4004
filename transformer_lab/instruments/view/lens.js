// The my-code lens: the learner's stages beside the reference's. Everything but `draw` is pure.

import { drawCells, reachOf } from "./cells.js";
import { copy, csv, floats, bytes, h, linked, listen, readout, select, table, widget }
  from "./parts.js";
import { names, visible } from "./tokens.js";

const ROOMY = 48, LEAST = 9; // pixels of a cell
const SIGNS = { equal: "✓ equal", differs: "✕ differs", shape: "✕ other shape", absent: "– not handed over" };

// The matrices of a stage, one for each number of a batch or head: arrays of rows.
export function slices(values, shape) {
  if (!values) return null;
  const [rows, columns] = shape.slice(-2), count = values.length / (rows * columns);
  return Array.from({ length: count }, (_, k) => Array.from({ length: rows }, (_, i) =>
    Array.from(values.subarray((k * rows + i) * columns, (k * rows + i + 1) * columns))));
}

const yes = (sent, shape) => sent && slices(bytes(sent), shape).map((matrix) =>
  matrix.map((row) => row.map(Boolean)));

// What travels, as matrices.
export function opened(content) {
  return { ...content, stages: content.stages.map((stage) => ({ ...stage,
    theirs: slices(floats(stage.theirs), stage.shape),
    mine: stage.mine && slices(floats(stage.mine), stage.mine_shape),
    wrong: yes(stage.wrong, stage.shape), allowed: yes(stage.allowed, stage.shape) })) };
}

// The view's state: the stage, the slice of it, and the cell. A stage opens at its worst cell.
export function begin(data, name) {
  const stage = data.stages.find((each) => each.name === name) ?? data.stages[0];
  const at = stage.worst.length ? stage.worst : stage.shape.map(() => 0);
  const slice = at.slice(0, -2).reduce((sum, i, axis) => sum * stage.shape[axis] + i, 0);
  return { stage: stage.name, slice, row: at.at(-2), column: at.at(-1) };
}

export function reduce(state, event, data) {
  switch (event.type) {
    case "stage": return begin(data, event.name);
    case "worst": return begin(data, state.stage);
    case "cell": return { ...state, row: event.row, column: event.column };
    case "slice": return { ...state, slice: event.slice };
    default: return state;
  }
}

// "[2, 0]": where a slice stands in the axes before the last two.
export function sliceName(slice, shape) {
  const out = [];
  for (const size of shape.slice(0, -2).reverse()) {
    out.unshift(slice % size);
    slice = Math.floor(slice / size);
  }
  return out.join(", ");
}

// A number as it is read out: three places, or more where it is small.
export function spoken(x, signed = false) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
  const size = Math.abs(x), text = size >= 1e5 || (size > 0 && size < 5e-4)
    ? size.toExponential(1).replace("e+", "e").replace("-", "−") : size.toFixed(3);
  return (x < 0 && Number(size) ? "−" : signed && x > 0 ? "+" : "") + text;
}

// −∞ less −∞ is no difference; anything else that is not finite is a wrong number.
export const less = (mine, theirs) => (mine === theirs ? 0 : mine - theirs);

// The sentence on the chosen cell.
export function read(stage, state, place) {
  const { slice, row, column } = state, mine = stage.mine?.[slice]?.[row]?.[column];
  const theirs = stage.theirs[slice]?.[row]?.[column];
  if (stage.status === "shape") {
    return `${place}: yours ${mine === undefined ? "has no such cell" : spoken(mine)}, `
      + `reference ${theirs === undefined ? "has no such cell" : spoken(theirs)}.`;
  }
  if (mine === undefined) return `${place}: reference ${spoken(theirs)}.`;
  const wrong = stage.wrong[slice][row][column], [i, j] = stage.worst.slice(-2);
  const worst = wrong && begin({ stages: [stage] }, stage.name).slice === slice && i === row && j === column;
  return `${place}: yours ${spoken(mine)}, reference ${spoken(theirs)}`
    + (wrong ? `, difference ${spoken(less(mine, theirs), true)}${worst ? ", the largest" : ""}.` : ": equal.");
}

// Pixels of a cell for so many matrices side by side, and of their row labels.
export function layout(width, columns, letters, count) {
  const gutter = 7.4 * Math.min(8, letters) + 10;
  const beside = (width - count * (gutter + 20)) / (count * columns) - 1;
  const below = (width - gutter - 16) / columns - 1;
  const cell = beside >= 29 ? beside : Math.min(below, Math.max(beside, 29));
  return { gutter, cell: Math.floor(Math.min(ROOMY, Math.max(LEAST, cell))) };
}

const brief = (text, most = 8) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

function draw(model, el) {
  let data, state, width = 0, waiting = false, open = false;
  const group = linked(model, (index) => {
    const stage = data.stages.find((each) => each.name === state.stage);
    if (index < stage.shape.at(-2)) { state = reduce(state, { type: "cell", ...state, row: index }, data); later(); }
  });
  function act(event) {
    const row = state.row;
    state = reduce(state, event, data);
    if (state.row !== row) group.tell(state.row);
    if (model.get("stage") !== state.stage) { model.set("stage", state.stage); model.save_changes(); }
    later();
  }
  function later() {
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }

  const title = h("h3", {}), trouble = h("div", { class: "tl-trouble", role: "alert" });
  const verdict = h("p", { class: "tl-verdict", role: "status" });
  const line = h("ol", { class: "tl-lens-line" });
  const heading = h("h4", {}), hint = h("p", { class: "tl-hint" });
  const pieces = ["yours", "reference", "yours − reference"].map((name) => {
    const cells = drawCells({ point() {}, key: (event) => {
      if (event.key !== "Enter") return false;
      act({ type: "worst" });
      return true;
    }, choose: (cell) => act({ type: "cell", ...cell }) });
    const caption = h("figcaption");
    return { name, cells, caption, element: h("figure", { class: "tl-cells-piece" }, caption, cells.element) };
  });
  const desk = h("div", { class: "tl-board-of" }, ...pieces.map(({ element }) => element));
  const said = readout(), which = h("div", { class: "tl-row" });
  const worst = h("button", { type: "button", onclick: () => act({ type: "worst" }) }, "Largest difference");
  const toggle = h("button", { type: "button", onclick() { open = !open; later(); } }, "Show as table");
  const note = h("span", { class: "tl-quiet", role: "status" }), lists = h("div");
  const copied = h("button", { type: "button", async onclick() {
    const { mine, theirs, rows, columns } = now();
    const cells = theirs[state.slice].flatMap((row, i) => row.map((x, j) => {
      const one = mine?.[state.slice]?.[i]?.[j];
      return [`${rows[i]} · ${columns[j]}`, [one ?? "", x, one === undefined ? "" : less(one, x)]];
    }));
    const done = await copy(csv(cells.map(([name]) => name), ["yours", "reference", "difference"],
      cells.flatMap(([, numbers]) => numbers)));
    note.textContent = done ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  const body = h("div", { class: "tl-lens" }, title, trouble, verdict, line, heading, hint, which, desk,
    said.element, h("div", { class: "tl-row" }, worst, toggle, copied, note), lists);
  el.append(body);
  const now = () => data.stages.find((each) => each.name === state.stage);
  let tiles = [];

  function load() {
    data = opened(model.get("content"));
    state = begin(data, model.get("stage"));
    title.textContent = data.title;
    title.hidden = !data.title;
    // `a line of code` in backticks stands in a code face.
    trouble.replaceChildren(...data.trouble.split("`").map((text, i) => (i % 2 ? h("code", {}, text) : text)));
    trouble.hidden = !data.trouble;
    verdict.textContent = data.said.replace(data.trouble, "").trim();
    verdict.hidden = !verdict.textContent;
    const wrongAt = data.stages.findIndex(({ name }) => name === data.first);
    tiles = data.stages.map((stage, i) => {
      const first = i === wrongAt, follows = wrongAt >= 0 && i > wrongAt && /differs|shape/.test(stage.status);
      const sign = first ? (stage.status === "shape" ? "✕ first wrong: shape" : "✕ first wrong")
        : follows ? "✕ after it" : SIGNS[stage.status];
      const small = drawCells(), from = begin(data, stage.name).slice;
      const values = (stage.mine ?? stage.theirs)[stage.status === "shape" ? 0 : from];
      small.update({ values, rows: null, columns: null, size: Math.max(3, Math.min(10, Math.floor(70 / values[0].length))),
        limit: stage.shares ? null : reachOf(stage.theirs[from] ?? stage.theirs[0]),
        mask: stage.status === "shape" ? null : stage.allowed?.[from] });
      const button = h("button", { type: "button", class: `tl-tile tl-is-${first ? "first" : stage.status}`,
        onclick: () => act({ type: "stage", name: stage.name }) }, h("b", {}, stage.name),
      h("span", { class: "tl-sign-of" }, sign), stage.mine ? small.element : h("span", { class: "tl-empty" }));
      return { name: stage.name, button };
    });
    line.replaceChildren(...tiles.map(({ button }) => h("li", {}, button)));
  }

  function show() {
    waiting = false;
    const stage = now(), { slice } = state;
    tiles.forEach(({ name, button }) => {
      if (name === stage.name) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    const put = (place, text) => { if (place.textContent !== text) place.textContent = text; };
    put(heading, stage.name);
    put(hint, [stage.name === data.first ? "" : stage.hint, stage.status === "equal" ? "Equal to the reference."
      : stage.status === "differs" ? "A number with a marked corner differs." : ""].filter(Boolean).join(" "));
    hint.hidden = !hint.textContent;
    const mine = stage.mine?.[stage.status === "shape" ? Math.min(slice, stage.mine.length - 1) : slice] ?? null;
    const theirs = stage.theirs[slice], compared = mine && stage.status === "differs";
    const gap = compared && mine.map((row, i) => row.map((x, j) =>
      (stage.wrong[slice][i][j] ? less(x, theirs[i][j]) : 0)));
    const matrices = [mine, theirs, gap], shown = matrices.filter(Boolean).length;
    const rows = stage.rows.map((text) => brief(visible(text)));
    const letters = Math.max(...rows.map((text) => text.length));
    const columns = Math.max(...matrices.filter(Boolean).map((m) => m[0].length));
    const { cell, gutter } = layout(width || 800, columns, letters, shown);
    const numbers = (n) => Array.from({ length: n }, (_, i) => String(i));
    matrices.forEach((values, k) => {
      const { name, cells, caption, element } = pieces[k];
      element.hidden = !values;
      if (!values) return;
      const fits = values.length === rows.length && values[0].length === stage.columns.length;
      const size = `${values.length} × ${values[0].length}`, few = Math.max(1, Math.floor(cell / 7.4));
      put(caption, `${name}  ${size}`);
      const at = { row: Math.min(state.row, values.length - 1), column: Math.min(state.column, values[0].length - 1) };
      cells.update({ values, rows: fits ? rows : numbers(values.length),
        columns: (fits ? stage.columns : numbers(values[0].length)).map((text) => (cell < 18 ? "" : brief(visible(text), few))),
        size: cell, gutter, limit: k === 2 ? reachOf(gap) : stage.shares ? null : reachOf(theirs),
        places: 3, lit: at, mask: fits && k < 2 ? stage.allowed?.[slice] : null, cursor: at, wrong: k === 0 && compared ? stage.wrong[slice] : null,
        label: `${name}, ${stage.name}, ${size}: arrow keys choose a number, Enter goes to the largest difference` });
    });
    const named = (tokens) => (tokens.every((text, i) => text === String(i)) ? tokens : names(tokens));
    const place = [...(stage.shape.length > 2 ? [sliceName(slice, stage.shape)] : []),
      named(stage.rows)[state.row] ?? state.row, named(stage.columns)[state.column] ?? state.column].join(", ");
    said.say(read(stage, state, `${stage.name}[${place}]`));
    which.hidden = stage.theirs.length < 2;
    if (!which.hidden && which.dataset.stage !== stage.name) {
      const options = stage.theirs.map((_, k) => [k, `[${sliceName(k, stage.shape)}]`
        + (stage.wrong?.[k].flat().some(Boolean) ? " ✕" : "")]);
      const box = select("matrix", options, slice, (value) => act({ type: "slice", slice: Number(value) }));
      which.replaceChildren(box);
      which.list = box.list;
      which.dataset.stage = stage.name;
    }
    if (!which.hidden) which.list.value = slice;
    worst.hidden = stage.status !== "differs";
    toggle.setAttribute("aria-expanded", String(open));
    put(toggle, open ? "Hide table" : "Show as table");
    lists.replaceChildren(...(open ? matrices.flatMap((values, k) => (values ? [table(`${stage.name}: ${pieces[k].name}`,
      values.map((_, i) => rows[i] ?? String(i)), values[0].map((_, j) => stage.columns[j] ?? String(j)),
      values.flat(), (x) => spoken(x))] : [])) : []));
  }

  const watch = new ResizeObserver(([{ contentRect }]) => {
    if (Math.abs(contentRect.width - width) >= 1) { width = contentRect.width; show(); }
  });
  watch.observe(body);
  const stop = listen(model, {
    "change:content": () => { load(); later(); },
    "change:stage": () => {
      const name = model.get("stage");
      if (name !== state.stage) { state = begin(data, name); later(); }
    },
  });
  load();
  show();
  return () => { stop(); group.stop(); watch.disconnect(); };
}

export default widget(draw);
