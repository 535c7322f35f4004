import assert from "node:assert/strict";
import test from "node:test";
import { drawCells, fitted, painted, reachOf }
  from "../../transformer_lab/instruments/view/cells.js";
import { axes, belongs, editable, flow, placeName, route, softmaxed, STEPS, strip, written }
  from "../../transformer_lab/instruments/view/stages.js";
import { begin, cursor, layout, outcome, reduce }
  from "../../transformer_lab/instruments/view/stepper.js";

const ALL = [[true, true], [true, true]];
const STATES = { states: [[1, 0], [0, 2]], query_weight: [[1, 0], [0, 1]], key_weight: [[0, 1], [1, 0]],
  value_weight: [[1, 2, 3], [4, 5, 6]], query: null, key: null, value: null, mask: ALL, scale: 0.5,
  step: "scores", token: 1 };
const DIRECT = { ...STATES, states: null, query_weight: null, key_weight: null, value_weight: null,
  query: [[1, 2], [3, 4]], key: [[1, 0], [0, 1]], value: [[5], [7]] };
const LABELS = { tokens: ["“a”", "“b”"], looked: ["“a”", "“b”"] };
const from = (inputs = STATES) => begin((name) => inputs[name]);
const after = (inputs, ...events) => events.reduce(reduce, from(inputs));
const said = (state) => written(flow(state), state, LABELS).map(([text]) => text).join("")
  .replaceAll("\u00a0", " ");

test("each matrix follows from those before it", () => {
  const m = flow(STATES);
  assert.deepEqual(m.query, [[1, 0], [0, 2]]);
  assert.deepEqual(m.key, [[0, 1], [2, 0]]);
  assert.deepEqual(m.value, [[1, 2, 3], [8, 10, 12]]);
  assert.deepEqual(m.scores, [[0, 2], [2, 0]]);
  assert.deepEqual(m.scaled, [[0, 1], [1, 0]]);
});

test("a row that may look at nothing gets zeros, and its output too", () => {
  const m = flow({ ...DIRECT, mask: [[false, false], [true, false]] });
  assert.deepEqual(m.masked[0], [-Infinity, -Infinity]);
  assert.deepEqual(m.weights, [[0, 0], [1, 0]]);
  assert.deepEqual(m.output, [[0], [5]]);
  assert.deepEqual(softmaxed([1e6, -1e6]), [1, 0]);
});

test("the first choice is the result of the step, where the token looks most", () => {
  const state = from();
  assert.equal(state.chosen, "scores");
  assert.deepEqual(cursor(state), { row: 1, column: 0 });
  assert.equal(from({ ...DIRECT, step: "given" }).chosen, "query");
});

test("stepping keeps the token and the key, and chooses the new result", () => {
  const state = after(STATES, { type: "choose", matrix: "scores", row: 0, column: 1 },
    { type: "step", to: "output" });
  assert.equal(state.chosen, "output");
  assert.deepEqual(cursor(state), { row: 0, column: 0 });
  assert.equal(state.token, 0);
  assert.equal(state.at.s, 1);
});

test("a score lights its row of Q, its row of K, and its own cell further on", () => {
  const state = after(STATES, { type: "choose", matrix: "scores", row: 0, column: 1 });
  assert.deepEqual(belongs("query", state), { row: 0, column: null });
  assert.deepEqual(belongs("key", state), { row: 1, column: null });
  assert.deepEqual(belongs("weights", state), { row: 0, column: 1 });
  assert.deepEqual(belongs("states", state), { row: 0, column: null });
  assert.deepEqual(belongs("query_weight", state), { row: null, column: null });
});

test("a weight needs the whole row of its softmax", () => {
  const state = after(STATES, { type: "step", to: "weights" });
  assert.deepEqual(belongs("masked", state), { row: 1, column: null });
  assert.deepEqual(belongs("weights", state), { row: 1, column: 0 });
});

test("where keys are made, a state is one that is looked at", () => {
  assert.deepEqual(axes("states", "query"), ["t", "i"]);
  assert.deepEqual(axes("states", "key"), ["s", "i"]);
  const state = after(STATES, { type: "step", to: "key" },
    { type: "choose", matrix: "states", row: 0, column: 1 });
  assert.equal(state.at.s, 0);
  assert.equal(state.token, 1);
  assert.deepEqual(belongs("key", state), { row: 0, column: null });
});

