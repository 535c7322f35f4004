import assert from "node:assert/strict";
import test from "node:test";
import { agreed, brisk, cellSentence, headChoices, headOf, headTitle, inkOn, peak, picked }
  from "../../transformer_lab/instruments/view/crossing.js";
import { asCsv, begin, chance, goTo, layout, logged, pathTo, read, reduce, sentence }
  from "../../transformer_lab/instruments/view/translator.js";
import { cividis } from "../../transformer_lab/instruments/view/matrix.js";

const bytes = (typed) => new DataView(typed.buffer);
const f32 = (numbers) => bytes(Float32Array.from(numbers));
const u16 = (shares) => bytes(Uint16Array.from(shares, (x) => Math.round(65535 * x)));

// "two forty" -> a tree of texts: 1 "zwei", 2 "vier" after the start, 3 "<end>" after 1, 4 "zig"
// after 2, 5 "<end>" after 4. Greedy: 1, 3. Two beams: [1, 2], [3, 4], [3, 5].
const SIZES = { layers: 1, heads: 2 };
const DATA = read({
  text: "42", source: ["forty", "two"], expected: ["zwei"], aligned: [1, -1], end: 2,
  names: { 1: "<start>", 2: "<end>", 3: "zwei", 4: "vier", 5: "zig" },
  parents: [-1, 0, 0, 1, 2, 4], pieces: [1, 3, 4, 2, 5, 2], rows: [0, 1, 2, -1, 3, -1],
  scores: f32([0, Math.log(0.6), Math.log(0.3), Math.log(0.54), Math.log(0.24), Math.log(0.12)]),
  beams: [[[0], [1], [3]], [[0], [1, 2], [3, 4], [3, 5]], [[0], [1, 2], [3, 4], [3, 5]], [[0], [1, 2], [3, 4], [3, 5]]],
  shown: 2, top: f32([3, 4, 2, 5, 5, 2, 2, 3]),
  logs: f32([0.6, 0.3, 0.9, 0.05, 0.8, 0.1, 0.5, 0.4].map(Math.log)),
  weights: u16([0.2, 0.8, 0.4, 0.6, 0.9, 0.1, 0.7, 0.3, 0.5, 0.5, 0.5, 0.5, 1, 0, 0, 1]),
});
const START = { step: 0, width: 1, beam: 0, attention: "mean" };
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const view = (other) => layout(DATA, from(other), SIZES);
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-4, `${a} is not ${b}`);

test("a head's name is read and written", () => {
  assert.deepEqual(headOf("mean"), [null, null]);
  assert.deepEqual(headOf("1"), [1, null]);
  assert.deepEqual(headOf("1.12"), [1, 12]);
  assert.equal(headTitle("0.3"), "layer 0, head 3");
  assert.deepEqual(headChoices(1, 1).map(([key]) => key), ["mean", ]);
  assert.deepEqual(headChoices(2, 1).map(([key]) => key), ["mean", "0", "1"]);
  assert.deepEqual(headChoices(1, 2).map(([key]) => key), ["mean", "0.0", "0.1"]);
});

test("a mean is over the heads that are chosen", () => {
  const weights = Float32Array.from([1, 0, 0, 1, 0.5, 0.5, 0, 1]); // two layers of two heads
  const at = (name) => [...picked(weights, 0, name, 2, 2, 2)];
  assert.deepEqual(at("mean"), [0.375, 0.625]);
  assert.deepEqual(at("0"), [0.5, 0.5]);
  assert.deepEqual(at("1.1"), [0, 1]);
});

test("agreement needs the largest weight on the true word", () => {
  assert.equal(peak([0.1, 0.5, 0.5]), 1);
  const rows = [{ weights: [0.9, 0.1], truth: 0 }, { weights: [0.9, 0.1], truth: 1 },
    { weights: [0.9, 0.1], truth: -1 }, { weights: null, truth: 0 }];
  assert.deepEqual(agreed(rows), { there: 1, places: 2 });
});

test("numbers in cells are short and readable on every colour", () => {
  assert.deepEqual([0.004, 0.25, 0.996].map(brisk), ["", ".25", "1.0"]);
  const light = (c) => c.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  for (let i = 0; i <= 255; i++) {
    const back = light(cividis(i / 255)), front = inkOn(cividis(i / 255)) === "#000" ? 0 : 1;
    assert.ok((Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05) >= 4.5, `${i}`);
  }
});

test("a step forward follows the text, a step back its beginning", () => {
  const second = from({ width: 2, step: 1, beam: 1 });
  assert.deepEqual([2, 3].map((to) => goTo(DATA, second, to).beam), [1, 1]);
  assert.equal(goTo(DATA, from({ width: 2, step: 3, beam: 1 }), 1).beam, 1);
  assert.equal(goTo(DATA, from({ width: 2, step: 3, beam: 0 }), 0).beam, 0);
  assert.equal(goTo(DATA, second, 99).step, 3);
  assert.equal(goTo(DATA, second, -1).step, 0);
});

test("an ended beam stays where it is while others go on", () => {
  const ended = goTo(DATA, from({ width: 2, step: 2 }), 3);
  assert.equal(DATA.beams[1][3][ended.beam], 3);
  assert.equal(goTo(DATA, ended, 1).beam, 0);
});

