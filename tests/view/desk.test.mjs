import assert from "node:assert/strict";
import test from "node:test";
import {
  answerFor, beginDesk, changes, correlation, effects, listed, nextTokens, outcome, readDesk,
  reduceDesk, tokenTable, tokenWords, truthWords, withSign,
} from "../../transformer_lab/instruments/view/answers.js";

const view = (array) => new DataView(array.buffer);
const numbers = (...list) => view(Float32Array.from(list.flat(3)));
const COUNTED = view(Uint8Array.from([0, 1, 1]));
const WORDS = { 4: "the", 5: "cat", 6: "sat" };

// Two layers of two heads on “the cat the”; one top token behind each position.
const answer = (silenced, value, tokens, top) => ({
  silenced: [silenced], values: [value], cosines: null, counted: COUNTED, top: 1, words: WORDS,
  tokens: numbers(tokens), ids: numbers(top), shares: numbers([0.5, 0.25, 0.125]),
});
const WHOLE = answer([], 1.5, [0, 1, 2], [5, 4, 6]);
const ONE = answer([[0, 1]], 2.5, [0, 4, 1], [6, 6, 6]);
const SINGLES = {
  silenced: [[[0, 0]], [[0, 1]], [[1, 0]], [[1, 1]]], values: [1.25, 2.5, 1.5, 1.75], cosines: null,
  counted: COUNTED, top: 1, words: WORDS,
  tokens: numbers([0, 1, 1.5], [0, 4, 1], [0, 1, 2], [0, 1, 2.5]),
  ids: numbers([5, 4, 6], [6, 6, 6], [5, 4, 6], [5, 4, 6]), shares: numbers(Array(12).fill(0.5)),
};
const TRAITS = {
  layer: 0, head: 0, pinned: [], sort: "order", query: null, silenced: [], each_alone: false,
  whole: WHOLE, result: WHOLE, singles: {}, offline: false,
  content: {
    title: "", rows: ["the", "cat", "the"], columns: null, layers: [0, 1], count: 2, sent: [[0, 0]],
    weights: view(new Uint16Array(9)), mask: null, thumbs: null, cap: 128,
    scores: [["entropy", "focus", "mean entropy", true], ["largest", "largest weight", "mean", false]],
    values: numbers([1, 2, 3, 4], [0.9, 0.2, 0.4, 0.3]),
  },
};
const get = (traits = {}) => (name) => ({ ...TRAITS, ...traits })[name];
const data = readDesk(get());
const silent = (list, start = beginDesk(get())) =>
  list.reduce((state, [layer, head]) => reduceDesk(state, { type: "silence", layer, head }), start);

test("a head is silenced and turned on again, and the list stays in order", () => {
  const state = silent([[1, 0], [0, 1]]);
  assert.deepEqual(state.silenced, [[0, 1], [1, 0]]);
  assert.deepEqual(silent([[1, 0]], state).silenced, [[0, 1]]);
  assert.deepEqual(reduceDesk(state, { type: "restore" }).silenced, []);
  assert.deepEqual(beginDesk(get()).silenced, [], "the first state is as it was");
});

test("a whole layer is silenced, completed and turned on", () => {
  const layer = { type: "layer", layer: 1, count: 2 };
  const state = reduceDesk(silent([[1, 1], [0, 0]]), layer);
  assert.deepEqual(state.silenced, [[0, 0], [1, 0], [1, 1]]);
  assert.deepEqual(reduceDesk(state, layer).silenced, [[0, 0]]);
});

test("what the explorer does, the desk does", () => {
  const state = reduceDesk(beginDesk(get()), { type: "head", layer: 1, head: 1 });
  assert.deepEqual([state.layer, state.head, state.silenced], [1, 1, []]);
  assert.deepEqual(reduceDesk(state, { type: "pin" }).pinned, [[1, 1]]);
});

test("an answer holds for the heads it was made for, and for no others", () => {
  const later = readDesk(get({ result: ONE }));
  assert.equal(answerFor(later, []).value, 1.5);
  assert.equal(answerFor(later, [[0, 1]]).value, 2.5);
  assert.equal(answerFor(later, [[0, 0]]), null);
  assert.deepEqual([...changes(later, answerFor(later, [[0, 1]]))], [0, 3, -1]);
});

test("offline one head alone is answered, and two say that they need the notebook", () => {
  const page = readDesk(get({ singles: SINGLES, offline: true }));
  assert.equal(answerFor(page, [[0, 1]]).value, 2.5);
  assert.deepEqual([...answerFor(page, [[1, 1]]).tokens], [0, 1, 2.5]);
  const two = outcome(page, silent([[0, 1], [1, 1]]));
  assert.match(two.words, /2 heads silenced together need the notebook/);
  assert.deepEqual(two.numbers.at(-1), ["now", "…"]);
});

test("with a kernel a lean list of single heads is no answer for the tokens", () => {
  const lean = { ...SINGLES, tokens: null, ids: null, shares: null, words: {} };
  const live = readDesk(get({ singles: lean }));
  assert.equal(answerFor(live, [[0, 1]]), null);
  assert.equal(effects(live, "largest").order[0].change, 1);
});