test("what may be changed is what was given", () => {
  const names = Object.keys(flow(STATES));
  const free = (states) => ["states", "query_weight", "query", "value", "mask", "scores", "weights"]
    .filter((name) => editable(states, name));
  assert.deepEqual(free([[1]]), ["states", "query_weight", "mask"]);
  assert.deepEqual(free(null), ["query", "value", "mask"]);
  assert.ok(names.includes("output"));
});

test("a typed number changes one cell, and only where it may", () => {
  const choose = (matrix) => ({ type: "choose", matrix, row: 0, column: 1 });
  const typed = { type: "type", value: 7.25 };
  assert.deepEqual(after(STATES, { type: "step", to: "query" }, choose("states"), typed).states,
    [[1, 7.25], [0, 2]]);
  assert.equal(after(STATES, choose("scores"), typed).scores, undefined);
  assert.deepEqual(after(STATES, choose("query"), typed).query, null);
  assert.deepEqual(after(DIRECT, choose("key"), typed).key, [[1, 7.25], [0, 1]]);
  const far = after(DIRECT, choose("key"), { type: "type", value: -1e9 });
  assert.equal(far.key[0][1], -1e6);
  assert.deepEqual(DIRECT.key, [[1, 0], [0, 1]], "nothing is changed in place");
});

test("the mask: one cell, causal, all", () => {
  const one = after(DIRECT, { type: "toggle", row: 1, column: 0 });
  assert.deepEqual(one.mask, [[true, true], [false, true]]);
  assert.equal(one.chosen, "mask");
  assert.deepEqual(reduce(one, { type: "mask", kind: "causal" }).mask, [[true, false], [true, true]]);
  assert.deepEqual(reduce(one, { type: "mask", kind: "all" }).mask, ALL);
  const wide = { ...DIRECT, mask: [[true, true, true], [true, true, true]], key: [[1, 0], [0, 1], [1, 1]],
    value: [[1], [2], [3]] };
  assert.deepEqual(after(wide, { type: "mask", kind: "causal" }).mask, // counted from the last key
    [[true, true, false], [true, true, true]]);
});

test("a dot product is written out term by term", () => {
  assert.equal(said(from()), "scores[“b”, “a”] = 0.000 × 0.000 + 2.000 × 1.000 = 2.000");
  assert.equal(said(after(STATES, { type: "step", to: "query" })),
    "Q[“b”, 0] = 0.000 × 1.000 + 2.000 × 0.000 = 0.000");
  assert.match(said(after(STATES, { type: "step", to: "output" })), /^output\[“b”, 0\] = 0.731 × 1.000 \+/);
});

test("scale, mask and softmax are written out as well", () => {
  const at = (to, inputs = STATES) => said(after(inputs, { type: "step", to }));
  assert.equal(at("scaled"), "scaled[“b”, “a”] = 2.000 × 0.5 = 1.000");
  assert.equal(at("scaled", { ...STATES, scale: 1 / Math.sqrt(2) }), "scaled[“b”, “a”] = 2.000 ÷ √2 = 1.414");
  assert.equal(at("masked"), "masked[“b”, “a”] = 1.000: “b” may look at “a”, nothing changes");
  assert.equal(at("weights"), "weights[“b”, “a”] = e^1.000 ÷ the row’s sum = 2.718 ÷ (2.718 + 1.000) = 0.731");
  const none = { ...STATES, mask: [[true, true], [false, false]] };
  assert.equal(at("masked", none), "masked[“b”, “a”] = −∞: “b” may not look at “a”");
  assert.equal(at("weights", none), "weights[“b”, “a”] = 0: “b” may look at nothing, so all its weights are 0");
  const some = { ...STATES, mask: [[true, true], [false, true]] };
  const other = after(some, { type: "step", to: "weights" }, { type: "choose", matrix: "weights", row: 1, column: 0 });
  assert.equal(said(other), "weights[“b”, “a”] = 0: e to −∞ is 0");
});