test("the end, a width and a new text keep step and beam where they can be", () => {
  assert.equal(reduce(from(), { type: "end" }, DATA).step, 2);
  const late = from({ width: 2, step: 3, beam: 1 });
  assert.deepEqual([reduce(late, { type: "width", width: 1 }, DATA)].map(({ step, beam }) => [step, beam]), [[2, 0]]);
  assert.equal(reduce(late, { type: "sentence" }, DATA).step, 0);
  assert.equal(reduce(late, { type: "set", values: { width: 1 } }, DATA).step, 2);
  assert.equal(reduce(late, { type: "row", row: 1 }, DATA).step, 1);
  assert.equal(reduce(late, { type: "unknown" }, DATA), late);
});

test("what it expects has its probabilities, and what the search keeps is marked", () => {
  const { expects, rest, now, next } = view();
  near(expects[0].p, 0.6);
  near(rest, 0.1);
  assert.deepEqual(expects.map(({ name, kept }) => [name, kept]), [["zwei", true], ["vier", false]]);
  assert.deepEqual(view({ width: 2 }).expects.map(({ kept }) => kept), [true, true]);
  assert.equal(next, "zwei");
  near(now.weights[1], 0.7);
  assert.equal(now.truth, 1);
});

test("rows are drawn as far as the text is written, and only those", () => {
  assert.deepEqual(view().rows.map(({ label, current }) => [label, current]), [["zwei", true], ["", false]]);
  const end = view({ step: 2 });
  assert.deepEqual(end.rows.map(({ label }) => label), ["zwei", "<end>"]);
  assert.deepEqual([end.ended, end.right, end.there, end.places], [true, true, 1, 1]);
  near(end.sure[0].p, 0.6);
  near(end.sure[1].p, 0.9);
});

test("the truth is known until the text goes wrong", () => {
  const wrong = view({ width: 2, step: 3, beam: 1 });
  assert.deepEqual(wrong.written, ["vier", "zig"]);
  assert.deepEqual(wrong.rows.map(({ truth }) => truth), [1, -1, -1]);
  assert.equal(wrong.right, false);
});

test("the beams are listed with what they are worth", () => {
  const { beams } = view({ width: 2, step: 2 });
  assert.deepEqual(beams.map(({ text, done }) => [text.join(), done]), [["zwei", true], ["vier,zig", false]]);
  near(beams[0].score, Math.log(0.54));
});

test("the sentence says the step, the end, and what is wrong", () => {
  const say = (other) => sentence(DATA, from(other), view(other));
  assert.equal(say(), "At the start it writes “zwei” with probability 0.600 and looks most at "
    + "“two” (0.700), the true word.");
  assert.match(say({ width: 2, step: 1, beam: 1 }), /^After “vier” it writes “zig” with probability 0.800/);
  assert.equal(say({ step: 2 }), "“zwei” is complete, with probability 0.540. That is right. The "
    + "largest weight was on the true word for 1 of 1 pieces.");
  assert.match(say({ width: 2, step: 3, beam: 1 }), /That is wrong: it should be “zwei”/);
});

test("a beam that the search drops is said to be dropped", () => {
  const data = { ...DATA, beams: [DATA.beams[0], [[0], [1, 2], [3]], DATA.beams[2], DATA.beams[3]] };
  const state = from({ width: 2, step: 1, beam: 1 }), dropped = layout(data, state, SIZES);
  assert.ok(dropped.dropped);
  assert.match(sentence(data, state, dropped), /The search drops it here/);
});

test("a text that never ends is said to be stopped", () => {
  const data = { ...DATA, rows: [0, -1, -1, -1, -1, -1], beams: DATA.beams.map(() => [[0], [1]]) };
  const state = from({ step: 1 }), stopped = layout(data, state, SIZES);
  assert.ok(stopped.stopped);
  assert.match(sentence(data, state, stopped), /has not ended after 1 pieces/);
});

test("a cell is read out with its truth", () => {
  const { rows } = view();
  assert.equal(cellSentence(rows, DATA.words, { row: 0, column: 1 }),
    "Before it writes “zwei”, 0.700 of its attention is on “two”, which “zwei” translates.");
  assert.match(cellSentence(rows, DATA.words, { row: 0, column: 0 }), /“zwei” translates “two”/);
  assert.equal(cellSentence(rows, DATA.words, { row: 1, column: 0 }), "This piece is not written yet.");
});

test("a chance that is not 0 or 1 never reads as if it were", () => {
  assert.deepEqual([0, 0.0001, 0.5, 0.9999, 1].map(chance), ["0.000", "<0.001", "0.500", ">0.999", "1.000"]);
  assert.deepEqual([-0.00001, -1.5].map(logged), ["0.000", "−1.500"]);
});

test("the table as CSV has the words as columns", () => {
  assert.equal(asCsv(DATA, view(), (x) => x.toFixed(2)), ",forty,two\n1 zwei,0.30,0.70\n");
});

test("a path leads from the start", () => {
  assert.deepEqual(pathTo(DATA, 5), [0, 2, 4, 5]);
  assert.deepEqual(pathTo(DATA, 0), [0]);
});
