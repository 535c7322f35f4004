import assert from "node:assert/strict";
import test from "node:test";
import { begin, reduce, TABS } from "../../transformer_lab/instruments/view/position_explorer.js";
import { distanceLayout, rounded, scaleOf, slopeLayout }
  from "../../transformer_lab/instruments/view/position_plots.js";
import { amount, asTable, clocks, likeness, placed, slopes, told, turned, waveRow, wordScores }
  from "../../transformer_lab/instruments/view/position_sums.js";
import { clockLayout, dotsLayout, PICTURES }
  from "../../transformer_lab/instruments/view/position_tabs.js";

const CONTENT = { length: 48, tokens: ["the", "dog", "the", "cat"], q: [1, 0.5, 0, 1], k: [0, 1, 1, 0.5],
  vectors: [[1, 0, 2, 1], [0, 1, 1, -1], [1, 0, 2, 1], [-1, 1, 0, 2]] };
const START = { tab: "waves", width: 32, base: 10_000, position: 12, other: 7, cosine: true, heads: 8,
  head: 2, order: [0, 1, 2, 3], query: 1, key: 2, content: CONTENT };
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const after = (state, ...events) => events.reduce(reduce, state);
const say = (state) => told(state, CONTENT);

test("every tab has a name, a question and a picture", () => {
  assert.deepEqual(Object.keys(TABS), Object.keys(PICTURES));
});

test("the row interleaves sine and cosine, and can leave the cosine out", () => {
  assert.deepEqual(waveRow(0, 4, 100), [0, 1, 0, 1]);
  const all = [Math.sin(3), Math.cos(3), Math.sin(0.3), Math.cos(0.3)];
  waveRow(3, 4, 100).forEach((x, i) => assert.ok(Math.abs(x - all[i]) < 1e-12));
  waveRow(3, 4, 100, false).forEach((x, i) => assert.ok(Math.abs(x - all[2 * i]) < 1e-12));
});

test("with the cosine a distance has one product; with sines alone a range", () => {
  const state = from(), both = likeness(state, 48), alone = likeness({ ...state, cosine: false }, 48);
  assert.ok(both.most - both.least < 1e-9);
  assert.ok(alone.most - alone.least > 1);
  assert.equal(both.pairs, 43);
});

test("query and key that go together keep their distance, up to either end", () => {
  const go = (to) => ({ type: "go", what: "both", to });
  const end = after(from(), go(20), go(999));
  assert.deepEqual([end.position, end.other], [47, 42]);
  const first = after(end, go(-5));
  assert.deepEqual([first.position, first.other], [5, 0]);
  const [a, b, c] = [from(), end, first].map((state) => clocks(CONTENT, state).score);
  assert.ok(Math.abs(a - b) < 1e-12 && Math.abs(a - c) < 1e-12);
});

test("the sentence compares with where the hand's own move began", () => {
  const hands = from({ tab: "hands" }), go = (what, to) => ({ type: "go", what, to });
  assert.match(say(hands), /^The query is at 12; the key is at 7, 5 before it\. Score/);
  assert.match(say(after(hands, go("both", 8), go("both", 10))),
    /^Both moved 3 on and are still 5 apart: the score stays/);
  assert.match(say(after(hands, go("both", 8), go("key", 3))), /^Only the key moved, from 8 to 3: .* goes/);
  assert.match(say(after(hands, go("query", 8), go("query", 12))), /^Back where it was/);
  assert.match(say(after(hands, { type: "set", values: { base: 100 } })), /^The query is at 12/);
});

test("the distance slider moves the key, and the query only where it must", () => {
  const far = reduce(from(), { type: "apart", to: 10 });
  assert.deepEqual([far.position, far.other], [12, 2]);
  const farther = reduce(far, { type: "apart", to: 40 });
  assert.deepEqual([farther.position, farther.other], [40, 0]);
});

test("what no longer fits is brought back into its range", () => {
  const state = after(from(), { type: "point", row: 3, column: 31 }, { type: "set", values: { width: 4, heads: 1 } });
  assert.deepEqual([state.column, state.head, state.position], [3, 0, 3]);
});

test("a word taken out is put back where it is dropped, and the others close up", () => {
  assert.deepEqual(placed([0, 1, 2, 3], 0, 2), [1, 2, 0, 3]);
  assert.deepEqual(placed([0, 1, 2, 3], 3, -9), [3, 0, 1, 2]);
  assert.deepEqual(placed([0, 1, 2, 3], 1, 99), [0, 2, 3, 1]);
  assert.deepEqual(placed([0, 1, 2, 3], 2, 2), [0, 1, 2, 3]);
});

