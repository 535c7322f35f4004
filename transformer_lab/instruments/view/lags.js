// The gradient horizon without a page: settings, curves, words, and where everything is drawn.
// A setting is [cell, gain, forget bias]; a curve holds log10 of what is left at every lag.

import { apart, ten } from "./strokes.js";

export const FORGETFUL = "LSTM + forget bias", ATTENTION = "attention";
export const FLOOR = Math.log10(2 ** -149); // the smallest number of float32
const DIM = [52, 56, 66], GLOW = [230, 159, 0], HOT = [255, 255, 255];
export const DECADES = 12; // from dim to full glow, and from there to white

// The setting without what its cell has no use for; `key` names it.
export function setting(cell, gain, bias) {
  const round = (x) => Math.round(1e4 * x) / 1e4;
  return [cell, cell === ATTENTION ? 1 : round(gain), cell === FORGETFUL ? round(bias) : 0];
}
export const key = (of) => of.join("|");

// The kept settings, in the order of the file that horizon_curves.py writes.
export function keptSettings({ cells, gains, biases }) {
  return cells.flatMap((cell) => (cell === ATTENTION ? [1] : gains).flatMap((gain) =>
    (cell === FORGETFUL ? biases : [0]).map((bias) => [cell, gain, bias])));
}

const closest = (list, x) => list.reduce((best, y) => (Math.abs(y - x) < Math.abs(best - x) ? y : best));

// The kept setting of the same cell that is nearest.
export function nearest([cell, gain, bias], { gains, biases }) {
  return setting(cell, closest(gains, gain), closest(biases, bias));
}

// seeds x T logarithms -> the median, lowest and highest of the seeds at every lag.
export function summary(logs, T) {
  const seeds = logs.length / T, out = { middle: [], low: [], high: [] };
  for (let lag = 0; lag < T; lag++) {
    const found = Array.from({ length: seeds }, (_, i) => logs[i * T + lag]).sort((a, b) => a - b);
    out.middle.push((found[(seeds - 1) >> 1] + found[seeds >> 1]) / 2);
    out.low.push(found[0]);
    out.high.push(found[seeds - 1]);
  }
  return out;
}

export const amount = (log) => (log <= FLOOR ? "0 (underflow)" : ten(log));

// The first lag with less than 1/1000 left, or null.
export function horizon(middle) {
  const lag = middle.findIndex((log) => log < -3);
  return lag < 0 ? null : lag;
}

// The part of the sum over all lags that one lag has.
export function share(middle, lag) {
  const most = Math.max(...middle);
  const sizes = middle.map((log) => (log <= FLOOR ? 0 : 10 ** (log - most)));
  return sizes[lag] / sizes.reduce((a, b) => a + b);
}

export function settingTitle([cell, gain, bias]) {
  const name = cell === FORGETFUL ? `${cell} ${bias}` : cell;
  return cell === ATTENTION ? name : `${name}, gain ${gain}`;
}
export function settingLabel([cell, gain, bias]) {
  const name = cell === FORGETFUL ? `LSTM +${bias}` : cell.replace("orthogonal", "orth.");
  return gain === 1 ? name : `${name} ×${gain}`;
}

export function spoken({ of, middle, low, high }, lag, T) {
  const steps = (n) => `${n} step${n === 1 ? "" : "s"}`;
  const log = middle[lag], name = settingTitle(of);
  const range = `${amount(low[lag])} to ${amount(high[lag])}`;
  const size = log <= FLOOR ? "underflows float32 and is exactly 0"
    : lag === 0 ? "is the measure: 1"
      : log > 1 ? `is ${ten(log)} times that of the last step: it explodes`
        : `is ${ten(log)} of that at the last step`;
  const seeds = lag === 0 || high[lag] <= FLOOR ? "" : ` (seeds: ${range})`;
  const path = lag === 0 ? "" : of[0] === ATTENTION ? " The path is 1 step long."
    : ` The path is ${steps(lag)} long.`;
  const part = share(middle, lag), percent = 100 * part;
  const sum = part === 0 ? "" : ` Its share of all ${T} lags: ${
    percent < 0.01 ? ten(Math.log10(percent)) : percent.toPrecision(2)} %.`;
  const end = horizon(middle);
  const reach = end === null ? (log > 1 ? "" : " At least 1/1000 is left at every lag.")
    : ` Less than 1/1000 is left from lag ${end} on.`;
  return `${name}: ${steps(lag)} back the gradient ${size}${seeds}.${path}${sum}${reach}`;
}

