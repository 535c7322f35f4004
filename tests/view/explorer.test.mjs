import assert from "node:assert/strict";
import test from "node:test";
import { begin, read, reduce, sentence, shown }
  from "../../transformer_lab/instruments/view/attention.js";
import { headName, order, step } from "../../transformer_lab/instruments/view/heads.js";
import { arc, looks, short } from "../../transformer_lab/instruments/view/text.js";
import { layout, scaled } from "../../transformer_lab/instruments/view/zoom.js";

const TOKENS = ["the", "cat", "the"];
const WEIGHTS = [ // one layer, two heads
  [[1, 0, 0], [0.5, 0.5, 0], [0.25, 0.5, 0.25]],
  [[1, 0, 0], [0.25, 0.75, 0], [0.5, 0.25, 0.25]],
];
const view = (array) => new DataView(array.buffer);

function content(extra = {}) {
  return {
    title: "", rows: TOKENS, columns: null, layers: [3], count: 2, sent: [[3, 0], [3, 1]],
    weights: view(Uint16Array.from(WEIGHTS.flat(2), (x) => Math.round(x * 65535))),
    mask: view(Uint8Array.from([1, 0, 0, 1, 1, 0, 1, 1, 1])), thumbs: null, thumb: null,
    scores: [["entropy", "focus", "mean entropy", true], ["first", "first token", "mean weight", false]],
    values: view(Float32Array.from([0.5, 0.25, 0.1, 0.9])), cap: 128, reads: false, ...extra,
  };
}
const TRAITS = { layer: 3, head: 0, pinned: [], sort: "order", query: null };
const start = (traits = {}) => begin((name) => ({ ...TRAITS, ...traits })[name]);
const data = read(content());
const say = (state, of = data) => sentence(of, state, shown(of, state));

test("the numbers that were sent are the numbers of each head", () => {
  const close = (a, b) => a.forEach((x, i) => assert.ok(Math.abs(x - b[i]) < 1e-5));
  close([...data.at(3, 0)], WEIGHTS[0].flat());
  close([...data.at(3, 1)], WEIGHTS[1].flat());
  assert.equal(data.at(0, 0), undefined);
  assert.deepEqual([...data.scores[1].values], [...Float32Array.of(0.1, 0.9)]);
});

test("a cell is read out with its weight and its rank among the cells that may be looked at", () => {
  const state = reduce(start(), { type: "point", cell: { row: 1, column: 0 } });
  assert.equal(say(state), "layer 3 head 0: “cat” attends to “the” (0), weight 0.500, rank 1 of 2");
  const last = reduce(state, { type: "point", cell: { row: 2, column: 2 } });
  assert.equal(say(last), "layer 3 head 0: “the” (2) attends to “the” (2), weight 0.250, rank 2 of 3");
});

test("a masked cell is said to be masked", () => {
  const state = reduce(start(), { type: "point", cell: { row: 0, column: 1 } });
  assert.equal(say(state), "layer 3 head 0: “the” (0) may not look at “cat” (masked)");
});

test("a row says where it looks and who looks at it", () => {
  assert.equal(say(start({ query: 1 })), "layer 3 head 0: “cat” attends most to “the” (0) 0.500, "
    + "then “cat” 0.500. It is attended to most by “cat” 0.500, then “the” (2) 0.500");
});

test("a row without any weight attends to nothing", () => {
  const empty = read(content({ weights: view(new Uint16Array(18)), mask: view(new Uint8Array(9)) }));
  assert.equal(say(start({ query: 0 }), empty), "layer 3 head 0: “the” (0) attends to nothing");
});

test("in cross-attention a column says who looks at it", () => {
  const cross = read(content({ columns: ["le", "chat", "la"], mask: null }));
  assert.equal(cross.self, false);
  const state = reduce(start(), { type: "choose", cell: { row: null, column: 1 } });
  assert.equal(say(state, cross),
    "layer 3 head 0: “chat” is attended to most by “cat” 0.500, then “the” (2) 0.500");
});

test("pointing passes, choosing stays", () => {
  let state = reduce(start(), { type: "choose", cell: { row: 1, column: null } });
  state = reduce(state, { type: "point", cell: { row: 2, column: 0 } });
  assert.match(say(state), /“the” \(2\) attends to/);
  state = reduce(state, { type: "point", cell: null });
  assert.match(say(state), /“cat” attends most to/);
  assert.match(say(reduce(state, { type: "choose", cell: null })), /^Point at/);
});

