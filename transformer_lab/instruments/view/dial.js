// The temperature dial: width, keys, scale and temperature, and what they do to a softmax.
// Everything but `draw` is pure.

import { EXPONENTS, factor, histogram, measured, scoreTables, SIZES, STORIES, story, widest, WIDTHS }
  from "./draws.js";
import { copy, csv, h, listen, readout, table, widget } from "./parts.js";
import { diverging, moveCursor } from "./matrix.js";
import { fitted, stroke, track } from "./strokes.js";

const SYNCED = ["d", "S", "exponent", "temperature"], BINS = 61;
const PAUSE = 120; // ms of rest before the map is worked out again
export const SCALES = [[0, "no scale"], [0.5, "÷ √d"], [1, "÷ d"]];
const NAMED = Object.fromEntries(SCALES);

export function begin(get) {
  return { ...Object.fromEntries(SYNCED.map((name) => [name, get(name)])), listed: false };
}

export const TRIES = {
  folklore: { label: "Where the usual story is false", change: () => ({ d: 64, S: 256, exponent: 0.5,
    temperature: 1 }) },
  holds: { label: "Where it holds", change: () => ({ d: 1024, S: 16, exponent: 0.5, temperature: 1 }) },
  flat: { label: "Too much scale", change: () => ({ exponent: 1, temperature: 1 }) },
  reset: { label: "Start again", change: (start) =>
    Object.fromEntries(SYNCED.map((name) => [name, start[name]])) },
};

export function reduce(state, event) {
  switch (event.type) {
    case "set":
      return { ...state, ...event.values };
    case "cell": // of the map: columns are widths, rows are numbers of keys, the largest on top
      return { ...state, d: WIDTHS[event.column], S: SIZES[SIZES.length - 1 - event.row] };
    case "try":
      return { ...state, ...TRIES[event.name].change(event.start) };
    default:
      return state;
  }
}

// What the unscaled case is compared with: the chosen scale, or √d where none is chosen.
export const partner = (state) => state.exponent || 0.5;

// Everything shown but the map: the numbers for each scale, and their ratio.
export function figures(state, tables) {
  const of = Object.fromEntries(EXPONENTS.map((e) =>
    [e, measured(tables[state.d], state.S, factor(state, e))]));
  return { of, chosen: of[state.exponent], ratio: of[0].gradient / of[partner(state)].gradient };
}

// The ratio without / with the scale for all widths (columns) and numbers of keys (rows).
export function map(tables, temperature, exponent) {
  return [...SIZES].reverse().flatMap((S) => WIDTHS.map((d) => {
    const at = { d, temperature };
    return measured(tables[d], S, factor(at, 0)).gradient
      / measured(tables[d], S, factor(at, exponent)).gradient;
  }));
}

