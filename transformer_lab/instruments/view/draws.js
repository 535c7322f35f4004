// The temperature dial's numbers: seeded queries and keys, and what softmax makes of their scores.
// The same as dial_numbers.py, number for number. All of it pure.

export const ROWS = 256, KEYS = 256, WIDEST = 1024;
export const WIDTHS = [4, 8, 16, 32, 64, 128, 256, 512, 1024];
export const SIZES = [2, 4, 8, 16, 32, 64, 128, 256];
export const EXPONENTS = [0, 0.5, 1];
const SATURATED = 0.99;

// One step of mulberry32 for this counter: 32 bits that look random.
export function mixedBits(counter, seed) {
  let t = (seed + Math.imul(counter + 1, 0x6d2b79f5)) | 0;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}

// A standard normal number (Box and Muller 1958).
export function normal(index, seed) {
  const u = (mixedBits(2 * index, seed) + 0.5) / 2 ** 32, v = mixedBits(2 * index + 1, seed) / 2 ** 32;
  return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
}

// q·k of all queries and keys for every width: {4: Float64Array(256 * 256), 8: …}. A wider head
// adds terms to the sums of a narrower one.
export function scoreTables(seed) {
  const numbers = new Float64Array((ROWS + KEYS) * WIDEST);
  for (let i = 0; i < numbers.length; i++) numbers[i] = normal(i, seed);
  const tables = Object.fromEntries(WIDTHS.map((d) => [d, new Float64Array(ROWS * KEYS)]));
  for (let row = 0; row < ROWS; row++) {
    for (let s = 0; s < KEYS; s++) {
      const q = row * WIDEST, k = (ROWS + s) * WIDEST;
      let sum = 0, j = 0;
      for (const d of WIDTHS) {
        for (; j < d; j++) sum += numbers[q + j] * numbers[k + j];
        tables[d][row * KEYS + s] = sum;
      }
    }
  }
  return tables;
}

export const factor = ({ d, temperature }, exponent) => d ** -exponent / temperature;

// Of all rows: the scores' standard deviation, the mean entropy in nats, the share of rows with a
// weight above .99, and the mean Frobenius norm of the softmax's Jacobian, diag(p) − p pᵀ.
export function measured(table, S, by) {
  let sum = 0, squares = 0, entropy = 0, saturated = 0, gradient = 0;
  for (let row = 0; row < ROWS; row++) {
    const from = row * KEYS;
    let most = -Infinity;
    for (let s = 0; s < S; s++) {
      const x = table[from + s] * by;
      sum += x;
      squares += x * x;
      if (x > most) most = x;
    }
    let total = 0, two = 0, three = 0, mean = 0;
    for (let s = 0; s < S; s++) {
      const low = table[from + s] * by - most, e = Math.exp(low);
      total += e;
      two += e * e;
      three += e * e * e;
      mean += e * low;
    }
    two /= total ** 2;
    three /= total ** 3;
    entropy += Math.log(total) - mean / total;
    if (1 / total > SATURATED) saturated += 1;
    gradient += Math.sqrt(Math.max(0, two - 2 * three + two * two));
  }
  const count = ROWS * S, average = sum / count;
  return { spread: Math.sqrt(Math.max(0, squares / count - average ** 2)), entropy: entropy / ROWS,
    saturated: saturated / ROWS, gradient: gradient / ROWS };
}

// How many scores lie in each of `bins` equal parts of [-reach, reach].
export function histogram(table, S, by, reach, bins) {
  const counts = new Array(bins).fill(0);
  for (let row = 0; row < ROWS; row++) {
    for (let s = 0; s < S; s++) {
      const part = ((table[row * KEYS + s] * by + reach) / (2 * reach)) * bins;
      counts[Math.min(bins - 1, Math.max(0, Math.floor(part)))] += 1;
    }
  }
  return counts;
}

// A round number at least as large as the largest score.
export function widest(table, S, by) {
  let most = 0;
  for (let row = 0; row < ROWS; row++) {
    for (let s = 0; s < S; s++) most = Math.max(most, Math.abs(table[row * KEYS + s] * by));
  }
  const ten = 10 ** Math.floor(Math.log10(most));
  return ten * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((x) => x * ten >= most);
}

// The gradient without a scale, as a multiple of that with it.
export const STORIES = {
  larger: { sign: "+", words: "larger", verdict: "The usual story is false here: the mean gradient is "
    + "larger without the scale." },
  equal: { sign: "=", words: "about equal", verdict: "The usual story is false here: the mean gradient is "
    + "about equal with and without the scale." },
  smaller: { sign: "−", words: "smaller", verdict: "The mean gradient is smaller without the scale, but "
    + "far from gone." },
  vanishing: { sign: "−−", words: "less than a third", verdict: "The usual story holds here: without the "
    + "scale most of the mean gradient is gone." },
};

export function story(ratio) {
  return ratio > 1.1 ? "larger" : ratio > 0.9 ? "equal" : ratio > 1 / 3 ? "smaller" : "vanishing";
}
