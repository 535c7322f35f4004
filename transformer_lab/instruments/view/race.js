// The race: an RNN and attention over the same tokens. What must wait is counted and the same
// everywhere; what it takes is measured in Python. Everything but `draw` and what it calls is pure.

import { count, exact, three } from "./amounts.js";
import { copy, csv, floats, h, listen, readout, table, widget } from "./parts.js";
import { slider } from "./slider.js";
import { apart, fitted, stroke, track } from "./strokes.js";

const SYNCED = ["T", "D"], MARKS = 64, SIDES = 16; // what is drawn of a chain, and of positions
const REST = 250; // ms of rest before more is measured than what is chosen
const PATIENCE = 4000; // ms until a silent kernel is named
const LINES = [
  { name: "RNN, step by step", role: "loop", of: ([loop]) => loop },
  { name: "RNN, fused", role: "fused", of: ([, fused]) => fused },
  { name: "attention", role: "attention", of: ([, , projections, pairs]) => projections + pairs },
];

export function begin(get) {
  return { ...Object.fromEntries(SYNCED.map((name) => [name, get(name)])), listed: false };
}

export const TRIES = {
  sentence: { label: "A sentence", change: () => ({ T: 32 }) },
  page: { label: "A page", change: () => ({ T: 512 }) },
  chapter: { label: "A chapter", change: () => ({ T: 4096 }) },
  reset: { label: "Start again", change: ({ T, D }) => ({ T, D }) },
};

export function reduce(state, event) {
  switch (event.type) {
    case "set":
      return { ...state, ...event.values };
    case "reach": { // a place on the chart's axis: the length next to it, by ratio
      const far = (T) => Math.abs(Math.log2(T) - event.log);
      return { ...state, T: event.lengths.reduce((best, T) => (far(T) < far(best) ? T : best)) };
    }
    case "try":
      return { ...state, ...TRIES[event.name].change(event.start) };
    default:
      return state;
  }
}

// As in race_times.py: the longest chain of matrix products, and the multiplications.
export const depth = (T) => ({ rnn: T, attention: 4 });
export const products = (T, D) => ({ rnn: 2 * T * D * D, projections: 4 * T * D * D, pairs: 2 * T * T * D });

// Milliseconds by width and length: {D: [[loop, fused, projections, pairs] or null, …]}.
export function readTimes(numbers, { widths, lengths }) {
  return Object.fromEntries(widths.map((D, i) => [D, lengths.map((_, j) => {
    const at = 4 * (i * lengths.length + j), row = [...numbers.subarray(at, at + 4)];
    return row[0] ? row : null;
  })]));
}

// T: the length from which attention is slower than the fused RNN at every length, null where it
// wins at the end; before: the length before. null while a time is missing.
export function crossing(row, lengths) {
  if (row.some((times) => !times)) return null;
  const [, fused, ours] = LINES, wins = row.map((times) => ours.of(times) <= fused.of(times));
  const from = wins.lastIndexOf(true) + 1;
  return { before: lengths[from - 1] ?? null, T: lengths[from] ?? null };
}

export const ms = (x) => `${x >= 999.5 ? exact(Math.round(x)) : three(x)} ms`;
const ratio = (x) => (x < 9.95 ? x.toFixed(1) : exact(Math.round(x)));

export function spoken({ T, D }, times, lost) {
  const { rnn, attention } = depth(T);
  const counted = `${exact(T)} tokens of width ${D}. Counted: the RNN’s chain is ${exact(rnn)} products long, `
    + `attention’s ${attention}.`;
  if (!times) return counted;
  const [loop, fused, ours] = LINES.map(({ of }) => of(times)), slow = ours > fused;
  const measured = ` Measured: the RNN ${ms(loop)} step by step and ${ms(fused)} fused, attention ${ms(ours)}: `
    + `${ratio(slow ? ours / fused : fused / ours)} times as ${slow ? "slow" : "fast"} as the fused RNN.`;
  const end = !lost ? "" : lost.T === null ? " At this width it is ahead at the longest text."
    : lost.before === null ? " At this width it loses to the fused RNN at every length."
      : ` At this width it loses to the fused RNN from ${exact(lost.T)} tokens on.`;
  return counted + measured + end;
}

const side = (width) => ({ left: width < 700 ? 122 : 132, right: width - 62 });

