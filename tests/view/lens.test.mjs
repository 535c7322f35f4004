import assert from "node:assert/strict";
import test from "node:test";
import { begin, layout, less, opened, read, reduce, sliceName, slices, spoken }
  from "../../transformer_lab/instruments/view/lens.js";

const view = (numbers, kind = Float32Array) => new DataView(kind.from(numbers).buffer);
const stage = (other) => ({ name: "weights", status: "differs", hint: "", shape: [2, 2], theirs: view([1, 2, 3, 4]),
  mine: view([1, 2, 3, 9]), mine_shape: [2, 2], wrong: view([0, 0, 0, 1], Uint8Array), worst: [1, 1],
  rows: ["a", "b"], columns: ["a", "b"], shares: false, allowed: null, ...other });
const data = (...stages) => opened({ stages, first: "weights", trouble: "", said: "", title: "" });

test("numbers come as matrices, one for each head", () => {
  assert.deepEqual(slices(Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]), [2, 2, 2]), [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]);
  assert.equal(slices(null, [2]), null);
  assert.deepEqual(data(stage()).stages[0].wrong, [[[false, false], [false, true]]]);
});

test("a stage opens at its worst cell, in its worst matrix", () => {
  assert.deepEqual(begin(data(stage()), "weights"), { stage: "weights", slice: 0, row: 1, column: 1 });
  const heads = stage({ shape: [2, 2, 1, 1], mine_shape: [2, 2, 1, 1], worst: [1, 0, 0, 0] });
  assert.equal(begin(data(heads), "weights").slice, 2);
  const absent = stage({ name: "masked", status: "absent", mine: null, wrong: null, worst: [] });
  assert.deepEqual(begin(data(stage(), absent), "masked"), { stage: "masked", slice: 0, row: 0, column: 0 });
  assert.equal(begin(data(stage()), "no such").stage, "weights");
});

test("a cell, a matrix, a stage, and back to the worst", () => {
  const all = data(stage());
  let state = reduce(begin(all, "weights"), { type: "cell", row: 0, column: 1 }, all);
  assert.deepEqual([state.row, state.column], [0, 1]);
  state = reduce(state, { type: "worst" }, all);
  assert.deepEqual([state.row, state.column], [1, 1]);
  assert.equal(reduce(state, { type: "slice", slice: 3 }, all).slice, 3);
  assert.equal(reduce(state, { type: "unknown" }, all), state);
});

test("a matrix of a batch and a head is named by its indices", () => {
  assert.equal(sliceName(5, [2, 3, 8, 8]), "1, 2");
  assert.equal(sliceName(0, [8, 8]), "");
});

test("numbers are read out with three places, and more where they are small", () => {
  assert.equal(spoken(-0.5), "−0.500");
  assert.equal(spoken(0.5, true), "+0.500");
  assert.equal(spoken(0), "0.000");
  assert.equal(spoken(-0), "0.000");
  assert.equal(spoken(1e-5), "1.0e−5");
  assert.equal(spoken(-1e9), "−1.0e9");
  assert.equal(spoken(NaN), "NaN");
  assert.equal(spoken(-Infinity), "−∞");
});

test("equal infinities differ by 0", () => {
  assert.equal(less(-Infinity, -Infinity), 0);
  assert.equal(less(3, 1), 2);
  assert.ok(Number.isNaN(less(NaN, 1)));
});

test("the sentence says both numbers, the difference, and whether it is the largest", () => {
  const all = data(stage()), [one] = all.stages, state = begin(all, "weights");
  assert.equal(read(one, state, "x"), "x: yours 9.000, reference 4.000, difference +5.000, the largest.");
  assert.equal(read(one, { ...state, row: 0 }, "x"), "x: yours 2.000, reference 2.000: equal.");
  const [absent] = data(stage({ mine: null, wrong: null, worst: [] })).stages;
  assert.equal(read(absent, { ...state, row: 0 }, "x"), "x: reference 2.000.");
  const [other] = data(stage({ status: "shape", mine: view([1, 2, 3]), mine_shape: [1, 3], wrong: null, worst: [] })).stages;
  assert.equal(read(other, state, "x"), "x: yours has no such cell, reference 4.000.");
});

test("matrices stand beside each other where their numbers fit, else below", () => {
  for (const width of [400, 552, 700, 952]) {
    for (const columns of [1, 4, 8, 16, 32]) {
      for (const count of [1, 2, 3]) {
        const { cell, gutter } = layout(width, columns, 6, count);
        assert.ok(gutter + columns * (cell + 1) <= width, `${width} ${columns} ${count}: ${cell}`);
      }
    }
  }
  assert.equal(layout(952, 4, 3, 3).cell, 48);
});
