// Sliders and the two plots of the position explorer: distance and slopes.

import { brief } from "./mix.js";
import { h } from "./parts.js";
import { amount, likeness, slopes } from "./position_sums.js";
import { slider } from "./slider.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 640, HIGH = 250, EDGE = { left: 52, right: 22, top: 24, bottom: 38 };

// An element of a drawing.
export function shape(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    element.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  element.append(...children);
  return element;
}

// --- sliders

// Two significant digits: 10, 11, … 1,000,000.
export const rounded = (x) => Number((10 ** x).toPrecision(2));
export const knobs = (act) => ({
  width: slider("width D", { low: 4, high: 64, step: 2 }, (width) => act({ type: "set", values: { width } })),
  base: slider("base", { low: 1, high: 6, step: 0.02, read: rounded, write: Math.log10,
    say: (x) => amount(x).replace(/\.0$/, "") }, (base) => act({ type: "set", values: { base } })),
});
export const going = (act, label, what, length) =>
  slider(label, { low: 0, high: length - 1 }, (to) => act({ type: "go", what, to }));
export const slides = (...sliders) => h("div", { class: "tl-slides", style: `--tl-count:${sliders.length}` },
  ...sliders.map((one) => one.element));

// --- plots

// A scale from numbers to pixels, and round numbers along it.
export function scaleOf(low, high, from, to, most = 7) {
  const rough = (high - low) / most || 1, ten = 10 ** Math.floor(Math.log10(rough));
  const step = ten * [1, 2, 5, 10].find((x) => x * ten >= rough * (1 - 1e-9));
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) ticks.push(i * step + 0);
  return { to: (x) => from + ((x - low) / (high - low || 1)) * (to - from),
    from: (pixel) => low + ((pixel - from) / (to - from)) * (high - low), ticks };
}

const path = (points) => points.map((p) => p.map((x) => x.toFixed(1)).join(",")).join(" ");

// Distance across, product up; `chosen` is the pair (m, n).
export function distanceLayout(state, content) {
  const { length } = content, found = likeness(state, length), reach = length - 1;
  const half = state.cosine ? state.width / 2 : Math.max(1, state.width / 4);
  const all = [found.curve, ...found.others].flat().map(({ value }) => value);
  const x = scaleOf(-reach, reach, EDGE.left, WIDE - EDGE.right, 10);
  const y = scaleOf(Math.min(0, ...all), Math.max(half, ...all), HIGH - EDGE.bottom, EDGE.top, 5);
  const line = (curve) => curve.map(({ m, n, value }) => [x.to(n - m), y.to(value)]);
  const apart = state.other - state.position;
  return { x, y, line: line(found.curve), others: found.others.map(line),
    ends: found.others.map((curve) => curve[0].m),
    chosen: [x.to(apart), y.to(found.here)], zero: [x.to(0), y.to(0)] };
}

// Distance across, bias up: one line a head.
export function slopeLayout(state, content) {
  const reach = content.length - 1, all = slopes(state.heads);
  const apart = Math.abs(state.position - state.other);
  const low = -Math.min(reach * Math.max(...all), Math.max(4, 1.6 * reach * all[state.head]));
  const x = scaleOf(0, reach, EDGE.left, WIDE - 58, 8);
  const y = scaleOf(low, 0, HIGH - EDGE.bottom, EDGE.top, 5);
  const lines = all.map((slope) => { // where a line leaves the picture, it ends
    const end = Math.min(reach, -low / slope);
    return [[x.to(0), y.to(0)], [x.to(end), y.to(-slope * end)]];
  });
  const bias = -all[state.head] * apart, shown = Math.max(low, bias);
  return { x, y, lines, chosen: [x.to(apart), y.to(shown)], outside: bias < low,
    labels: lineNames(lines.map((points) => points[1]), state.head) };
}

// Which heads' names can stand at the ends of their lines: the chosen one's, then what has room.
function lineNames(ends, chosen) {
  const free = (at, taken) => taken.every((i) => Math.abs(ends[i][1] - at[1]) > 12
    || Math.abs(ends[i][0] - at[0]) > (i === chosen ? 60 : 24));
  return ends.reduce((taken, end, i) => (i !== chosen && free(end, taken) ? [...taken, i] : taken), [chosen]);
}