// The chains to one scale: a product is `unit` pixels long, the RNN's marks hold `each` products.
export function chains(T, width) {
  const { left, right } = side(width), { rnn, attention } = depth(T), unit = (right - left) / rnn;
  const marks = Math.min(rnn, MARKS), step = (right - left) / marks, sides = Math.min(T, SIDES);
  const columns = unit < 5 ? 1 : attention, high = 56 / sides; // narrow products run into one
  const across = Math.max(3, attention * unit) / columns;
  return { width, height: 92, left, right, each: rnn / marks,
    rnn: Array.from({ length: marks }, (_, i) => ({ x: left + i * step, y: 6, width: step - 1.4, height: 12 })),
    attention: Array.from({ length: sides * columns }, (_, i) => ({ x: left + across * (i % columns),
      y: 30 + high * Math.floor(i / columns), width: across - (columns > 1 ? 1.4 : 0), height: high - 1 })),
    end: left + across * columns };
}

// The measured times as bars to one scale.
export function bars(times, width) {
  const { left, right } = side(width), most = Math.max(...LINES.map(({ of }) => of(times)));
  const wide = (x) => ((right - left - 20) * x) / most;
  return { width, height: 84, left, rows: LINES.map(({ name, role, of }, i) => {
    const parts = role === "attention" ? [["projections", times[2]], ["pairs", times[3]]] : [[role, of(times)]];
    let x = left;
    return { name, role, y: 4 + 28 * i, text: ms(of(times)), pieces: parts.map(([part, taken]) => {
      x += wide(taken);
      return { part, x: x - wide(taken), width: wide(taken) };
    }), end: x };
  }) };
}

// Time by length, both on logarithmic axes, for one width.
export function chart(row, lengths, lost, width) {
  const { left, right } = side(width), head = 12, tall = 190, known = row.filter(Boolean);
  const all = known.flatMap((times) => LINES.map(({ of }) => Math.log10(of(times))));
  const low = Math.min(-1.2, ...all) - 0.1, high = Math.max(1.2, ...all) + 0.1, end = right - 76;
  const logs = lengths.map(Math.log2), first = logs[0], last = logs[logs.length - 1];
  const x = (T) => left + ((Math.log2(T) - first) * (end - left)) / (last - first);
  const y = (log) => head + (tall * (high - log)) / (high - low);
  const ticks = [];
  for (let tick = Math.ceil(low); tick <= high; tick++) ticks.push(tick);
  const lines = LINES.map(({ name, role, of }) => ({ name, role, points: row.flatMap((times, i) =>
    (times ? [[x(lengths[i]), y(Math.log10(of(times)))]] : [])) }));
  const ends = apart(lines.map(({ points }) => points.at(-1)?.[1] ?? head), 15, head + 6, head + tall);
  return { width, height: head + tall + 38, left, right: end, head, tall, x, y, ticks, lines, ends, first, last,
    band: lost?.T ? [x(lost.before ?? lost.T), x(lost.T)] : null };
}

// All lengths of one width, for the table and the clipboard; null: not measured.
export function listing(row, lengths, D) {
  const columns = ["depth, RNN", "depth, attention", "multiplications, RNN", "multiplications, attention",
    ...LINES.map(({ name }) => `ms, ${name}`)];
  const values = lengths.flatMap((T, i) => {
    const { rnn, attention } = depth(T), work = products(T, D);
    return [rnn, attention, work.rnn, work.projections + work.pairs,
      ...LINES.map(({ of }) => (row[i] ? of(row[i]) : null))];
  });
  return { rows: lengths.map((T) => `T = ${T}`), columns, values };
}