export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.01 ? 1 : 0)} %`;
export const times = (ratio) => (ratio >= 0.01 ? ratio.toFixed(2) : "under 0.01");
export const small = (x) => (x > 0 && x < 0.0005 ? "under 0.001" : x.toFixed(3));

export function spoken(state, { of, ratio }) {
  const other = partner(state), scaled = of[other], bare = of[0];
  return `d = ${state.d}, ${state.S} keys, temperature ${state.temperature}. ${STORIES[story(ratio)].verdict} `
    + `It is ${small(bare.gradient)} without, ${small(scaled.gradient)} with ${NAMED[other]}: ${times(ratio)} times. `
    + `Saturated rows: ${percent(bare.saturated)} without, ${percent(scaled.saturated)} with.`;
}

// The three measures as bars: {title, note, most, rows: [{name, value, text, chosen}]}.
export function bars(state, { of }) {
  const most = Math.log(state.S);
  const measures = [
    ["Gradient", "mean norm of the softmax’s Jacobian", "gradient", 0.5, small],
    ["Saturated rows", "largest weight above .99", "saturated", 1, percent],
    ["Entropy", `in nats; at most ${most.toFixed(2)}`, "entropy", most, (x) => x.toFixed(2)],
  ];
  return measures.map(([title, note, name, end, format]) => ({ title, note, rows: SCALES.map(([e, label]) =>
    ({ name: label, share: Math.min(1, of[e][name] / end), text: format(of[e][name]), scaled: e > 0,
      chosen: e === state.exponent })) }));
}

// Two outlines in `width` pixels: the scores without a scale and with it, each to its own height.
export function outlines(state, tables, width) {
  const scores = tables[state.d], others = [0, partner(state)], left = 12, right = width - 12;
  const reach = Math.max(...others.map((e) => widest(scores, state.S, factor(state, e))));
  const base = 128, tall = 108, x = (value) => left + ((value + reach) / (2 * reach)) * (right - left);
  return { width, height: 152, base, x, reach, ticks: [-reach, -reach / 2, 0, reach / 2, reach],
    shapes: others.map((e) => {
      const counts = histogram(scores, state.S, factor(state, e), reach, BINS), most = Math.max(...counts);
      const edge = (i) => left + (i * (right - left)) / BINS;
      const points = counts.flatMap((count, i) => {
        const y = base - (tall * count) / most;
        return [[edge(i), y], [edge(i + 1), y]];
      });
      return { exponent: e, chosen: e === state.exponent, points: [[left, base], ...points, [right, base]] };
    }) };
}

// [-1, 1] for a colour: 0 where the gradients are equal, ±1 where one is four times the other.
export const tint = (ratio) => Math.max(-1, Math.min(1, Math.log2(ratio) / 2));

// Black or white, whichever stands out more on [r, g, b]: never below 4.5 to 1.
export function inkOn(colour) {
  const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

const known = new Map(); // seed -> tables: two copies on a page share them
const tablesOf = (seed) => {
  if (!known.has(seed)) known.set(seed, scoreTables(seed));
  return known.get(seed);
};

function draw(model, el) {
  const start = model.get("start"), tables = tablesOf(start.seed);
  let state = begin((name) => model.get(name)), waiting = false, width = 0;
  let ratios = null, mapped = "", timer = null, cell = 36;

  function act(event) {
    state = reduce(state, event);
    const news = SYNCED.filter((name) => model.get(name) !== state[name]);
    news.forEach((name) => model.set(name, state[name]));
    if (news.length) model.save_changes();
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const set = (values) => act({ type: "set", values });

  const turn = (label, hint, low, high, step, read) => {
    const range = h("input", { type: "range", min: low, max: high, step, "aria-label": label,
      oninput: () => set(read(Number(range.value))) });
    const number = h("b", { class: "tl-number" });
    return { range, number, element: h("label", { class: "tl-turn" },
      h("span", { class: "tl-row" }, label, number), range, h("span", { class: "tl-quiet" }, hint)) };
  };
  const wide = turn("d", "numbers in a query and a key", 0, WIDTHS.length - 1, 1, (i) => ({ d: WIDTHS[i] }));
  const many = turn("S", "keys to choose from", 0, SIZES.length - 1, 1, (i) => ({ S: SIZES[i] }));
  const warm = turn("temperature", "divides every score", -1, 1, 0.02,
    (log) => ({ temperature: Number((10 ** log).toPrecision(3)) }));
  const radios = SCALES.map(([value, label]) => h("input", { type: "radio", name: "scale", value,
    "aria-label": label, onchange: () => set({ exponent: value }) }));
  const choice = h("fieldset", { class: "tl-turn tl-scales" }, h("legend", {}, "scale"),
    // A form of their own: radios of one name in two forms are two choices.
    h("form", { class: "tl-row", onsubmit: (event) => event.preventDefault() }, ...radios.map((radio, i) =>
      h("label", { class: "tl-choice" }, radio, h("span", {}, SCALES[i][1])))),
    h("span", { class: "tl-quiet" }, "times d to the power 0, −½ or −1"));
  const tries = Object.entries(TRIES).map(([key, { label }]) => h("button", { type: "button",
    onclick: () => act({ type: "try", name: key, start }) }, label));
  const said = readout(), drawing = h("div", { class: "tl-hist" }), measures = h("div", { class: "tl-measures" });
  const note = h("p", { class: "tl-quiet tl-spreads" });
  const grid = h("div", { class: "tl-map", tabindex: 0, role: "application",
    "aria-label": "map of width and keys: arrow keys choose both",
    onkeydown(event) {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const here = { row: SIZES.length - 1 - SIZES.indexOf(state.S), column: WIDTHS.indexOf(state.d) };
      const to = moveCursor(here, event.key, SIZES.length, WIDTHS.length);
      if (!to) return;
      act({ type: "cell", ...to });
      event.preventDefault();
    },
    onpointerdown(event) { if (!event.button) { grid.setPointerCapture(event.pointerId); point(event); } },
    onpointermove(event) { if (grid.hasPointerCapture(event.pointerId)) point(event); } });
  function point(event) {
    const box = grid.getBoundingClientRect(), inside = (x, count) => Math.max(0, Math.min(count - 1, Math.floor(x)));
    act({ type: "cell", column: inside((event.clientX - box.left - 40) / cell, WIDTHS.length),
      row: inside((event.clientY - box.top) / 26, SIZES.length) });
  }
  const signs = h("p", { class: "tl-quiet tl-signs" },
    ...Object.values(STORIES).flatMap(({ sign, words }) => [h("b", {}, sign), ` ${words}   `]));
  const shelf = h("div"), copied = h("span", { class: "tl-quiet", role: "status" });
  const list = h("button", { type: "button", onclick: () => set({ listed: !state.listed }) });
  const csvButton = h("button", { type: "button", async onclick() {
    const { rows, columns, values } = listing(figures(state, tables));
    copied.textContent = await copy(csv(rows, columns, values, (x) => String(Number(x.toPrecision(9)))))
      ? "Copied." : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  const mapTitle = h("p", { class: "tl-name" });

  el.append(h("div", { class: "tl-dial" }, start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-turns" }, wide.element, many.element, choice, warm.element),
    h("div", { class: "tl-row", role: "group", "aria-label": "settings to try" },
      h("span", { class: "tl-quiet" }, "Try"), ...tries),
    said.element,
    h("div", { class: "tl-halves" },
      h("div", {}, h("p", { class: "tl-name" }, "Scores that go into the softmax"), drawing, note, measures),
      h("div", {}, mapTitle, h("p", { class: "tl-quiet" }, "The usual story: without the scale, the "
        + "softmax saturates and its gradient vanishes. Choose a cell."), grid, signs)),
    h("div", { class: "tl-row" }, list, csvButton, copied), shelf));

  // The map at rest: at once the first time, later when nothing has moved for a while.
  function chart() {
    const wanted = `${state.temperature} ${partner(state)}`;
    if (wanted === mapped) { clearTimeout(timer); paint(); return; }
    const work = () => {
      [mapped, ratios] = [wanted, map(tables, state.temperature, partner(state))];
      paint();
    };
    clearTimeout(timer);
    if (!ratios) return work();
    paint();
    timer = setTimeout(work, PAUSE);
  }
  function paint() {
    const stale = mapped !== `${state.temperature} ${partner(state)}`;
    grid.classList.toggle("tl-stale", stale);
    mapTitle.textContent = `Gradient without the scale, compared with ${NAMED[partner(state)]}`;
    if (width) grid.replaceChildren(mapDrawn(ratios, state, cell));
  }

  function show() {
    waiting = false;
    const found = figures(state, tables);
    const put = (one, at, text) => {
      if (Number(one.range.value) !== at) one.range.value = at;
      one.number.textContent = text;
      one.range.setAttribute("aria-valuetext", text);
    };
    put(wide, WIDTHS.indexOf(state.d), String(state.d));
    put(many, SIZES.indexOf(state.S), String(state.S));
    if (Math.abs(Number(warm.range.value) - Math.log10(state.temperature)) > 0.011) {
      warm.range.value = Math.log10(state.temperature);
    }
    warm.number.textContent = String(state.temperature);
    warm.range.setAttribute("aria-valuetext", String(state.temperature));
    radios.forEach((radio) => { radio.checked = Number(radio.value) === state.exponent; });
    said.say(spoken(state, found));
    const other = partner(state);
    note.textContent = `Spread: ${found.of[0].spread.toPrecision(3)} without a scale, `
      + `${found.of[other].spread.toPrecision(3)} with ${NAMED[other]}. Each outline has its own height.`;
    if (width) drawing.replaceChildren(histogramDrawn(outlines(state, tables, width)));
    measures.replaceChildren(...bars(state, found).map(barsDrawn));
    list.textContent = state.listed ? "Hide the table" : "Show as table";
    list.setAttribute("aria-expanded", String(state.listed));
    if (state.listed) {
      const { rows, columns, values } = listing(found);
      shelf.replaceChildren(table(`d = ${state.d}, S = ${state.S}, temperature ${state.temperature}`,
        rows, columns, values, (x) => x.toFixed(4)));
    } else shelf.replaceChildren();
    chart();
  }

  const stop = listen(model, Object.fromEntries(SYNCED.map((key) => [`change:${key}`, () => {
    if (model.get(key) !== state[key]) set({ [key]: model.get(key) });
  }])));
  const rest = fitted(drawing, (found) => {
    [width, cell] = [found, Math.min(44, Math.floor((grid.clientWidth - 44) / WIDTHS.length))];
    show();
  });
  show();
  return () => { stop(); rest(); clearTimeout(timer); };
}

// One line for each scale.
export function listing({ of }) {
  const columns = ["spread", "entropy", "saturated", "gradient"];
  return { rows: SCALES.map(([, label]) => label), columns,
    values: SCALES.flatMap(([e]) => columns.map((column) => of[e][column])) };
}

function histogramDrawn({ width, height, base, x, ticks, shapes }) {
  const svg = stroke("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "histogram of the scores" });
  shapes.forEach(({ exponent, chosen, points }, i) => {
    svg.append(stroke("path", { d: `${track(points)}Z`,
      class: `${i ? "tl-with" : "tl-bare"}${chosen ? " tl-is" : ""}`, "data-exponent": exponent }));
  });
  svg.append(stroke("line", { x1: x(ticks[0]), x2: x(ticks[4]), y1: base, y2: base, class: "tl-base" }));
  for (const tick of ticks) {
    const text = String(Number(tick.toPrecision(3))).replace("-", "−");
    const anchor = tick === ticks[0] ? "start" : tick === ticks[4] ? "end" : "middle";
    svg.append(stroke("text", { x: x(tick), y: base + 16, "text-anchor": anchor }, text));
  }
  return svg;
}

function barsDrawn({ title, note, rows }) {
  return h("div", { class: "tl-measure" }, h("p", { class: "tl-name" }, title),
    h("p", { class: "tl-quiet" }, note),
    ...rows.map(({ name, share, text, scaled, chosen }) => {
      const bar = h("span", { class: "tl-full" }), long = h("span", { class: scaled ? "tl-scaled" : "" });
      long.style.width = `${100 * share}%`;
      bar.append(long);
      return h("div", { class: chosen ? "tl-line tl-is" : "tl-line" }, h("span", {}, name), bar,
        h("span", { class: "tl-number" }, text));
    }));
}

function mapDrawn(ratios, state, cell) {
  const tall = 26, left = 40, columns = WIDTHS.length, rows = SIZES.length;
  const width = left + cell * columns + 4, height = tall * rows + 40;
  const svg = stroke("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  ratios.forEach((ratio, i) => {
    const x = left + cell * (i % columns), y = tall * Math.floor(i / columns), colour = diverging(tint(ratio));
    svg.append(stroke("rect", { x, y, width: cell, height: tall, fill: `rgb(${colour.join(" ")})` }),
      stroke("text", { x: x + cell / 2, y: y + 18, "text-anchor": "middle", class: "tl-sign-of",
        style: `fill: ${inkOn(colour)}` }, STORIES[story(ratio)].sign));
  });
  // The border of the region in which the usual story is false.
  const untrue = (row, column) => row >= 0 && row < rows && column >= 0 && column < columns
    && ratios[row * columns + column] > 0.9;
  let border = "";
  for (let row = 0; row <= rows; row++) {
    for (let column = 0; column <= columns; column++) {
      const x = left + cell * column, y = tall * row, here = untrue(row, column);
      if (here !== untrue(row, column - 1)) border += `M${x},${y}v${tall}`;
      if (here !== untrue(row - 1, column)) border += `M${x},${y}h${cell}`;
    }
  }
  const column = WIDTHS.indexOf(state.d), row = rows - 1 - SIZES.indexOf(state.S);
  svg.append(stroke("path", { d: border, class: "tl-border" }),
    ...["tl-under", "tl-cursor"].map((name) => stroke("rect", { x: left + cell * column + 3,
      y: tall * row + 3, width: cell - 6, height: tall - 6, class: name })));
  WIDTHS.forEach((d, i) => svg.append(stroke("text", { x: left + cell * (i + 0.5), y: tall * rows + 15,
    "text-anchor": "middle" }, String(d))));
  [...SIZES].reverse().forEach((S, i) => svg.append(stroke("text", { x: left - 6, y: tall * i + 17,
    "text-anchor": "end" }, String(S))));
  svg.append(stroke("text", { x: 0, y: tall * rows + 15 }, "S ↑"),
    stroke("text", { x: width - 4, y: tall * rows + 32, "text-anchor": "end" }, "d →"),
    stroke("text", { x: left, y: tall * rows + 32, class: "tl-inside" }, "inside the line: the usual story is false"));
  return svg;
}

export default widget(draw);