test("the outcome gives the loss before, now and its change", () => {
  const later = readDesk(get({ result: ONE })), state = silent([[0, 1]]);
  assert.deepEqual(outcome(later, state).numbers,
    [["all heads", "1.500"], ["now", "2.500"], ["change", "+1.000"]]);
  assert.equal(outcome(later, state).words,
    "Silenced: layer 0 head 1. Changed most: “cat”, +3.000.");
  assert.match(outcome(later, beginDesk(get())).words, /^No head is silenced/);
  assert.match(outcome(later, silent([[0, 0]])).words, /^Running the model/);
  const many = { ...state, silenced: Array.from({ length: 6 }, (_, i) => [0, i]) };
  const wide = readDesk(get({ result: { ...ONE, silenced: [many.silenced] } }));
  assert.match(outcome(wide, many).words, /head 3 and 2 more\./);
});

test("an encoder’s outcome is how far its states move, and the cosine", () => {
  const none = { ids: numbers([]), shares: numbers([]), top: 0, words: {} };
  const whole = { ...WHOLE, ...none, values: [0], cosines: [1], tokens: numbers([0, 0, 0]) };
  const moved = { ...ONE, ...none, values: [0.25], cosines: [0.875], tokens: numbers([0, 0.25, 0.5]) };
  const encoder = readDesk(get({ whole, result: moved })), state = silent([[0, 1]]);
  assert.deepEqual(outcome(encoder, state).numbers,
    [["of their length", "0.250"], ["cosine of the sentence vectors", "0.875"]]);
  assert.match(outcome(encoder, state).words, /Changed most: “the” \(2\), 0\.500/);
  assert.equal(tokenWords(encoder, state, 1), "“cat”: its state moves by 0.250 of its length");
  assert.equal(tokenWords(encoder, state, 0), "“the” (0) is padding.");
  assert.equal(nextTokens(encoder, encoder.whole, 1), null);
  assert.deepEqual(tokenTable(encoder, encoder.result),
    { columns: ["state moves by"], values: [null, 0.25, 0.5] });
});

test("a token tells its loss before and now; the first has none", () => {
  const later = readDesk(get({ result: ONE })), state = silent([[0, 1]]);
  assert.equal(tokenWords(later, state, 1), "“cat”: loss 1.000 with all heads, 4.000 now (+3.000)");
  assert.equal(tokenWords(later, state, 2),
    "“the” (2): loss 2.000 with all heads, 1.000 now (−1.000)");
  assert.match(tokenWords(later, state, 0), /has no loss/);
  assert.deepEqual(tokenTable(later, later.result).values,
    [null, null, null, 1, 4, 3, 2, 1, -1]);
});

test("the next tokens are those behind the chosen token, the text’s own marked", () => {
  const later = readDesk(get({ result: ONE }));
  assert.deepEqual(nextTokens(later, later.whole, 0), [{ word: "cat", share: 0.5, hit: true }]);
  assert.deepEqual(nextTokens(later, later.result, 0), [{ word: "sat", share: 0.5, hit: false }]);
  assert.equal(truthWords(later, later.result, 0),
    "✓ The text goes on with “cat”: 0.368 with all heads, 0.018 now.");
  assert.equal(truthWords(later, later.result, 2), "This is where the text ends.");
  assert.equal(listed(later, beginDesk(get())), 2);
  assert.equal(listed(later, beginDesk(get({ query: 1 }))), 1);
});

test("heads alone stand by their change beside a score, with the rank correlation", () => {
  const page = readDesk(get({ singles: SINGLES }));
  const { order, agreement, beside } = effects(page, "largest");
  assert.deepEqual(order.map(({ head }) => head), [[0, 1], [1, 1], [1, 0], [0, 0]]);
  assert.deepEqual(order.map(({ change }) => change), [1, 0.25, 0, -0.25]);
  assert.equal(beside.name, "largest weight");
  assert.ok(Math.abs(agreement + 1) < 1e-12);
  assert.equal(effects(page, "gone").beside.key, "entropy");
  assert.equal(effects(data, "largest"), null);
  assert.equal(page.scores.at(-1).key, "alone");
  assert.deepEqual([...page.scores.at(-1).values], [-0.25, 1, 0, 0.25]);
});

test("a rank correlation is Spearman’s, ties share a place, a constant has none", () => {
  assert.equal(correlation([1, 2, 3], [10, 20, 90]), 1);
  assert.equal(correlation([1, 2, 3], [3, 2, 1]), -1);
  assert.ok(Math.abs(correlation([1, 2, 2, 4], [1, 3, 2, 4]) - 0.9486832980505138) < 1e-12);
  assert.equal(correlation([1, 2], [5, 5]), null);
});

test("what rounds to nothing has no sign", () => {
  assert.deepEqual([0.0004, -0.0004, 0.4126, -1].map((x) => withSign(x)),
    ["0.000", "0.000", "+0.413", "−1.000"]);
});