function draw(model, el) {
  const start = model.get("start"), { lengths, widths } = start, offline = Boolean(model.get("offline"));
  let state = begin((name) => model.get(name)), waiting = false, width = 0, asked = null;
  let resting = null, silent = null, gone = false;
  let times = readTimes(floats(model.get("times")), start);

  function act(event) {
    state = reduce(state, event);
    const news = SYNCED.filter((name) => model.get(name) !== state[name]);
    news.forEach((name) => model.set(name, state[name]));
    if (news.length) model.save_changes();
    later();
  }
  function later() {
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const chosen = () => times[state.D][lengths.indexOf(state.T)];
  // The lengths that lack a time are asked for one by one, while the hand rests.
  function ask() {
    const T = lengths.find((_, i) => !times[state.D][i]);
    if (T === undefined || asked === `${T} ${state.D}`) return;
    asked = `${T} ${state.D}`;
    model.send({ do: "measure", T, D: state.D });
  }

  const set = (name) => (value) => act({ type: "set", values: { [name]: value } });
  const power = (name, list) => slider(name === "T" ? "T, tokens" : "D, width", { low: 0, high: list.length - 1,
    read: (i) => list[i], write: (value) => list.indexOf(value), say: exact }, set(name));
  const long = power("T", lengths), wide = power("D", widths);
  const tries = Object.entries(TRIES).map(([name, { label }]) => h("button", { type: "button",
    onclick: () => act({ type: "try", name, start }) }, label));
  const loses = h("button", { type: "button", onclick: () => act({ type: "set",
    values: { T: crossing(times[state.D], lengths).T } }) }, "Where attention loses");
  tries.splice(-1, 0, loses);
  const said = readout(), note = h("p", { class: "tl-quiet tl-status", role: "status" });
  const counted = h("div", { class: "tl-lanes" }), taken = h("div", { class: "tl-lanes" });
  const curve = h("div", { class: "tl-laps" });
  const title = (words, why) => h("h4", {}, words, " ", h("span", { class: "tl-quiet" }, why));
  const threads = `${model.get("threads")} thread${model.get("threads") === 1 ? "" : "s"}`;
  const where = offline ? `measured when this page was made, ${threads}` : `measured on this machine, ${threads}`;
  const again = offline ? null : h("button", { type: "button", onclick: () => {
    times = readTimes(new Float32Array(4 * lengths.length * widths.length), start);
    asked = null;
    model.send({ do: "again" });
    later();
  } }, "Measure again");
  const list = h("button", { type: "button", "aria-expanded": "false",
    onclick: () => act({ type: "set", values: { listed: !state.listed } }) }, "Show as table");
  const copied = h("span", { class: "tl-quiet", role: "status" }), shelf = h("div");
  const full = (x) => (x === null ? "" : Number.isInteger(x) ? String(x) : x.toPrecision(4));
  const csvButton = h("button", { type: "button", async onclick() {
    const { rows, columns, values } = listing(times[state.D], lengths, state.D);
    copied.textContent = await copy(csv(rows, columns, values, full)) ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  const sample = (part, words) => h("span", { class: "tl-row" },
    h("i", { class: `tl-sample tl-${part}`, "aria-hidden": "true" }), words);
  el.append(h("div", { class: "tl-race" }, start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-sizes" }, long.element, wide.element),
    h("div", { class: "tl-row", role: "group", "aria-label": "sizes to try" },
      h("span", { class: "tl-quiet" }, "Try"), ...tries),
    said.element,
    title("Depth", "counted: matrix products that must wait for one another; the same on every machine"),
    counted,
    title("Time", `${where}: one layer, one text`), taken,
    h("p", { class: "tl-row tl-quiet" }, sample("projections", "projections: work grows with T"),
      sample("pairs", "pairs: scores and mix, work grows with T²")),
    note, title("Time by length", "both axes logarithmic; click a length to choose it"), curve,
    h("div", { class: "tl-row" }, again, list, csvButton, copied), shelf));

  function show() {
    waiting = false;
    const { T, D } = state, row = times[D], now = chosen(), lost = crossing(row, lengths);
    long.update(T);
    wide.update(D);
    loses.disabled = !lost?.T;
    said.say(spoken(state, now, lost));
    clearTimeout(resting);
    if (!offline) resting = setTimeout(ask, REST);
    if (now) { clearTimeout(silent); silent = null; gone = false; }
    else silent ??= setTimeout(() => { gone = true; later(); }, PATIENCE);
    const scaled = T > start.most ? `Beyond ${start.most} tokens, ${start.most} steps or rows are run, and their time is multiplied.` : "";
    const words = gone && !now ? "The notebook does not answer: it is busy, or its kernel has stopped."
      : !now ? "Measuring…" : scaled;
    if (note.textContent !== words) note.textContent = words;
    if (width) {
      counted.replaceChildren(drawnChains(state, chains(T, width)));
      if (now) taken.replaceChildren(drawnBars(bars(now, width)));
      taken.classList.toggle("tl-stale", !now);
      curve.replaceChildren(drawnChart(state, chart(row, lengths, lost, width), lengths, lost));
    }
    list.setAttribute("aria-expanded", String(state.listed));
    list.textContent = state.listed ? "Hide the table" : "Show as table";
    const all = state.listed ? listing(row, lengths, D) : null;
    shelf.replaceChildren(...(all ? [table(`Depth, work and time at width ${D}`, all.rows, all.columns, all.values,
      (x, _, j) => (x === null ? "…" : j < 2 ? exact(x) : j < 4 ? count(x) : three(x)))] : []));
  }

  curve.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    const box = curve.getBoundingClientRect(), { left, right, first, last } = chart(times[state.D], lengths, null, width);
    const log = first + ((event.clientX - box.left - left) * (last - first)) / (right - left);
    act({ type: "reach", log, lengths });
  });
  const stop = listen(model, {
    "change:times": () => {
      times = readTimes(floats(model.get("times")), start);
      asked = null;
      later();
    },
    ...Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
      if (model.get(name) === state[name]) return;
      state = reduce(state, { type: "set", values: { [name]: model.get(name) } });
      later();
    }])),
  });
  const rest = fitted(curve, (found) => { width = found; show(); });
  show();
  return () => { stop(); rest(); clearTimeout(resting); clearTimeout(silent); };
}