function axes(x, y, left, bottom, sayX) {
  const grid = shape("g", { class: "tl-axes" });
  for (const tick of y.ticks) {
    grid.append(shape("line", { x1: EDGE.left, x2: WIDE - EDGE.right, y1: y.to(tick), y2: y.to(tick) }),
      shape("text", { x: EDGE.left - 6, y: y.to(tick) + 4, "text-anchor": "end" }, brief(tick)));
  }
  for (const tick of x.ticks) {
    grid.append(shape("text", { x: x.to(tick), y: HIGH - EDGE.bottom + 17, "text-anchor": "middle" },
      sayX(tick)));
  }
  grid.append(shape("text", { x: EDGE.left - 44, y: 11 }, left),
    shape("text", { x: (EDGE.left + WIDE - EDGE.right) / 2, y: HIGH - 4, "text-anchor": "middle" }, bottom));
  return grid;
}

function plot(label, move) {
  const point = (event) => {
    const box = svg.getBoundingClientRect();
    move(((event.clientX - box.left) * WIDE) / box.width);
  };
  const svg = shape("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "tl-plot", role: "img",
    "aria-label": label });
  svg.addEventListener("pointerdown", (event) => { svg.setPointerCapture(event.pointerId); point(event); });
  svg.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
  return svg;
}

export function drawDistance(act, content, now) {
  const { width, base } = knobs(act), { length } = content;
  const pinned = going(act, "pinned position m", "query", length);
  const other = going(act, "other position n", "key", length);
  const drop = h("input", { type: "checkbox",
    onchange: () => act({ type: "set", values: { cosine: !drop.checked } }) });
  const svg = plot("The product of two positions by their distance", (pixel) => {
    const n = now().position + Math.round(distanceLayout(now(), content).x.from(pixel));
    act({ type: "go", what: "key", to: n });
  });
  const note = h("p", { class: "tl-quiet" });
  const element = h("div", {}, slides(pinned, other, width, base),
    h("label", { class: "tl-choice" }, drop, h("span", {}, "drop the cosine")), svg, note);
  return { element, update(state) {
    [[pinned, "position"], [other, "other"], [width, "width"], [base, "base"]].forEach(([one, name]) =>
      one.update(state[name]));
    drop.checked = !state.cosine;
    const { x, y, line, others, ends, chosen, zero } = distanceLayout(state, content);
    svg.replaceChildren(
      axes(x, y, "PE(m) · PE(n)", "n, counted from m", (tick) => (tick === 0 ? "m"
        : `m ${tick < 0 ? "−" : "+"} ${Math.abs(tick)}`)),
      shape("line", { x1: zero[0], x2: zero[0], y1: EDGE.top, y2: HIGH - EDGE.bottom, class: "tl-zero" }),
      ...others.map((points) => shape("polyline", { points: path(points), class: "tl-thin" })),
      shape("polyline", { points: path(line), class: "tl-thick" }),
      shape("line", { x1: chosen[0], x2: chosen[0], y1: chosen[1], y2: HIGH - EDGE.bottom, class: "tl-drop" }),
      shape("circle", { cx: chosen[0], cy: chosen[1], r: 6, class: "tl-dot" }));
    note.textContent = `Blue: m = ${state.position}. Thin: m = ${ends.join(", ")}`
      + `${state.cosine ? "; they lie on the same curve." : "; each goes its own way."}`;
  } };
}

// --- slopes

export function drawSlopes(act, content, now) {
  const { length } = content;
  const heads = slider("heads", { low: 1, high: 16 }, (value) => act({ type: "set", values: { heads: value } }));
  const head = slider("head", { low: 0, high: 15 }, (value) => act({ type: "set", values: { head: value } }));
  const apart = slider("distance", { low: 0, high: length - 1 }, (to) => act({ type: "apart", to }));
  const svg = plot("Bias by distance, one line a head", (pixel) =>
    act({ type: "apart", to: Math.round(slopeLayout(now(), content).x.from(pixel)) }));
  const element = h("div", {}, slides(heads, head, apart), svg);
  return { element, update(state) {
    heads.update(state.heads);
    head.update(state.head, state.heads - 1);
    apart.update(Math.abs(state.position - state.other));
    const { x, y, lines, chosen, outside, labels } = slopeLayout(state, content);
    svg.replaceChildren(axes(x, y, "bias", "distance between query and key", String),
      ...lines.map((points) => shape("polyline", { points: path(points), class: "tl-thin" })),
      shape("polyline", { points: path(lines[state.head]), class: "tl-thick" }),
      ...labels.map((i) => shape("text", { x: lines[i][1][0] + 6,
        y: Math.min(HIGH - EDGE.bottom - 2, lines[i][1][1] + 4), class: i === state.head ? "tl-line-name" : "" },
      i === state.head ? `head ${i}` : String(i))),
      shape("line", { x1: chosen[0], x2: chosen[0], y1: EDGE.top, y2: HIGH - EDGE.bottom, class: "tl-drop" }),
      ...(outside ? [] : [shape("circle", { cx: chosen[0], cy: chosen[1], r: 6, class: "tl-dot" })]));
  } };
}
