// The chart of a stack before training: one line over its layers, the whole layer's lines in grey.

import { shape } from "./block_diagram.js";

export const BASELINES = ["pre rnaf", "post rnaf"];
export const CHART = { width: 460, height: 250, left: 52, right: 372, top: 12, bottom: 214 };

// Two digits: 3.2, 240, 2.4·10⁻⁵; as `ratio` in builder_still.py.
export function ratio(x) {
  const [digits, power] = x.toExponential(1).split("e"), exponent = Number(power);
  if (exponent > -3 && exponent < 1) return Number(`${digits}e${exponent}`).toFixed(1 - exponent);
  if (exponent > 0 && exponent < 4) return String(Number(`${digits}e${exponent}`));
  const raised = String(exponent).replace("-", "⁻").replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d]);
  return `${digits}·10${raised}`;
}

// 10ⁿ on an axis.
export const power = (n) => (n === 0 ? "1" : n > 0 && n < 4 ? String(10 ** n)
  : n < 0 && n > -3 ? String(10 ** n)
    : `10${String(n).replace("-", "⁻").replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d])}`);

// The lines to draw, ours last, and the range of the axis: of powers of ten, or of cosines.
export function curves(key, measure, profile) {
  const first = measure === "weights" ? 1 : 0;
  const lines = [...BASELINES.filter((one) => one !== key), key].flatMap((one) => {
    const values = profile(one)?.[measure];
    if (!values?.length) return [];
    return [{ ours: one === key, values, first, name: one === key ? "this layer"
      : `all, ${one.split(" ")[0]}` }];
  });
  const all = lines.flatMap(({ values }) => values);
  if (measure === "alike") return { lines, low: Math.min(0, ...all), high: 1, ticks: [0, 0.5, 1] };
  const low = Math.floor(Math.min(0, ...all) - 0.1), high = Math.ceil(Math.max(0, ...all) + 0.1);
  const by = Math.max(1, Math.ceil((high - low) / 6)), ticks = [];
  for (let power = Math.ceil(low / by) * by; power <= high; power += by) ticks.push(power);
  return { lines, low, high, ticks };
}

export const across = (i, depth) =>
  CHART.left + ((CHART.right - CHART.left) * i) / Math.max(1, depth);
const upward = (y, { low, high }) =>
  CHART.bottom - ((CHART.bottom - CHART.top) * (y - low)) / (high - low);

// The layer under a pointer at x.
export function under(x, state) {
  const share = (x - CHART.left) / (CHART.right - CHART.left);
  return Math.round(share * state.depth);
}

// Names at the ends of lines, moved apart so that none covers another.
export function apart(heights, gap = 15) {
  const order = heights.map((_, i) => i).sort((a, b) => heights[a] - heights[b]);
  const out = [...heights];
  order.forEach((i, n) => { if (n) out[i] = Math.max(out[i], out[order[n - 1]] + gap); });
  const over = Math.max(0, Math.max(...out) - CHART.bottom);
  return out.map((y) => y - over);
}

export function drawChart(state, shown) {
  const { depth, measure, at } = state, { lines, low, high, ticks } = shown;
  const first = measure === "weights" ? 1 : 0;
  const range = { low, high }, log = measure !== "alike", tags = [];
  const svg = shape("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, "aria-hidden": "true" });
  for (const tick of ticks) {
    const y = upward(tick, range), zero = tick === 0 && log;
    svg.append(shape("line", { x1: CHART.left, x2: CHART.right, y1: y, y2: y,
      class: zero ? "tl-unit" : "tl-grid" }),
    shape("text", { x: CHART.left - 7, y: y + 4, "text-anchor": "end" },
      log ? power(tick) : String(tick)));
  }
  if (at !== null) {
    const x = across(at, depth);
    svg.append(shape("line", { x1: x, x2: x, y1: CHART.top, y2: CHART.bottom, class: "tl-cursor" }));
  }
  for (const { ours, values, name } of lines) {
    const points = values.map((y, i) => [across(i + first, depth), upward(y, range)]);
    svg.append(shape("polyline", { points: points.join(" "), class: ours ? "tl-ours" : "tl-base" }));
    if (ours) {
      points.forEach(([x, y], i) => svg.append(shape("circle", { cx: x, cy: y,
        r: i + first === at ? 5.5 : depth > 12 ? 2.2 : 3.2, class: "tl-dot" })));
    }
    tags.push({ y: points.at(-1)[1], name, ours });
  }
  apart(tags.map(({ y }) => y)).forEach((y, i) => svg.append(shape("text", { x: CHART.right + 9, y: y + 4,
    class: tags[i].ours ? "tl-ours-name" : "" }, tags[i].name)));
  const below = CHART.bottom + 17;
  svg.append(shape("text", { x: across(first, depth), y: below, "text-anchor": "middle" },
    first ? (depth > 1 ? "layer 1" : "") : "embedding"),
    shape("text", { x: CHART.right, y: below, "text-anchor": "middle" }, `layer ${depth}`),
    shape("text", { x: (CHART.left + CHART.right) / 2, y: below + 15, "text-anchor": "middle" },
      "from the bottom of the stack to its top"));
  return svg;
}
