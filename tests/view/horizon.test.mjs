import assert from "node:assert/strict";
import test from "node:test";
import { begin, current, reduce, TRIES } from "../../transformer_lab/instruments/view/horizon.js";
import { amount, FLOOR, glow, horizon, keptSettings, layout, listing, nearest, setting, share, spoken,
  summary } from "../../transformer_lab/instruments/view/lags.js";
import { apart, decade, ten, track } from "../../transformer_lab/instruments/view/strokes.js";

const START = { cell: "LSTM", gain: 1, forget_bias: 1, lag: 50, pins: [] };
const GRID = { cells: ["tanh", "LSTM + forget bias", "attention"], gains: [0.5, 1, 2], biases: [0, 3] };
const T = 5, from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const falling = (of = ["tanh", 1, 0], slope = 2) => ({ of, ...summary(
  [0, 1, 2].flatMap((seed) => Array.from({ length: T }, (_, lag) => -slope * lag - (lag && 0.1 * seed))), T) });

test("a setting drops what its cell has no use for", () => {
  assert.deepEqual(setting("tanh", 1.5, 3), ["tanh", 1.5, 0]);
  assert.deepEqual(setting("attention", 1.5, 3), ["attention", 1, 0]);
  assert.deepEqual(setting("LSTM + forget bias", 0.1 + 0.2, 3), ["LSTM + forget bias", 0.3, 3]);
});

test("a pin is kept once, at most four are kept, and each can go again", () => {
  let state = reduce(reduce(from(), { type: "pin" }), { type: "pin" });
  assert.deepEqual(state.pins, [["LSTM", 1, 0]]);
  for (const gain of [1.1, 1.2, 1.3, 1.4]) {
    state = reduce(reduce(state, { type: "set", values: { gain } }), { type: "pin" });
  }
  assert.deepEqual(state.pins.map((pin) => pin[1]), [1, 1.1, 1.2, 1.3]);
  assert.deepEqual(reduce(state, { type: "unpin", index: 1 }).pins.map((pin) => pin[1]), [1, 1.2, 1.3]);
});

test("the lag is a whole step of the row", () => {
  for (const [to, lag] of [[-3, 0], [2.4, 2], [99, 4]]) {
    assert.equal(reduce(from(), { type: "lag", to, T }).lag, lag);
  }
  assert.equal(reduce(from(), { type: "else" }).lag, 50);
});

test("every situation to try is a setting with at most four pins", () => {
  for (const name of Object.keys(TRIES)) {
    const state = reduce(from(), { type: "try", name, start: START });
    assert.ok(state.pins.length <= 4 && state.gain >= 0.5 && state.gain <= 2, name);
    assert.equal(current(state).length, 3);
  }
});

test("the nearest kept setting is of the same cell", () => {
  assert.deepEqual(nearest(["tanh", 1.4, 0], GRID), ["tanh", 1, 0]);
  assert.deepEqual(nearest(["LSTM + forget bias", 1.9, 1.75], GRID), ["LSTM + forget bias", 2, 3]);
  assert.deepEqual(nearest(["attention", 1, 0], GRID), ["attention", 1, 0]);
  assert.equal(keptSettings(GRID).length, 3 + 6 + 1);
});

test("a summary is the median and the ends of the seeds", () => {
  assert.deepEqual(summary([0, -1, 0, -9, 0, -2], 2), { middle: [0, -2], low: [0, -9], high: [0, -1] });
});

test("what underflows has a name, and no other number does", () => {
  assert.equal(amount(-99), "0 (underflow)");
  assert.equal(amount(FLOOR), "0 (underflow)");
  assert.equal(amount(FLOOR + 0.31), "2.9·10⁻⁴⁵");
  assert.equal(glow(-99), null);
  assert.deepEqual([glow(0), glow(30), glow(-30)], [[230, 159, 0], [255, 255, 255], [52, 56, 66]]);
});

