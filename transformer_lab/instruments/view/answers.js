// What the model answers with some heads silenced: numbers from Python, and the sentences and tables
// made of them. All of it is pure.

import { begin, read, reduce } from "./attention.js";
import { bytes, floats } from "./parts.js";

const ALONE = "alone"; // the score that each head's own silence gives it

// A number with its sign, "+0.412" or "−0.412"; what rounds to nothing has none.
export function withSign(x, places = 3) {
  const text = Math.abs(x).toFixed(places);
  return (Number(text) === 0 ? "" : x < 0 ? "−" : "+") + text;
}

// Several answers from Python; `at(i)` is one of them, with null for what was not sent.
export function readAnswers(sent, T) {
  const count = sent.values?.length ?? 0, size = T * (sent.top ?? 0);
  const tokens = sent.tokens && floats(sent.tokens);
  const ids = sent.ids && floats(sent.ids), shares = sent.shares && floats(sent.shares);
  const some = (array, i, each) => array && array.subarray(i * each, (i + 1) * each);
  const all = Array.from({ length: count }, (_, i) => ({
    silenced: sent.silenced[i], value: sent.values[i], cosine: sent.cosines?.[i] ?? null,
    counted: bytes(sent.counted), tokens: some(tokens, i, T), ids: some(ids, i, size),
    shares: some(shares, i, size), top: sent.top, words: sent.words,
  }));
  return { count, silenced: sent.silenced ?? [], values: sent.values ?? [], at: (i) => all[i] };
}

// All that Python sent. Each head's own effect is one more score of the heads.
export function readDesk(get) {
  const data = read(get("content")), T = data.rows.length;
  const whole = readAnswers(get("whole"), T).at(0), singles = readAnswers(get("singles"), T);
  const loss = whole.cosine === null;
  const effect = new Map(singles.silenced.map(([place], i) =>
    [String(place), singles.values[i] - whole.value]));
  const values = data.heads.map((place) => effect.get(String(place)) ?? 0);
  const scores = !singles.count ? data.scores : [...data.scores, { key: ALONE, low: false,
    name: loss ? "change of loss" : "change of states", values: Float32Array.from(values),
    meaning: `${loss ? "change of the loss" : "how far the states move"} when it is silenced alone` }];
  return { ...data, scores, base: data.scores, whole, loss, singles,
    result: readAnswers(get("result"), T).at(0), offline: Boolean(get("offline")) };
}

export function beginDesk(get) {
  return { ...begin(get), silenced: get("silenced"), beside: "largest", alone: get("each_alone") };
}