test("two pinned heads show their difference, and a third pin replaces the second", () => {
  let state = reduce(start(), { type: "pin" });
  assert.equal(state.difference, false);
  state = reduce(reduce(state, { type: "head", layer: 3, head: 1 }), { type: "pin" });
  assert.deepEqual(state.pinned, [[3, 0], [3, 1]]);
  const difference = shown(data, state);
  assert.equal(difference.name, "layer 3 head 0 − layer 3 head 1");
  assert.ok(Math.abs(difference.limit - 0.25) < 1e-4);
  const at = reduce(state, { type: "point", cell: { row: 1, column: 0 } });
  assert.equal(say(at),
    "layer 3 head 0 − layer 3 head 1: “cat” to “the” (0) is 0.500 − 0.250 = +0.250");
  assert.equal(shown(data, reduce(state, { type: "difference", on: false })).signed, false);
  assert.deepEqual(reduce({ ...state, layer: 9, head: 9 }, { type: "pin" }).pinned, [[3, 0], [9, 9]]);
  assert.deepEqual(reduce(state, { type: "pin" }).pinned, [[3, 0]]);
  assert.deepEqual(reduce(state, { type: "unpin" }).pinned, []);
});

test("choosing another head leaves the difference but keeps the pins", () => {
  const pinned = [[3, 0], [3, 1]];
  const state = reduce(start({ pinned }), { type: "head", layer: 3, head: 1 });
  assert.equal(start({ pinned }).difference, true);
  assert.equal(state.difference, false);
  assert.deepEqual(state.pinned, pinned);
});

test("an event does not change the state that it came to", () => {
  const state = Object.freeze({ ...start(), pinned: Object.freeze([]) });
  for (const type of ["head", "pin", "unpin", "difference", "point", "choose", "unheard of"]) {
    reduce(state, { type, layer: 0, head: 0, cell: null });
  }
});

test("heads stand in layer order, or by a score with the telling end first", () => {
  assert.deepEqual(order(data, "order").places, [0, 1]);
  assert.deepEqual(order(data, "entropy").places, [1, 0]);
  assert.deepEqual(order(data, "first").places, [1, 0]);
  assert.equal(order(data, "gone").score, null);
  assert.equal(headName(data, start({ sort: "first", pinned: [[3, 1]] }), 1),
    "layer 3 head 1, first token 0.90, pinned as A");
});

test("arrow keys walk the heads and stop at the last one of a short row", () => {
  assert.equal(step(1, "ArrowRight", 5, 3), 2);
  assert.equal(step(2, "ArrowDown", 5, 3), 4);
  assert.equal(step(3, "End", 5, 3), 4);
  assert.equal(step(3, "x", 5, 3), null);
});

test("a colour scale is the weight, its root, or its share of the row’s largest", () => {
  const values = Float32Array.of(0.25, 0.75, 0, 0);
  assert.equal(scaled(values, 2, "plain"), values);
  assert.deepEqual([...scaled(values, 2, "root").slice(0, 1)], [0.5]);
  assert.deepEqual([...scaled(values, 2, "row")], [...Float32Array.of(1 / 3, 1, 0, 0)]);
});

test("cells shrink with the width and the number of tokens, and labels thin out", () => {
  const wide = layout(400, data), narrow = layout(120, data);
  assert.ok(wide.cell > narrow.cell);
  assert.ok(narrow.left + narrow.cell * 3 <= 120);
  const many = read(content({ rows: Array(128).fill("x"), sent: [], weights: null, mask: null }));
  assert.deepEqual([layout(600, many).cell, layout(600, many).every], [4, 4]);
});

test("the text shows the row of the chosen token and its column", () => {
  const state = shown(data, start());
  const { out, into } = looks(data, state, { row: 1, column: null });
  assert.deepEqual([...out].map((x) => short(x)), [".50", ".50", ""]);
  assert.deepEqual([...into].map((x) => short(x)), ["", ".50", ".50"]);
  assert.deepEqual(looks(data, state, null), { out: null, into: null });
});

test("short numbers keep their sign and never round up to 1.00", () => {
  assert.deepEqual([0.004, 0.005, 0.994, 0.995, 1].map((x) => short(x)), ["", ".01", ".99", "1.0", "1.0"]);
  assert.deepEqual([short(-0.25, true), short(0.25, true)], ["−.25", "+.25"]);
});

test("an arc bulges up from left to right and from right to left", () => {
  assert.equal(arc(0, 20, 5, -1, 40), "M0 5A10 15 0 0 1 20 5");
  assert.equal(arc(20, 0, 5, -1, 40), "M20 5A10 15 0 0 0 0 5");
  assert.equal(arc(0, 20, 5, 1, 40), "M0 5A10 15 0 0 0 20 5");
});
