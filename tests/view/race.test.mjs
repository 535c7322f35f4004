import assert from "node:assert/strict";
import test from "node:test";
import { bars, begin, chains, chart, crossing, depth, listing, ms, products, readTimes, reduce, spoken, TRIES }
  from "../../transformer_lab/instruments/view/race.js";

const LENGTHS = [16, 32, 64, 128], SIZES = { widths: [16, 32], lengths: LENGTHS };
const START = { T: 64, D: 32 }, from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
// loop, fused, projections, pairs: attention is ahead at 16 and 32, behind from 64 on.
const ROW = LENGTHS.map((T) => [T / 4, T / 10, T / 100, (T * T) / 700]);

test("sizes are set, tried and reached by ratio", () => {
  assert.equal(reduce(from(), { type: "set", values: { T: 16 } }).T, 16);
  for (const [log, T] of [[-3, 16], [4.4, 16], [4.6, 32], [6.2, 64], [99, 128]]) {
    assert.equal(reduce(from(), { type: "reach", log, lengths: LENGTHS }).T, T);
  }
  for (const name of Object.keys(TRIES)) {
    const { T, D } = reduce(from({ T: 16 }), { type: "try", name, start: START });
    assert.ok(T >= 16 && D === 32, name);
  }
  assert.deepEqual(reduce(from(), { type: "else" }), from());
});

test("depth and products are counted", () => {
  assert.deepEqual(depth(1000), { rnn: 1000, attention: 4 });
  assert.deepEqual(products(10, 3), { rnn: 180, projections: 360, pairs: 600 });
});

test("times are read by width and length, and 0 is not measured", () => {
  const numbers = new Float32Array(2 * 4 * 4);
  numbers.set([1, 2, 3, 4], 4 * (4 + 2));
  const times = readTimes(numbers, SIZES);
  assert.deepEqual(times[32], [null, null, [1, 2, 3, 4], null]);
  assert.deepEqual(times[16], [null, null, null, null]);
});

test("attention loses from the first length behind its last win", () => {
  assert.deepEqual(crossing(ROW, LENGTHS), { before: 32, T: 64 });
  assert.deepEqual(crossing(ROW.slice(0, 2), LENGTHS.slice(0, 2)), { before: 32, T: null });
  const early = ROW.map((row, i) => (i === 0 ? [1, 0.01, 1, 1] : row)); // one noisy loss before wins
  assert.deepEqual(crossing(early, LENGTHS), { before: 32, T: 64 });
  assert.deepEqual(crossing(ROW.map(() => [1, 1, 1, 1]), LENGTHS), { before: null, T: 16 });
  assert.equal(crossing([null, ...ROW.slice(1)], LENGTHS), null);
});

test("the sentence tells what is counted from what is measured", () => {
  assert.equal(spoken(START, null, null),
    "64 tokens of width 32. Counted: the RNN’s chain is 64 products long, attention’s 4.");
  assert.equal(spoken(START, [20, 5, 1, 9], { before: 32, T: 64 }),
    "64 tokens of width 32. Counted: the RNN’s chain is 64 products long, attention’s 4. Measured: the RNN "
    + "20.0 ms step by step and 5.00 ms fused, attention 10.0 ms: 2.0 times as slow as the fused RNN. "
    + "At this width it loses to the fused RNN from 64 tokens on.");
  assert.match(spoken(START, [20, 5, 0.1, 0.4], { before: 128, T: null }),
    /attention 0\.50 ms: 10 times as fast as the fused RNN\. At this width it is ahead at the longest text\.$/);
  assert.match(spoken(START, [1, 1, 1, 1], { before: null, T: 16 }), /at every length\.$/);
  assert.match(spoken(START, [1, 1, 1, 1], null), /the fused RNN\.$/);
  assert.deepEqual([0.05, 9.5, 123.4, 1234.5].map(ms), ["0.05 ms", "9.50 ms", "123 ms", "1,235 ms"]);
});

test("chains are drawn to one scale, and nothing leaves the drawing", () => {
  for (const width of [360, 552, 952]) {
    for (const T of [16, 64, 4096]) {
      const view = chains(T, width), marks = [...view.rnn, ...view.attention];
      assert.equal(view.each * view.rnn.length, T);
      for (const { x, y, width: wide, height } of marks) {
        assert.ok(x >= view.left && x + wide <= view.right && y + height <= view.height && wide > 0);
      }
      const unit = (view.right - view.left) / T;
      assert.ok(Math.abs(view.end - view.left - Math.max(3, 4 * unit)) < 1e-9);
      assert.equal(view.attention.length, 16 * (unit < 5 ? 1 : 4));
    }
  }
});

test("bars are to one scale, attention's in its two parts", () => {
  const { rows } = bars([20, 5, 1, 9], 900), [loop, fused, ours] = rows;
  const wide = ({ pieces }) => pieces.reduce((sum, { width }) => sum + width, 0);
  assert.ok(Math.abs(wide(loop) / wide(fused) - 4) < 1e-9 && Math.abs(wide(loop) / wide(ours) - 2) < 1e-9);
  assert.deepEqual(ours.pieces.map(({ part }) => part), ["projections", "pairs"]);
  assert.ok(Math.abs(ours.pieces[1].width / ours.pieces[0].width - 9) < 1e-9);
  assert.ok(Math.abs(ours.pieces[0].x + ours.pieces[0].width - ours.pieces[1].x) < 1e-9);
  assert.deepEqual(rows.map(({ text }) => text), ["20.0 ms", "5.00 ms", "10.0 ms"]);
});

test("the chart holds what is measured, longer to the right and slower higher", () => {
  const lost = crossing(ROW, LENGTHS);
  for (const width of [360, 900]) {
    const view = chart(ROW, LENGTHS, lost, width);
    for (const { points } of view.lines) {
      assert.equal(points.length, 4);
      points.slice(1).forEach(([x, y], i) => assert.ok(x > points[i][0] && y < points[i][1]));
      points.forEach(([x, y]) => assert.ok(x >= view.left && x <= view.right && y >= view.head && y <= view.head + view.tall));
    }
    assert.deepEqual(view.band, [view.x(32), view.x(64)]);
  }
  const some = chart([null, ROW[1], null, null], LENGTHS, null, 900);
  assert.deepEqual(some.lines.map(({ points }) => points.length), [1, 1, 1]);
  assert.equal(some.band, null);
  assert.equal(chart([null, null, null, null], LENGTHS, null, 900).lines[0].points.length, 0);
});

test("the list holds every length, and a gap where nothing is measured", () => {
  const { rows, columns, values } = listing([null, ...ROW.slice(1)], LENGTHS, 32);
  assert.deepEqual([rows.length, columns.length, values.length], [4, 7, 28]);
  assert.deepEqual(values.slice(0, 7), [16, 4, 2 * 16 * 32 * 32, 4 * 16 * 32 * 32 + 2 * 16 * 16 * 32, null, null, null]);
  assert.equal(values[7 + 4], 8);
});