// The brightness of a step as [r, g, b], or null where the gradient underflowed.
export function glow(log) {
  if (log <= FLOOR) return null;
  const [low, high] = log < 0 ? [DIM, GLOW] : [GLOW, HOT];
  const t = Math.min(1, Math.max(0, log < 0 ? (log + DECADES) / DECADES : log / DECADES));
  return low.map((a, i) => Math.round(a + (high[i] - a) * t));
}

// Where everything stands in `width` pixels. Time runs to the right, so lag 0 is at the right.
export function layout(shown, { whole }, width, T) {
  const left = width < 700 ? 108 : 132, right = width - 50, head = 24, tall = width < 700 ? 220 : 260;
  const alive = shown.flatMap(({ low, high, middle }) => [...low, ...high, ...middle])
    .filter((log) => log > FLOOR);
  const most = Math.max(...alive), least = Math.min(...alive);
  const top = whole ? Math.max(3, Math.ceil(most) + 1) : Math.max(0.5, most + 0.5);
  const gone = shown.some(({ middle }) => middle.some((log) => log <= FLOOR));
  const bottom = whole || gone ? FLOOR - 2 : Math.max(FLOOR - 2, Math.min(-1, least - 0.5));
  const x = (lag) => left + ((T - 1 - lag) * (right - left)) / (T - 1);
  const y = (log) => head + (tall * (top - Math.min(top, Math.max(log, FLOOR, bottom)))) / (top - bottom);
  const step = [1, 2, 5, 10, 20].find((n) => (top - bottom) / n <= 8);
  const ticks = [];
  for (let n = Math.ceil(bottom / step) * step; n <= top; n += step) ticks.push(n);
  const curves = shown.map(({ of, middle, low, high }) => {
    const points = middle.map((log, lag) => [x(lag), y(log)]);
    const band = [...high.map((log, lag) => [x(lag), y(log)]),
      ...low.map((log, lag) => [x(lag), y(log)]).reverse()];
    return { label: settingLabel(of), points: points.filter((_, lag) => middle[lag] > FLOOR), band,
      gone: points.filter((_, lag) => middle[lag] <= FLOOR) };
  });
  const ends = apart(shown.map(({ middle }) => y(middle[T - 1])), 15, head, head + tall);
  let at = head + tall + 50;
  const rows = shown.map(({ of }) => {
    const fan = of[0] === ATTENTION, high = fan ? 50 : 22, place = at;
    at += high + 24;
    return { top: place, high, node: place + high - 11, fan };
  });
  const lags = [];
  for (let lag = 0; lag < T; lag += width < 700 ? 20 : 10) lags.push(lag);
  return { width, height: at - 2, left, right, head, tall, x, y, ticks, lags, curves, ends, rows,
    floor: FLOOR >= bottom ? y(FLOOR) : null, dot: Math.min(3.6, (0.42 * (right - left)) / (T - 1)) };
}

// Every lag of every setting, and the same text for the table and the clipboard.
export function listing(shown, T) {
  const columns = shown.flatMap(({ of }) => {
    const name = settingTitle(of);
    return [`${name}: median`, "lowest", "highest"];
  });
  const values = Array.from({ length: T }, (_, lag) => shown.flatMap(({ middle, low, high }) =>
    [middle[lag], low[lag], high[lag]])).flat();
  return { rows: Array.from({ length: T }, (_, lag) => `lag ${lag}`), columns, values };
}
