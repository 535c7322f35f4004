// One query among a few keys: the arithmetic of attention, and numbers as text. All of it pure.

export const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
export const vector = (value) => (Array.isArray(value) ? value : [value]);

// Every number of the table, from {query, key, value, temperature, scale}. `logs[i]` is the
// exponent of e, and `logSum` the logarithm of their sum: e^1000 itself would be infinite.
export function mixed({ query, key, value, temperature, scale }) {
  const scores = key.map((k) => dot(query, k));
  const logs = scores.map((score) => (score * scale) / temperature);
  const most = Math.max(...logs);
  const powers = logs.map((x) => Math.exp(x - most));
  const sum = powers.reduce((a, b) => a + b, 0);
  const weights = powers.map((x) => x / sum);
  const products = value.map((v, i) => vector(v).map((x) => x * weights[i]));
  const output = products.reduce((a, b) => a.map((x, i) => x + b[i]));
  return { scores, logs, logSum: most + Math.log(sum), weights, products, output };
}

// "0.66", "−1.20": a true minus sign, and never a minus before zero.
export function fixed(x, digits = 2) {
  if (Math.abs(x) >= 1e5) return x.toExponential(2).replace("e+", "e").replace("-", "−");
  const text = Math.abs(x).toFixed(digits);
  return (x < 0 && Number(text) !== 0 ? "−" : "") + text;
}

export const point = (numbers, digits = 2) => (numbers.length === 1 ? fixed(numbers[0], digits)
  : `(${numbers.map((x) => fixed(x, digits)).join(", ")})`);

// Three or four significant digits without idle zeros: "0.01", "1", "0.7071", "100".
export const brief = (x) => String(Number(x.toPrecision(4))).replace("-", "−");

const raised = (whole) =>
  [...String(whole)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

// e^x from x, whatever its size: "1.822", "4.85·10⁸".
export function power(x) {
  if (x > -6.9 && x < 6.9) return Math.exp(x).toFixed(3);
  const log10 = x / Math.LN10;
  if (Math.abs(log10) >= 9999) return log10 > 0 ? "> 10⁹⁹⁹⁹" : "< 10⁻⁹⁹⁹⁹";
  let whole = Math.floor(log10), front = (10 ** (log10 - whole)).toFixed(2);
  if (front === "10.00") [whole, front] = [whole + 1, "1.00"];
  return `${front}·10${raised(whole)}`;
}

// What is to be seen now, in a sentence. `step` is how far the arithmetic is shown.
export function sentence(names, state, m) {
  const order = names.map((_, i) => i).sort((a, b) => m.weights[b] - m.weights[a] || a - b);
  const [first, second] = order, count = names.length;
  const out = state.step < 5 ? "" : ` The output is ${point(m.output)}`;
  const end = out ? `${out}.` : "";
  if (state.step < 4) {
    const best = m.scores.indexOf(Math.max(...m.scores));
    const tied = m.scores.every((score) => score === m.scores[0]);
    return tied ? `All scores are ${fixed(m.scores[0], 3)}.`
      : `${names[best]} fits the query best: score ${fixed(m.scores[best], 3)}.`;
  }
  if (state.query.every((x) => x === 0)) {
    return `The query is 0, so every score is 0 and every key counts alike: weight 1/${count}.`
      + (out && `${out}, the plain average.`);
  }
  if (m.weights.every((w) => Math.abs(w - 1 / count) < 0.005)) {
    return `All keys count alike: weight about 1/${count}.`
      + (out && `${out}, ${exact(m.weights, 1 / count)}the plain average of the values.`);
  }
  const weight = (i) => m.weights[i].toFixed(3);
  if (m.weights[first] > 0.995) {
    return `A hard lookup, as in a dictionary: ${names[first]} has weight ${weight(first)}.`
      + (out && `${out}, ${exact(m.weights.slice(first, first + 1), 1)}its value.`);
  }
  if (m.weights[first] - m.weights[second] < 0.0005) {
    const third = count > 2 && m.weights[second] - m.weights[order[2]] < 0.0005;
    if (!third) return `${names[first]} and ${names[second]} share: ${weight(first)} each.${end}`;
  }
  return `${names[first]} gets most: weight ${weight(first)}, then ${names[second]} with `
    + `${weight(second)}.${end}`;
}

const exact = (weights, goal) => (weights.every((w) => Math.abs(w - goal) < 5e-7) ? "" : "nearly ");

// The score of a key as geometry: its shadow on the query's line, times the query's length.
export function shadow(name, query, key) {
  const long = Math.hypot(...query);
  if (long === 0) return `The query has no direction, so every score is 0.`;
  const score = dot(query, key);
  return `${name}’s shadow on the query’s line is ${fixed(score / long, 3)}. `
    + `Times the query’s length, ${fixed(long, 3)}: score ${fixed(score, 3)}.`;
}
