import assert from "node:assert/strict";
import test from "node:test";
import { bars, begin, figures, listing, map, outlines, partner, percent, reduce, small, spoken, times, tint, TRIES }
  from "../../transformer_lab/instruments/view/dial.js";
import { EXPONENTS, factor, histogram, KEYS, measured, normal, ROWS, scoreTables, SIZES, STORIES, story, widest,
  WIDTHS } from "../../transformer_lab/instruments/view/draws.js";

const START = { d: 64, S: 64, exponent: 0.5, temperature: 1 };
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const tables = scoreTables(0);

test("the numbers drawn have mean 0 and spread 1", () => {
  const drawn = Array.from({ length: 20000 }, (_, i) => normal(i, 4));
  const mean = drawn.reduce((a, b) => a + b) / drawn.length;
  const spread = Math.sqrt(drawn.reduce((a, b) => a + (b - mean) ** 2, 0) / drawn.length);
  assert.ok(Math.abs(mean) < 0.02 && Math.abs(spread - 1) < 0.02);
});

test("a softmax over equal scores has the largest entropy and the gradient of the uniform", () => {
  const flat = new Float64Array(ROWS * KEYS), S = 16, found = measured(flat, S, 1);
  assert.ok(Math.abs(found.entropy - Math.log(S)) < 1e-12);
  assert.ok(Math.abs(found.gradient - Math.sqrt(S - 1) / S) < 1e-12);
  assert.deepEqual([found.spread, found.saturated], [0, 0]);
});

test("one key that wins everything saturates the row and has no gradient", () => {
  const one = new Float64Array(ROWS * KEYS);
  for (let row = 0; row < ROWS; row++) one[row * KEYS + 3] = 1e6;
  const found = measured(one, 256, 1);
  assert.equal(found.saturated, 1);
  assert.ok(found.gradient < 1e-6 && found.entropy < 1e-6);
});

test("every number is finite at the ends of every control", () => {
  for (const d of [4, 1024]) for (const S of [2, 256]) for (const e of EXPONENTS) for (const temperature of [0.1, 10]) {
    const found = measured(tables[d], S, factor({ d, temperature }, e));
    assert.ok(Object.values(found).every(Number.isFinite));
    const reach = widest(tables[d], S, factor({ d, temperature }, e));
    const counts = histogram(tables[d], S, factor({ d, temperature }, e), reach, 61);
    assert.equal(counts.reduce((a, b) => a + b), ROWS * S);
  }
});

test("the map's cells choose both d and S", () => {
  const state = reduce(from(), { type: "cell", row: 0, column: 0 });
  assert.deepEqual([state.d, state.S], [4, 256]);
  const last = reduce(from(), { type: "cell", row: SIZES.length - 1, column: WIDTHS.length - 1 });
  assert.deepEqual([last.d, last.S], [1024, 2]);
});

test("the map is row by row what the figures say", () => {
  const ratios = map(tables, 1, 0.5);
  assert.equal(ratios.length, WIDTHS.length * SIZES.length);
  const state = from({ d: 64, S: 256 });
  assert.equal(ratios[WIDTHS.indexOf(64)], figures(state, tables).ratio);
  assert.equal(story(ratios[WIDTHS.indexOf(64)]), "larger");
  assert.equal(story(ratios.at(-1)), "vanishing");
});

test("each situation to try shows what its name says", () => {
  const at = (name) => {
    const state = reduce(from(), { type: "try", name, start: START });
    return story(figures(state, tables).ratio);
  };
  assert.equal(at("folklore"), "larger");
  assert.equal(at("holds"), "vanishing");
  assert.deepEqual(reduce(from({ d: 4 }), { type: "try", name: "reset", start: START }).d, 64);
  assert.ok(Object.keys(TRIES).every((name) => at(name)));
});

test("without a scale the comparison is with the root of d", () => {
  assert.deepEqual([0, 0.5, 1].map((exponent) => partner(from({ exponent }))), [0.5, 0.5, 1]);
});

test("the bars of each measure lie in their track and mark the chosen scale", () => {
  for (const exponent of EXPONENTS) {
    const state = from({ exponent });
    for (const { rows } of bars(state, figures(state, tables))) {
      assert.equal(rows.length, 3);
      assert.deepEqual(rows.map((row) => row.chosen), EXPONENTS.map((e) => e === exponent));
      assert.ok(rows.every((row) => row.share >= 0 && row.share <= 1));
    }
  }
});

test("outlines stay in their width, and the scores fit between the ticks", () => {
  for (const state of [from(), from({ d: 1024, temperature: 0.1 }), from({ exponent: 1 }), from({ S: 2 })]) {
    const view = outlines(state, tables, 436);
    for (const { points } of view.shapes) {
      for (const [x, y] of points) assert.ok(x >= 12 && x <= 424 + 1e-9 && y >= 20 && y <= view.base);
    }
    assert.equal(view.ticks[0], -view.reach);
  }
});

test("the sentence says the settings, the verdict and the numbers", () => {
  const state = from(), found = figures(state, tables);
  assert.equal(spoken(state, found), "d = 64, 64 keys, temperature 1. The usual story is false here: the mean "
    + "gradient is larger without the scale. It is 0.217 without, 0.184 with ÷ √d: 1.18 times. "
    + "Saturated rows: 20 % without, 0 % with.");
  for (const [ratio, name] of [[2, "larger"], [1.05, "equal"], [0.95, "equal"], [0.5, "smaller"], [0.1, "vanishing"]]) {
    assert.equal(story(ratio), name);
    assert.ok(STORIES[name].verdict.endsWith("."));
  }
});

test("small numbers are named, not shown as zero", () => {
  assert.deepEqual([small(0), small(1e-5), small(0.0005), percent(0.004), percent(0), percent(0.47), times(0.001)],
    ["0.000", "under 0.001", "0.001", "0.4 %", "0 %", "47 %", "under 0.01"]);
});

test("the colour of a cell is the ratio's logarithm, four times at the ends", () => {
  assert.deepEqual([1, 4, 0.25, 100, 0.001].map(tint), [0, 1, -1, 1, -1]);
});

test("the list has a line for each scale", () => {
  const { rows, columns, values } = listing(figures(from(), tables));
  assert.deepEqual([rows.length, columns.length, values.length], [3, 4, 12]);
});