test("two words that move alike change the sinusoidal score only", () => {
  const first = from({ tab: "move" }), state = reduce(first, { type: "place", id: 0, to: 3 });
  const [before, now] = [first, state].map((s) => wordScores(CONTENT, s, s.order));
  assert.deepEqual(now.map((x, i) => Math.abs(x - before[i]) > 1e-9), [false, true, false, false]);
  assert.match(say(state), /Both moved 1 back, still 1 apart: only the sinusoidal score changes/);
  const apart = reduce(state, { type: "place", id: 2, to: 3 });
  assert.match(say(apart), /3 apart instead of 1: sinusoidal, rotary and ALiBi change; without positions/);
  assert.match(say(first), /Move a word and watch/);
});

test("a word cannot be both: choosing the key as query swaps them", () => {
  const state = reduce(from(), { type: "choose", id: 2 });
  assert.deepEqual([state.query, state.key], [2, 1]);
  const back = reduce(state, { type: "key", id: 2 });
  assert.deepEqual([back.query, back.key], [1, 2]);
});

test("a token chosen elsewhere pins its position, and its word where there is one", () => {
  const state = reduce(from(), { type: "hear", index: 30 });
  assert.deepEqual([state.position, state.query], [30, 1]);
  assert.equal(reduce(state, { type: "hear", index: 3 }).query, 3);
});

test("a half turn turns a pair around", () => {
  const [x, y] = turned([1, 2], Math.PI, 10);
  assert.ok(Math.abs(x + 1) < 1e-12 && Math.abs(y + 2) < 1e-12);
});

test("heads that are no power of two take every other slope of twice as many", () => {
  assert.deepEqual(slopes(3), [1 / 16, 1 / 256, 1 / 4]);
  assert.deepEqual(slopes(1), [1 / 256]);
});

test("all sentences and layouts hold at the edges", () => {
  const edges = { position: 47, other: 0, width: 4, base: 10, heads: 1, head: 0, cosine: false };
  for (const tab of Object.keys(TABS)) {
    for (const other of [{ tab }, { tab, ...edges }, { tab, ...edges, other: 47 }, { tab, query: 2, key: 2 }]) {
      const state = from(other), { rows, columns, values } = asTable(state, CONTENT);
      assert.doesNotMatch(say(state), /NaN|undefined|Infinity/);
      assert.equal(values.length, rows.length * columns.length);
      assert.ok([distanceLayout, slopeLayout].every((layout) =>
        layout(state, CONTENT).chosen.every(Number.isFinite)));
    }
  }
  assert.match(say(from({ tab: "distance", ...edges })), /No other two positions are 47 apart/);
});

test("the plots keep all they draw inside", () => {
  for (const head of [0, 4, 15]) {
    const { lines } = slopeLayout(from({ heads: 16, head }), CONTENT);
    assert.ok(lines.flat().every(([x, y]) => x >= 0 && x <= 640 && y >= 0 && y <= 213));
  }
  const { line, others } = distanceLayout(from({ cosine: false, base: 10 }), CONTENT);
  assert.ok([line, ...others].flat().every(([x, y]) => x >= 0 && x <= 640 && y >= 0 && y <= 213));
});

test("a pixel of a plot goes back to its number", () => {
  const scale = scaleOf(-47, 47, 52, 618);
  assert.ok(Math.abs(scale.from(scale.to(-13)) + 13) < 1e-9);
  assert.ok(scale.ticks.length <= 10 && scale.ticks.includes(0));
});

test("hands that lie together have names that do not, and no length gives no NaN", () => {
  const { labels: [a, b] } = clockLayout({ query: [1, 0], key: [1, 0.01] }, 1);
  assert.ok(Math.hypot(a[0] - b[0], a[1] - b[1]) > 12);
  assert.ok(clockLayout({ query: [0, 0], key: [0, 0] }, 1).labels.flat().every(Number.isFinite));
});

test("the dots of the scores lie on their line", () => {
  const { zero, rows } = dotsLayout([1, -2], [3, 0]);
  assert.ok([zero, ...rows.flatMap(({ from: a, to: b }) => [a, b])].every((x) => x > 0 && x < 1));
  assert.ok(dotsLayout([0], [0]).rows[0].to >= 0);
});

test("bases and periods read well", () => {
  assert.equal(rounded(Math.log10(10_000)), 10_000);
  assert.equal(amount(35_332.9), "35,333");
  assert.equal(amount(6.283), "6.3");
  assert.equal(amount(4e6), "4 million");
});