export function reduceDesk(state, event) {
  if (event.type === "restore") return { ...state, silenced: [] };
  if (event.type !== "silence" && event.type !== "layer") return reduce(state, event);
  const { layer, head } = event;
  const here = event.type === "silence" ? [[layer, head]]
    : Array.from({ length: event.count }, (_, i) => [layer, i]);
  const on = (list, [a, b]) => list.some(([c, d]) => a === c && b === d);
  const all = here.every((place) => on(state.silenced, place));
  const rest = state.silenced.filter((place) => !on(here, place));
  const silenced = (all ? rest : [...rest, ...here]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return { ...state, silenced };
}

// The answer for the silenced heads; null while it is on its way, or where it needs Python.
export function answerFor(data, silenced) {
  const wanted = JSON.stringify(silenced);
  if (!silenced.length) return data.whole;
  if (JSON.stringify(data.result.silenced) === wanted) return data.result;
  const i = data.singles.silenced.findIndex((places) => JSON.stringify(places) === wanted);
  const single = i < 0 ? null : data.singles.at(i);
  return single && (single.tokens || !data.sent.length) ? single : null;
}

// Change of each token's number, or null.
export function changes(data, answer) {
  return answer?.tokens && data.whole.tokens
    ? answer.tokens.map((x, i) => x - data.whole.tokens[i]) : null;
}

export const headList = (places) => {
  const names = places.slice(0, 4).map(([layer, head]) => `layer ${layer} head ${head}`);
  return names.join(", ") + (places.length > 4 ? ` and ${places.length - 4} more` : "");
};

// What stands large above, and the sentence below it.
export function outcome(data, state) {
  const { silenced } = state, answer = answerFor(data, silenced), before = data.whole.value;
  const name = data.loss ? "loss, nats per token" : "states move by";
  const numbers = data.loss ? [["all heads", before.toFixed(3)]] : [];
  const none = "Click a head to look at it. Click it again, or press Enter, to silence it.";
  if (!answer) {
    const words = data.offline
      ? `${silenced.length} heads silenced together need the notebook. This page answers for one head at a time.`
      : "Running the model … (a notebook that runs other cells answers when they are done)";
    return { name, numbers: [...numbers, [data.loss ? "now" : "of their length", "…"]], words };
  }
  numbers.push([data.loss ? "now" : "of their length", answer.value.toFixed(3)]);
  if (data.loss) numbers.push(["change", withSign(answer.value - before)]);
  else numbers.push(["cosine of the sentence vectors", answer.cosine.toFixed(3)]);
  if (!silenced.length) return { name, numbers, words: `No head is silenced. ${none}` };
  const change = changes(data, answer);
  if (!change) return { name, numbers, words: `Silenced: ${headList(silenced)}.` };
  const most = change.reduce((best, x, i) => (Math.abs(x) > Math.abs(change[best]) ? i : best), 0);
  return { name, numbers, words: `Silenced: ${headList(silenced)}. Changed most: `
    + `${data.rowNames[most]}, ${data.loss ? withSign(change[most]) : change[most].toFixed(3)}.` };
}

// What one token says.
export function tokenWords(data, state, row) {
  const answer = answerFor(data, state.silenced), name = data.rowNames[row];
  if (!data.whole.counted[row]) {
    return data.loss ? `${name} has no loss: no real token stands before it.` : `${name} is padding.`;
  }
  if (!answer?.tokens) return `${name}: these heads ${data.offline ? "need the notebook" : "are on their way"}.`;
  const now = answer.tokens[row], before = data.whole.tokens[row];
  return data.loss ? `${name}: loss ${before.toFixed(3)} with all heads, ${now.toFixed(3)} now (${withSign(now - before)})`
    : `${name}: its state moves by ${now.toFixed(3)} of its length`;
}

// The token whose next ones are listed: the chosen one, else the last real one.
export function listed(data, state) {
  return state.chosen?.row ?? Array.from(data.whole.counted).lastIndexOf(1);
}

// The five likeliest next tokens behind a token: [{ word, share, hit }], or null.
export function nextTokens(data, answer, row) {
  if (!answer?.ids || !answer.top) return null;
  const truth = data.rows[row + 1], from = row * answer.top;
  return Array.from({ length: answer.top }, (_, i) => {
    const word = answer.words[answer.ids[from + i]];
    return { word, share: answer.shares[from + i], hit: word === truth };
  });
}

// How the text goes on after a token, and the share that the model gave to it.
export function truthWords(data, answer, row) {
  if (row + 1 >= data.rows.length || !data.whole.counted[row + 1]) return "This is where the text ends.";
  const share = (of) => (of?.tokens ? Math.exp(-of.tokens[row + 1]).toFixed(3) : "…");
  return `✓ The text goes on with ${data.rowNames[row + 1]}: ${share(data.whole)} with all heads, `
    + `${share(answer)} now.`;
}

// Each head alone, largest change first, beside an attention score.
export function effects(data, key) {
  const alone = data.scores.find((score) => score.key === ALONE);
  const beside = data.base.find((score) => score.key === key) ?? data.base[0];
  if (!alone) return null;
  const order = data.heads.map((_, i) => i)
    .sort((a, b) => alone.values[b] - alone.values[a] || a - b);
  return {
    beside, order: order.map((i) => ({ head: data.heads[i], change: alone.values[i],
      score: beside.values[i] })),
    agreement: correlation(alone.values, beside.values.map((x) => (beside.low ? -x : x))),
  };
}

// Spearman's rank correlation: 1 same order, −1 opposite order; null where one side is constant.
export function correlation(xs, ys) {
  const places = (values) => Array.from(values, (x) => {
    let less = 0, same = 0;
    for (const y of values) { less += y < x; same += y === x; }
    return less + (same + 1) / 2;
  });
  const [a, b] = [places(xs), places(ys)], middle = (a.length + 1) / 2;
  let up = 0, aa = 0, bb = 0;
  a.forEach((x, i) => {
    up += (x - middle) * (b[i] - middle);
    aa += (x - middle) ** 2;
    bb += (b[i] - middle) ** 2;
  });
  return aa && bb ? up / Math.sqrt(aa * bb) : null;
}

// Every token with its numbers: for the table and for CSV.
export function tokenTable(data, answer) {
  const columns = data.loss ? ["loss, all heads", "loss now", "change"] : ["state moves by"];
  const values = data.rows.flatMap((_, i) => {
    if (!data.whole.counted[i]) return columns.map(() => null);
    const now = answer.tokens[i], before = data.whole.tokens[i];
    return data.loss ? [before, now, now - before] : [now];
  });
  return { columns, values };
}
