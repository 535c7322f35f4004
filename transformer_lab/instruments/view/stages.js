// Attention as a chain of matrices: the arithmetic, what each step shows, and what belongs to a
// chosen number. Matrices are arrays of rows. All of it pure.

import { brief, dot, fixed, power } from "./mix.js";

export const turned = (matrix) => matrix[0].map((_, j) => matrix.map((row) => row[j]));
export const product = (a, b) => {
  const columns = turned(b);
  return a.map((row) => columns.map((column) => dot(row, column)));
};

// Positive numbers that sum to 1; a row that may look at nothing gets zeros, never NaN.
export function softmaxed(row) {
  const most = Math.max(...row);
  if (most === -Infinity) return row.map(() => 0);
  const powers = row.map((x) => Math.exp(x - most)), sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

// Every matrix by its name, from the inputs. mask[t][s] is true where t may look at s.
export function flow(inputs) {
  const { states, mask, scale } = inputs, [query, key, value] = ["query", "key", "value"]
    .map((name) => (states ? product(states, inputs[`${name}_weight`]) : inputs[name]));
  const scores = product(query, turned(key));
  const scaled = scores.map((row) => row.map((x) => x * scale));
  const masked = scaled.map((row, t) => row.map((x, s) => (mask[t][s] ? x : -Infinity)));
  const weights = masked.map(softmaxed);
  return { ...inputs, query, key, value, scores, scaled, masked, weights,
    output: product(weights, value) };
}

// Each matrix: its sign, its role's colour, and its two axes. t looks, s is looked at; i, j and v
// count the numbers of a state, of a query or key, and of a value.
export const MATRICES = {
  states: { sign: "X", role: "ink", axes: ["t", "i"] },
  query_weight: { sign: "W_Q", role: "query", axes: ["i", "j"] },
  key_weight: { sign: "W_K", role: "key", axes: ["i", "j"] },
  value_weight: { sign: "W_V", role: "value", axes: ["i", "v"] },
  query: { sign: "Q", role: "query", axes: ["t", "j"] },
  key: { sign: "K", role: "key", axes: ["s", "j"] },
  value: { sign: "V", role: "value", axes: ["s", "v"] },
  scores: { sign: "scores", role: "ink", axes: ["t", "s"] },
  scaled: { sign: "scaled", role: "ink", axes: ["t", "s"] },
  mask: { sign: "mask", role: "ink", axes: ["t", "s"] },
  masked: { sign: "masked", role: "ink", axes: ["t", "s"] },
  weights: { sign: "weights", role: "ink", axes: ["t", "s"] },
  output: { sign: "output", role: "output", axes: ["t", "v"] },
};

// What a step lays out: a product of two matrices, or matrices beside each other. The last is the
// step's result. `how` stands on the way into it.
const projected = (name, sign, words) => ({ shows: ["states", `${name}_weight`, name],
  product: true, title: `${sign} = X · W_${sign}`,
  say: `Each token’s state, times a matrix of weights, gives its ${name}: ${words}.` });
export const STEPS = {
  given: { shows: ["query", "key", "value"], title: "Q, K and V",
    say: "One row per token: a query asks, a key answers, a value is handed over." },
  query: projected("query", "Q", "what the token looks for"),
  key: projected("key", "K", "what it can be found by"),
  value: projected("value", "V", "what it hands over"),
  scores: { shows: ["query", "key", "scores"], product: true, turns: "key", title: "scores = Q · Kᵀ",
    say: "Every query with every key: multiply number by number and add up. The larger, the better "
      + "the fit." },
  scaled: { shows: ["scores", "scaled"], title: "scaled = scores × scale",
    say: "All scores times one number. The order stays, the distances change." },
  masked: { shows: ["scaled", "mask", "masked"], title: "masked = scaled + mask",
    say: "Where the mask says no, the score becomes −∞, so that e to it is 0." },
  weights: { shows: ["masked", "weights"], title: "weights = softmax(masked)",
    say: "Row by row: e to each score, divided by the row’s sum. Positive, and together 1." },
  output: { shows: ["weights", "value", "output"], product: true, title: "output = weights · V",
    say: "Each token’s output is a mix of the values: an average by its weights." },
};
export const route = (states) => [...(states ? ["query", "key", "value"] : ["given"]),
  "scores", "scaled", "masked", "weights", "output"];
// The matrices of the strip in two lines: name, the step to which it leads, how it is made.
const HEADS = [["query", "Q", "queries"], ["key", "K", "keys"], ["value", "V", "values"]];
export const strip = (states) => [
  [...(states ? [["states", "query", "states"],
    ...HEADS.map(([name]) => [`${name}_weight`, name, "learned"])] : []),
  ...HEADS.map(([name, sign, many]) => [name, states ? name : "given", states ? `→ X · W_${sign}` : many])],
  [["scores", "Q · Kᵀ"], ["scaled", "× scale"], ["masked", "+ mask"], ["weights", "softmax"],
    ["output", "weights · V"]].map(([name, how]) => [name, name, `→ ${how}`])];

export const editable = (states, matrix) => matrix === "mask" || (states
  ? /^states$|_weight$/ : /^(query|key|value)$/).test(matrix);

// The axes of a matrix in a step: where keys or values are made, a state is one that is looked at.
export function axes(matrix, step) {
  const asked = matrix === "states" && (step === "key" || step === "value");
  return asked ? ["s", "i"] : MATRICES[matrix].axes;
}

// What of `matrix` belongs to the chosen number: {row, column}, each an index or null. Both: the
// one cell; one of them: the whole row or column.
export function belongs(matrix, { at, chosen, step }) {
  const shared = axes(matrix, step).map((axis) => axes(chosen, step).includes(axis));
  const [row, column] = axes(matrix, step).map((axis, i) => (shared[i] ? at[axis] : null));
  // A softmax needs its whole row.
  return step === "weights" && matrix === "masked" ? { row, column: null } : { row, column };
}

// "“it”", or a number's place, for each axis.
const place = (labels, axis, index) =>
  (axis === "t" ? labels.tokens[index] : axis === "s" ? labels.looked[index] : String(index));
export function placeName(labels, matrix, step, at) {
  const [a, b] = axes(matrix, step);
  return `${MATRICES[matrix].sign}[${place(labels, a, at[a])}, ${place(labels, b, at[b])}]`;
}

// How the chosen number of a step's result comes about: pieces [text, role], written one after the
// other. `at` names it.
export function written(m, { at, step, chosen }, labels) {
  const { shows, product: multiplied, turns } = STEPS[step];
  const result = shows.at(-1), { t, s } = at, f = (x) => fixed(x, 3);
  if (step === "given") {
    const [a, b] = axes(chosen, step);
    return [[`${placeName(labels, chosen, step, at)} = `], [f(m[chosen][at[a]][at[b]]),
      MATRICES[chosen].role]];
  }
  const [a, b] = axes(result, step), start = [[`${placeName(labels, result, step, at)} = `]];
  const end = (x) => [[" "], [`=\u00a0${x}`, MATRICES[result].role, true]];
  if (multiplied) {
    const [left, right] = shows, row = m[left][at[a]];
    const column = turns ? m[right][at[b]] : m[right].map((each) => each[at[b]]);
    // The axis along which the two are multiplied; the chosen number stands on it, or not.
    const along = axes(left, step)[1];
    const term = chosen !== result && axes(chosen, step).includes(along) ? at[along] : -1;
    return [...start, ...row.flatMap((x, i) => [[i ? " + " : ""], [f(x), MATRICES[left].role, i === term],
      ["\u00a0×\u00a0"], [f(column[i]), MATRICES[right].role, i === term]]), ...end(f(m[result][at[a]][at[b]]))];
  }
  if (step === "scaled") {
    const d = m.query[0].length, root = Math.abs(m.scale * Math.sqrt(d) - 1) < 1e-9;
    return [...start, [`${f(m.scores[t][s])} ${root ? `÷ √${d}` : `× ${brief(m.scale)}`}`],
      ...end(f(m.scaled[t][s]))];
  }
  const [asks, asked] = [labels.tokens[t], labels.looked[s]];
  if (step === "masked") {
    return m.mask[t][s]
      ? [...start, [`${f(m.scaled[t][s])}: ${asks} may look at ${asked}, nothing changes`]]
      : [...start, ["−∞", "ink", true], [`: ${asks} may not look at ${asked}`]];
  }
  if (m.mask[t].every((may) => !may)) {
    return [...start, ["0", "ink", true], [`: ${asks} may look at nothing, so all its weights are 0`]];
  }
  if (!m.mask[t][s]) return [...start, ["0", "ink", true], [": e to −∞ is 0"]];
  const seen = m.masked[t].filter((x) => x !== -Infinity), most = Math.max(...seen);
  const sum = most + Math.log(seen.reduce((total, x) => total + Math.exp(x - most), 0));
  const few = seen.length <= 5 ? seen.map(power).join(" + ") : "";
  return [...start, [`e^${f(m.masked[t][s])} ÷ the row’s sum = ${power(m.masked[t][s])} ÷ `
    + (few && seen.length > 1 ? `(${few})` : power(sum))], ...end(f(m.weights[t][s]))];
}