const written = (x, y, words, name, anchor = "start") =>
  stroke("text", { x, y, class: name, "text-anchor": anchor }, words);
const canvas = ({ width, height }, words) => stroke("svg", { width, height, viewBox: `0 0 ${width} ${height}`,
  role: "img", "aria-label": words });
const block = ({ x, y, width, height }, name) => stroke("rect", { x, y, width, height, class: `tl-${name}` });

function drawnChains({ T }, view) {
  const { rnn, attention } = depth(T), { left, right, each } = view;
  const svg = canvas(view, `Depth to scale: the RNN ${exact(rnn)}, attention ${attention}`);
  svg.append(...view.rnn.map((mark) => block(mark, "loop")), ...view.attention.map((mark) => block(mark, "pairs")));
  const end = view.end + 8;
  svg.append(written(left - 10, 16, "RNN", "tl-name", "end"), written(right + 8, 16, exact(rnn), "tl-much"),
    written(left - 10, 62, "attention", "tl-name tl-ours", "end"), written(end, 54, String(attention), "tl-much"),
    written(end, 70, `project, score, mix, project: ${exact(T)} positions side by side`, "tl-label"));
  if (each > 1) svg.append(written(right, 32, `each mark: ${exact(each)} products`, "tl-label", "end"));
  return svg;
}

function drawnBars(view) {
  const svg = canvas(view, `Time to scale: ${view.rows.map(({ name, text }) => `${name} ${text}`).join(", ")}`);
  for (const { name, role, y, text, pieces, end } of view.rows) {
    const ours = role === "attention" ? " tl-ours" : "";
    svg.append(written(view.left - 10, y + 13, name, `tl-name${ours}`, "end"),
      ...pieces.map(({ part, x, width }) => block({ x, y, width: Math.max(width, 0.5), height: 18 }, part)),
      written(end + 8, y + 13, text, "tl-much"));
  }
  return svg;
}

function drawnChart({ T, D }, view, lengths, lost) {
  const { left, right, head, tall, x, y } = view, foot = head + tall;
  const words = lost?.T ? `; attention loses from ${exact(lost.T)} tokens on` : "";
  const svg = canvas(view, `Time by length at width ${D}${words}`);
  if (view.band) {
    const [from, to] = view.band;
    svg.append(block({ x: from, y: head, width: Math.max(2, to - from), height: tall }, "lead"),
      stroke("line", { x1: to, x2: to, y1: head, y2: foot, class: "tl-lost" }),
      written(Math.min(to + 6, right - 4), head + 12, `attention loses from ${exact(lost.T)} on`, "tl-lost-text",
        to > (left + right) / 2 ? "end" : "start"));
    if (to > (left + right) / 2) svg.lastChild.setAttribute("x", from - 6);
  }
  for (const tick of view.ticks) {
    svg.append(stroke("line", { x1: left, x2: right, y1: y(tick), y2: y(tick), class: "tl-grid" }),
      written(left - 10, y(tick) + 4, `${exact(10 ** tick)} ms`, "tl-label", "end"));
  }
  lengths.forEach((length) => svg.append(written(x(length), foot + 18, exact(length),
    length === T ? "tl-label tl-here" : "tl-label", "middle")));
  svg.append(written(right + 24, foot + 18, "T, tokens", "tl-label"),
    stroke("line", { x1: x(T), x2: x(T), y1: head, y2: foot, class: "tl-cut" }));
  view.lines.forEach(({ name, role, points }, i) => {
    if (!points.length) return;
    svg.append(stroke("path", { d: track(points), class: `tl-lap tl-of-${role}` }),
      ...points.map(([cx, cy]) => stroke("circle", { cx, cy, r: role === "attention" ? 3.2 : 2.4, class: `tl-dot tl-of-${role}` })),
      written(right + 8, view.ends[i] + 4, name, `tl-end tl-of-${role}`));
  });
  return svg;
}

export default widget(draw);