test("huge scores are written out without infinity", () => {
  const huge = { ...DIRECT, query: [[1e6, 0], [0, 1e6]], key: [[1e6, 0], [0, 1e6]] };
  assert.doesNotMatch(said(after(huge, { type: "step", to: "weights" })), /Infinity|NaN/);
});

test("a chosen operand marks its own term", () => {
  const state = after(DIRECT, { type: "choose", matrix: "query", row: 0, column: 1 });
  const strong = written(flow(state), state, LABELS).filter(([, , marked]) => marked).map(([text]) => text);
  assert.equal(strong.length, 3); // both factors of one term, and the result
  assert.equal(strong[0], "2.000");
});

test("the sentence names the token, its most, and its output", () => {
  const state = from();
  assert.equal(outcome(state, flow(state), LABELS),
    "“b” looks most at “a”: weight 0.731. Its output is (2.88, 4.15, 5.42).");
  const none = from({ ...STATES, mask: [[true, true], [false, false]] });
  assert.match(outcome(none, flow(none), LABELS), /may look at nothing/);
});

test("names of cells count from 0, as tensors do", () => {
  assert.equal(placeName(LABELS, "query_weight", "query", { i: 1, j: 0 }), "W_Q[1, 0]");
  assert.equal(placeName(LABELS, "states", "value", { s: 1, i: 0 }), "X[“b”, 0]");
});

test("the route and the strip name only matrices that exist", () => {
  for (const inputs of [STATES, DIRECT]) {
    const m = flow(inputs), steps = route(inputs.states);
    for (const step of steps) STEPS[step].shows.forEach((name) => assert.ok(m[name], name));
    for (const [name, step] of strip(inputs.states).flat()) {
      assert.ok(m[name], name);
      assert.ok(steps.includes(step), step);
    }
  }
});

test("at every width the cells fit", () => {
  const rows = (n, d) => Array.from({ length: n }, () => Array(d).fill(0.5));
  const large = { ...STATES, states: rows(10, 8), query_weight: rows(8, 8), key_weight: rows(8, 8),
    value_weight: rows(8, 8), mask: Array.from({ length: 10 }, () => Array(10).fill(true)) };
  for (const width of [400, 552, 700, 952, 1400]) {
    for (const inputs of [STATES, DIRECT, large]) {
      for (const step of route(inputs.states)) {
        const state = { ...from(inputs), step }, m = flow(state);
        const { cell, corner, small, gutter } = layout(width, state, m, 8);
        const across = STEPS[step].shows.map((name) => (name === STEPS[step].turns ? m[name].length : m[name][0].length));
        const taken = corner ? 2 * gutter + (across[0] + across[1]) * (cell + 1) : gutter + Math.max(...across) * (cell + 1);
        assert.ok(taken <= width, `${step} ${width}: ${taken}`);
        assert.ok(small.every((size) => size === 7) || small.every((size) => size >= 29));
      }
    }
  }
});

test("a number takes as many decimals as there is room for", () => {
  assert.equal(fitted(-1.234, 5), "−1.23");
  assert.equal(fitted(-1.234, 4), "−1.2");
  assert.equal(fitted(0.412, 5, 3), "0.412");
  assert.equal(fitted(0.412, 4, 3), ".412");
  assert.equal(fitted(-0.001, 5), "0.00");
  assert.equal(fitted(123.4, 4), "123");
  assert.equal(fitted(-1234567, 5), "−1e6");
  assert.equal(fitted(-Infinity, 5), "−∞");
  assert.equal(fitted(NaN, 5), "NaN");
});

test("the ink on a colour has a contrast of at least 4.5", () => {
  const light = (text) => text.match(/\d+/g).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  for (let i = -100; i <= 100; i++) {
    for (const limit of [1, null]) {
      const { ground, ink } = painted(limit ? i / 100 : Math.abs(i) / 100, limit);
      const [a, b] = [light(ground), light(ink)].sort((x, y) => x - y);
      assert.ok((b + 0.05) / (a + 0.05) >= 4.5, `${i} ${limit}`);
    }
  }
});

test("the reach of colours leaves infinite numbers out and is never 0", () => {
  assert.equal(reachOf([[1, -3], [-Infinity, NaN]]), 3);
  assert.ok(reachOf([[0]]) > 0);
  assert.equal(typeof drawCells, "function");
});