test("numbers have two digits, plain where they are near 1", () => {
  const logs = [0, Math.log10(0.25), Math.log10(0.0042), 1, 2.5, 7.4, -17.72, Math.log10(9.97e-5)];
  assert.deepEqual(logs.map(ten), ["1.0", "0.25", "0.0042", "10", "316", "2.5·10⁷", "1.9·10⁻¹⁸",
    "1.0·10⁻⁴"]);
  assert.deepEqual([decade(0), decade(-20)], ["1", "10⁻²⁰"]);
});

test("shares of all lags sum to 1, whatever their size", () => {
  for (const slope of [2, -8]) {
    const { middle } = falling(undefined, slope);
    const sum = middle.reduce((total, _, lag) => total + share(middle, lag), 0);
    assert.ok(Math.abs(sum - 1) < 1e-12);
  }
  assert.equal(share([0, -99], 1), 0);
});

test("the horizon is the first lag below one thousandth", () => {
  assert.equal(horizon(falling().middle), 2);
  assert.equal(horizon([0, 0, 0]), null);
});

test("the sentence says size, spread, path, share and horizon", () => {
  assert.equal(spoken(falling(), 1, T), "tanh, gain 1: 1 step back the gradient is 0.0079 of that at the "
    + "last step (seeds: 0.0063 to 0.010). The path is 1 step long. Its share of all 5 lags: 0.79 %. "
    + "Less than 1/1000 is left from lag 2 on.");
  assert.match(spoken(falling(undefined, -2), 4, T), /is 7\.9·10⁷ times that of the last step: it explodes/);
  assert.match(spoken(falling(["attention", 1, 0], 0.1), 4, T), /^attention: 4 steps back .*path is 1 step long/);
  assert.match(spoken(falling(undefined, 20), 3, T), /3 steps back the gradient underflows float32 and is exactly 0\. The/);
  assert.match(spoken(falling(), 0, T), /0 steps back the gradient is the measure: 1\. Its share/);
});

test("everything drawn is inside its width, lag 0 at the right, bigger higher", () => {
  for (const width of [360, 552, 952]) {
    for (const whole of [true, false]) {
      const shown = [falling(), falling(["attention", 1, 0], 0.05), falling(["GRU", 1, 0], 20),
        falling(["LSTM", 2, 0], -4)];
      const view = layout(shown, { whole }, width, T);
      assert.ok(view.x(0) > view.x(4) && view.x(0) <= width);
      assert.ok(view.y(0) > view.y(3) && view.y(-3) > view.y(0));
      const points = view.curves.flatMap(({ points: p, band, gone }) => [...p, ...band, ...gone]);
      for (const [x, y] of points) {
        assert.ok(x >= view.left - 1e-9 && x <= view.right + 1e-9, `${x}`);
        assert.ok(y >= view.head - 1e-9 && y <= view.head + view.tall + 1e-9, `${y}`);
      }
      assert.equal(view.curves[2].gone.length, 2); // lags 3 and 4
      assert.equal(view.floor === null, false); // a curve reaches it, so the fitted axis does too
      const row = view.rows.at(-1);
      assert.ok(row.top + row.high < view.height);
      const ends = [...view.ends].sort((a, b) => a - b);
      ends.slice(1).forEach((y, i) => assert.ok(y - ends[i] >= 14.9));
    }
  }
});

test("a fitted axis leaves the floor out where no curve comes near it", () => {
  assert.equal(layout([falling()], { whole: false }, 900, T).floor, null);
  assert.notEqual(layout([falling()], { whole: true }, 900, T).floor, null);
});

test("the list holds every lag of every setting", () => {
  const { rows, columns, values } = listing([falling(), falling(["GRU", 1, 0])], T);
  assert.deepEqual([rows.length, columns.length, values.length], [5, 6, 30]);
});

test("labels that would meet move apart and stay inside", () => {
  assert.deepEqual(apart([10, 11, 50], 15, 0, 60), [10, 25, 50]);
  assert.deepEqual(apart([58, 59, 60], 15, 0, 60), [30, 45, 60]);
  assert.equal(track([[0, 1], [2, 3]]), "M0.0,1.0L2.0,3.0");
});
