import assert from "node:assert/strict";
import test from "node:test";
import { begin, brief, layout, left, log, path, placed, progress, read, reduce, sentence }
  from "../../transformer_lab/instruments/view/live.js";

const bytes = (typed) => new DataView(typed.buffer);
const CONTENT = { title: "", number: 42, unseen: true, source: ["forty", "two"], expected: ["zwei", "<end>"],
  aligned: [1, -1], layers: 1, heads: 1, steps: 10, tested: 50, ignorant: 3 };
const HISTORY = { losses: bytes(Float32Array.from([4, 2, 1, 0.5])), steps: [0, 2, 4],
  right: bytes(Float32Array.from([0, 0.5, 0.98])), wrote: ["und", "zweizwei", "zwei"],
  weights: bytes(Uint16Array.from([0.5, 0.5, 0.5, 0.5, 0.6, 0.4, 0.2, 0.8, 0.1, 0.9, 0.7, 0.3],
    (x) => Math.round(65535 * x))) };
const DATA = read(CONTENT, HISTORY);
const state = (other = {}) => ({ ...begin(() => "mean"), ...other });

test("without a look of its own it follows the newest", () => {
  assert.equal(layout(DATA, state()).step, 4);
  const back = reduce(state(), { type: "look", to: 1 }, DATA);
  assert.equal(layout(DATA, back).step, 2);
  assert.equal(reduce(back, { type: "look", to: 2 }, DATA).look, null);
  assert.equal(reduce(back, { type: "look", to: -3 }, DATA).look, 0);
  assert.equal(reduce(state({ look: 7 }), { type: "fresh" }, DATA).look, null);
  assert.equal(reduce(back, { type: "fresh" }, DATA).look, 1);
});

test("each look has its own weights, text and agreement", () => {
  const [first, , last] = [0, 1, null].map((look) => layout(DATA, state({ look })));
  assert.ok(Math.abs(last.rows[0].weights[1] - 0.9) < 1e-4);
  assert.deepEqual([first.there, last.there, last.places], [0, 1, 1]);
  assert.deepEqual([first.good, last.good], [false, true]);
});

test("a look is said in a sentence", () => {
  const say = (look) => sentence(DATA, state({ look }), layout(DATA, state({ look })));
  assert.equal(say(null), "After step 4, 42 becomes “zwei”, which is right. The largest weight is "
    + "on the true word for 1 of 1 pieces.");
  assert.match(say(0), /^Before the first step, 42 becomes “und”\. /);
  const cell = state({ cell: { row: 0, column: 1 } });
  assert.match(sentence(DATA, cell, layout(DATA, cell)), /^Before it writes “zwei”, 0.900/);
});

test("progress names step, loss, numbers right and the time left", () => {
  const now = { step: 4, loss: 0.5, seconds: 12.4, status: "running" };
  assert.equal(progress(DATA, now), "step 4 of 10 · loss 0.500 · 49 of 50 held-out numbers right · about 12 s left");
  assert.match(progress(DATA, { ...now, status: "paused" }), /paused$/);
  assert.match(progress(DATA, { step: 0, loss: null, seconds: 0, status: "ready" }), /^step 0 of 10 · 49/);
  assert.equal(left(0.3), "");
  assert.equal(left(200), "about 3 min left");
});

test("a chart's corners lie inside its frame, first step left, zero below", () => {
  const [x0, y0] = placed(0, 0, 10, 5), [x1, y1] = placed(10, 5, 10, 5);
  assert.ok(x0 < x1 && y1 < y0 && x1 <= 280 && y1 >= 0 && y0 <= 150);
  assert.equal(path([[0, 0], [10, 5]], 10, 5), `M${x0.toFixed(1)} ${y0.toFixed(1)}L${x1.toFixed(1)} ${y1.toFixed(1)}`);
  assert.equal(path([], 10, 5), "");
});

test("a long text is cut in the table", () => {
  assert.equal(brief("null".repeat(9)).length, 28);
  assert.equal(brief("ein und"), "ein␣und");
});

test("the log has a row for each look, with the loss of that step", () => {
  const rows = log(DATA);
  assert.equal(rows[0][1], null);
  assert.equal(rows[2][1], 0.5);
  assert.deepEqual(rows.map((row) => row[3]), ["und", "zweizwei", "zwei"]);
});
