import assert from "node:assert/strict";
import test from "node:test";
import { across, apart, CHART, curves, power, ratio, under }
  from "../../transformer_lab/instruments/view/block_chart.js";
import { diagram } from "../../transformer_lab/instruments/view/block_diagram.js";
import { asTable, begin, keyOf, moved, reduce, sentence, told, unpacked }
  from "../../transformer_lab/instruments/view/builder.js";

const START = { residual: true, norm: true, attention: true, feed_forward: true, place: "pre",
  depth: 4 };
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const after = (...events) => events.reduce(reduce, from());
const set = (values) => ({ type: "set", values });
const step = (kind, reads, writes, count = 0) => ({ kind, reads, writes, count });
const PRE = [step("norm", "states", "x", 8), step("attention", "x", "x", 100),
  step("add", "x", "states")];
const POST = [step("attention", "states", "x", 100), step("add", "x", "states"),
  step("norm", "states", "states", 8)];
const BARE = [step("norm", "states", "states", 8), step("attention", "states", "states", 100)];
const FOUND = { gradient: [-5, -3, -2, -1, 0], alike: [0.2, 0.5, 0.9, 0.98, 0.99],
  weights: [0, 1, 2, 3] };

test("a key names what is on; without a norm its place has no say", () => {
  assert.equal(keyOf(from()), "pre rnaf");
  assert.equal(keyOf(from({ residual: false, place: "post" })), "post -naf");
  assert.equal(keyOf(from({ norm: false, place: "post" })), "pre r-af");
});

test("a chosen line is let go when the lines change, and kept when only the depth does", () => {
  const chosen = after({ type: "step", to: 2 });
  assert.equal(reduce(chosen, set({ depth: 8 })).step, 2);
  assert.equal(reduce(chosen, set({ norm: false })).step, -1);
  assert.equal(reduce(chosen, { type: "step", to: 2 }).step, -1);
});

test("the cursor stays between the bottom and the top", () => {
  assert.equal(after({ type: "cursor", to: 99 }).at, 4);
  assert.equal(after({ type: "cursor", to: -9 }).at, 0);
  assert.equal(after({ type: "cursor", to: 4 }, set({ depth: 2 })).at, 2);
  const weights = after({ type: "measure", to: "weights" });
  assert.equal(weights.at, null);
  assert.equal(reduce(weights, { type: "cursor", to: 0 }).at, 1);
  assert.equal(moved(weights, "Home"), 1);
  assert.equal(moved(after({ type: "cursor", to: 2 }), "ArrowRight"), 3);
  assert.equal(moved(from(), "End"), 4);
  assert.equal(moved(from(), "d"), null);
});

test("the diagram has the columns of the code's variables", () => {
  const pre = diagram(PRE), post = diagram(POST), bare = diagram(BARE);
  const columns = ({ boxes }) => boxes.map(({ x }) => x);
  assert.deepEqual([columns(pre)[0] === columns(pre)[1], pre.adds.length], [true, 1]);
  assert.ok(columns(post)[1] < columns(post)[0], "a post-norm stands on the stream");
  assert.equal(new Set(columns(bare)).size, 1);
  assert.equal(bare.paths.length, 0);
  assert.equal(columns(bare)[0], pre.adds[0].x);
});

test("each step has one shape, in the row of its line", () => {
  for (const steps of [PRE, POST, BARE, []]) {
    const { boxes, adds, height } = diagram(steps);
    const rows = [...boxes, ...adds].sort((a, b) => a.i - b.i);
    assert.deepEqual(rows.map(({ i }) => i), steps.map((_, i) => i));
    rows.forEach(({ i, y }) => assert.equal(y, (height / (steps.length + 2)) * (i + 1.5)));
  }
});

test("bytes from Python become three lines", () => {
  const numbers = Float32Array.from([-1, 0, 0.5, 0.25, 2]);
  const view = new DataView(numbers.buffer);
  assert.deepEqual(unpacked(view, 1), { gradient: [-1, 0], alike: [0.5, 0.25], weights: [2] });
  const empty = unpacked(new DataView(numbers.buffer, 0, 16), 1);
  assert.deepEqual(empty.weights, []);
});

test("the layer itself is drawn once, last, and the axis holds all lines", () => {
  const profile = (key) => (key === "post rnaf" ? null : FOUND);
  const one = curves("pre r-af", "gradient", profile);
  assert.deepEqual(one.lines.map(({ name, ours }) => [name, ours]),
    [["all, pre", false], ["this layer", true]]);
  assert.ok(one.low <= -5 && one.high >= 0 && one.ticks.includes(0));
  assert.equal(curves("pre rnaf", "gradient", profile).lines.length, 1);
  assert.deepEqual(curves("pre rnaf", "alike", profile).ticks, [0, 0.5, 1]);
  const flat = curves("pre rnaf", "gradient", () => ({ gradient: [0, 0] }));
  assert.ok(flat.high > flat.low);
  assert.equal(curves("pre rn--", "weights", () => ({ weights: [] })).lines.length, 0);
});

test("a pointer finds the layer that is drawn there", () => {
  for (const i of [0, 3, 4]) assert.equal(under(across(i, 4), from()), i);
  assert.equal(under(CHART.left - 50, from()) < 0, true);
  assert.equal(across(0, 1), CHART.left);
});

test("names at the ends of lines do not cover each other", () => {
  const moved = apart([100, 101, 30]);
  assert.ok(Math.abs(moved[0] - moved[1]) >= 15);
  assert.equal(moved[2], 30);
  assert.ok(Math.max(...apart([CHART.bottom, CHART.bottom, CHART.bottom])) <= CHART.bottom);
});

test("a ratio has two digits", () => {
  assert.deepEqual([1, 0.9, 0.0123, 3.24, 99.6, 1234, 12345, 2.4e-5].map(ratio),
    ["1.0", "0.90", "0.012", "3.2", "100", "1200", "1.2·10⁴", "2.4·10⁻⁵"]);
  assert.deepEqual([0, 3, -2, -10, 6].map(power), ["1", "1000", "0.01", "10⁻¹⁰", "10⁶"]);
});

test("the sentence says what the gradient does", () => {
  assert.match(sentence(from(), FOUND), /embedding is 1\.0·10⁻⁵ times .* vanishes on its way down/);
  assert.match(sentence(from(), { ...FOUND, gradient: [4, 3, 2, 1, 0] }), /explodes/);
  assert.match(sentence(after({ type: "cursor", to: 4 }), FOUND), /At the top, behind layer 4/);
  const weights = after({ type: "measure", to: "weights" });
  assert.match(sentence(weights, FOUND), /1\.0 in the first layer, 1000 in the last/);
  assert.match(sentence(weights, { ...FOUND, weights: [] }), /nothing to learn/);
  assert.match(sentence(reduce(weights, { type: "cursor", to: 2 }), FOUND), /layer 2 .* is 10\.$/);
  const alike = after({ type: "measure", to: "alike" });
  assert.match(sentence(alike, FOUND), /0\.99 behind layer 4\. They have become nearly the same/);
  assert.equal(sentence(from(), undefined), "Measuring.");
});

test("a chosen line is explained, else the layer is counted", () => {
  assert.match(told(from(), { steps: PRE, final: 8 }),
    /^108 parameters in a layer, 432 in 4 layers, and 8 in one more norm/);
  assert.match(told(from({ depth: 1 }), { steps: PRE, final: 0 }), /108 in 1 layer\.$/);
  assert.match(told(after({ type: "step", to: 1 }), { steps: PRE }), /^attention: .* 100 param/);
  assert.match(told(after({ type: "step", to: 2 }), { steps: PRE }), /^add: .*No parameters/);
  assert.match(told(from(), { steps: [] }), /^Nothing is left/);
});

test("the table has a row for each place and says whose numbers they are", () => {
  const { names, columns, values } = asTable(from({ residual: false }), () => FOUND);
  assert.equal(names.length, 5);
  assert.equal(columns.length, 9);
  assert.equal(columns[0], "this layer: gradient");
  assert.equal(values.length, 45);
  assert.equal(values[2], "");
  assert.equal(values[9], 1e-3);
  assert.equal(asTable(from(), () => FOUND).columns[0], "all, pre: gradient");
});
