// Positions as arithmetic: waves, distances, rotations, slopes, and the sentences that quote them.
// All of it pure, and the same as transformer_lab/positions.py.

import { brief, dot, fixed } from "./mix.js";
import { names } from "./tokens.js";

export const SCHEMES = ["none", "sinusoidal", "rotary", "ALiBi"];
const SAME = 0.0005; // two scores that read alike with three places

// How far pair i turns from one position to the next, in radians.
export const turn = (i, width, base) => base ** ((-2 * i) / width);

// Row `m` of the table: sine and cosine in turn, or the sines alone.
export function waveRow(m, width, base, cosine = true) {
  const row = [];
  for (let i = 0; i < width / 2; i++) {
    const angle = m * turn(i, width, base);
    row.push(Math.sin(angle));
    if (cosine) row.push(Math.cos(angle));
  }
  return row;
}

export function waveTable(length, width, base, cosine = true) {
  return Array.from({ length }, (_, m) => waveRow(m, width, base, cosine));
}

// PE(m)·PE(n) for the pinned m and every n; for some other m, to compare with; and the least and
// the largest product of any two positions as far apart as m and n are.
export function likeness({ position, other, width, base, cosine }, length) {
  const rows = waveTable(length, width, base, cosine);
  const curve = (m) => rows.map((row, n) => ({ m, n, value: dot(rows[m], row) }));
  const others = [...new Set([0, 1, 2, 3, 4].map((i) => Math.round((i * (length - 1)) / 4)))];
  const apart = Math.abs(position - other);
  const alike = rows.slice(apart).map((row, i) => dot(row, rows[i]));
  return { curve: curve(position), others: others.filter((m) => m !== position).map(curve),
    here: dot(rows[position], rows[other]), apart, pairs: alike.length,
    least: Math.min(...alike), most: Math.max(...alike) };
}

// x at a position: number i is turned together with number i + d/2.
export function turned(x, position, base) {
  const half = x.length / 2, out = new Array(x.length);
  for (let i = 0; i < half; i++) {
    const angle = position * turn(i, x.length, base), [c, s] = [Math.cos(angle), Math.sin(angle)];
    out[i] = x[i] * c - x[i + half] * s;
    out[i + half] = x[i + half] * c + x[i] * s;
  }
  return out;
}

// Each pair of numbers as two hands, what it adds to the score, and the score.
export function clocks({ q, k }, { position, other, base }) {
  const half = q.length / 2, [a, b] = [turned(q, position, base), turned(k, other, base)];
  const pairs = Array.from({ length: half }, (_, i) => ({
    query: [a[i], a[i + half]], key: [b[i], b[i + half]],
    share: a[i] * b[i] + a[i + half] * b[i + half],
    period: (2 * Math.PI) / turn(i, q.length, base),
  }));
  return { pairs, score: dot(a, b) };
}

// What each head subtracts per step of distance.
export function slopes(heads) {
  const whole = 2 ** Math.floor(Math.log2(heads));
  return [...Array.from({ length: whole }, (_, h) => 2 ** ((-8 * (h + 1)) / whole)),
    ...Array.from({ length: heads - whole }, (_, h) => 2 ** ((-4 * (2 * h + 1)) / whole))];
}

// The score of the chosen query and key under each scheme, when the words stand in this order.
export function wordScores({ vectors }, { query, key, base, heads, head }, order) {
  const [x, y] = [vectors[query], vectors[key]], d = x.length;
  const [m, n] = [order.indexOf(query), order.indexOf(key)];
  const plus = (v, at) => v.map((a, i) => a + waveRow(at, d, base)[i]);
  const plain = dot(x, y) / Math.sqrt(d);
  return [plain, dot(plus(x, m), plus(y, n)) / Math.sqrt(d),
    dot(turned(x, m, base), turned(y, n, base)) / Math.sqrt(d),
    plain - slopes(heads)[head] * Math.abs(m - n)];
}

// Token `id` taken out and put back at place `to`; the others close up.
export function placed(order, id, to) {
  const rest = order.filter((other) => other !== id);
  const at = Math.min(rest.length, Math.max(0, to));
  return [...rest.slice(0, at), id, ...rest.slice(at)];
}

// 9999.6 -> "10,000", 62.83 -> "62.8".
export function amount(x) {
  if (x >= 1e6) return `${brief(x / 1e6)} million`;
  return x >= 99.95 ? String(Math.round(x)).replace(/\B(?=(\d{3})+$)/g, ",") : x.toFixed(1);
}
export const whole = (x) => (x < 1000 || !Number.isInteger(x) ? brief(x) : amount(x));

const beforeOrAfter = (m, n) => (m === n ? "at the same place"
  : `${Math.abs(m - n)} ${n < m ? "before" : "after"} it`);

const along = (by) => `${Math.abs(by)} ${by < 0 ? "back" : "on"}`;

const SENTENCES = {
  waves({ position, column, width, base }) {
    const i = Math.floor(column / 2), value = waveRow(position, width, base)[column];
    return `Position ${position}, column ${column}: ${column % 2 ? "cos" : "sin"}(${position} ÷ `
      + `${whole(base)}^(${2 * i}/${width})) = ${fixed(value, 3)}. `
      + `This wave repeats every ${amount((2 * Math.PI) / turn(i, width, base))} positions.`;
  },
  distance(state, { length }) {
    const { position: m, other: n, cosine } = state, found = likeness(state, length);
    const here = `PE(${m}) · PE(${n}) = ${fixed(found.here, 3)}`;
    const every = `Any two positions ${found.apart} apart give`;
    if (found.pairs === 1) return `${here}. No other two positions are ${found.apart} apart.`;
    if (cosine) return `${here}. ${every} ${fixed(found.here, 3)}: only the distance counts.`;
    return `Sines alone: ${here}. ${every} between ${fixed(found.least, 3)} and `
      + `${fixed(found.most, 3)}: where they stand counts too.`;
  },
  hands(state, content) {
    const { position: m, other: n, moved } = state;
    const say = (x) => fixed(x, 3), score = clocks(content, state).score;
    if (!moved) {
      return `The query is at ${m}; the key is ${n === m ? "there too" : `at ${n}, `
        + beforeOrAfter(m, n)}. Score ${say(score)}.`;
    }
    const was = clocks(content, { ...state, position: moved.position, other: moved.other }).score;
    const stays = Math.abs(score - was) < SAME;
    if (moved.position === m && moved.other === n) return `Back where it was: score ${say(score)}.`;
    if (moved.what === "both") {
      return `Both moved ${along(m - moved.position)} and are still ${Math.abs(m - n)} apart: `
        + `the score stays ${say(score)}.`;
    }
    const [who, from, to] = moved.what === "query" ? ["query", moved.position, m]
      : ["key", moved.other, n];
    return `Only the ${who} moved, from ${from} to ${to}: the score `
      + `${stays ? `is again ${say(score)}` : `goes from ${say(was)} to ${say(score)}`}.`;
  },
  slopes({ heads, head, position, other }) {
    const slope = slopes(heads)[head], apart = Math.abs(position - other), bias = -slope * apart;
    const factor = Math.exp(bias);
    return `Head ${head} subtracts ${brief(slope)} a step: its bias at distance ${apart} is `
      + `${fixed(bias, 3)}. Before the weights are divided by their sum, that multiplies this one by `
      + `e^${fixed(bias, 3)}${factor < 0.0005 ? ", less than 0.001" : ` = ${fixed(factor, 3)}`}.`;
  },
  move(state, content) {
    const { order, query, key } = state, labels = names(content.tokens);
    const [a, b] = [order.indexOf(query), order.indexOf(key)];
    const first = content.tokens.map((_, i) => i);
    const [before, now] = [first, order].map((o) => wordScores(content, state, o));
    const words = `${labels[query]} at ${a}, ${labels[key]} ${
      query === key ? "is the same word" : beforeOrAfter(a, b)}.`;
    if (order.every((id, i) => id === i)) return `${words} Move a word and watch the four scores.`;
    const differs = SCHEMES.filter((_, i) => Math.abs(now[i] - before[i]) >= SAME);
    const shift = a - query, apart = Math.abs(a - b), was = Math.abs(query - key);
    const way = a === query && b === key ? "Neither of the two moved"
      : shift === b - key ? `Both moved ${along(shift)}, still ${apart} apart`
        : apart === was ? `Still ${apart} apart, but the other way round`
          : `${apart} apart instead of ${was}`;
    if (!differs.length) return `${words} ${way}: no score changes.`;
    if (differs.length === 1) {
      const i = SCHEMES.indexOf(differs[0]);
      return `${words} ${way}: only the ${differs[0]} score changes, from ${fixed(before[i], 3)} `
        + `to ${fixed(now[i], 3)}.`;
    }
    return `${words} ${way}: ${differs.slice(0, -1).join(", ")} and ${differs.at(-1)} change; `
      + `without positions it stays ${fixed(now[0], 3)}.`;
  },
};

// What is to be seen on the open tab, in a sentence or two with its number.
export const told = (state, content) => SENTENCES[state.tab](state, content);

// The open tab as a table: {rows, columns, values} with every number in full.
export function asTable(state, content) {
  const { tab, position: m, other: n, width, base, heads } = state, { length } = content;
  const count = (size, word) => Array.from({ length: size }, (_, i) => `${word}${i}`);
  if (tab === "waves") {
    return { title: `position ${m}`, rows: count(width / 2, "pair "),
      columns: ["sine", "cosine", "repeats every"],
      values: count(width / 2, "").flatMap((_, i) => [...waveRow(m, width, base).slice(2 * i, 2 * i + 2),
        (2 * Math.PI) / turn(i, width, base)]) };
  }
  if (tab === "distance") {
    return { title: `PE(${m}) · PE(n)`, rows: count(length, "n = "), columns: ["n − m", "product"],
      values: likeness(state, length).curve.flatMap(({ n: at, value }) => [at - m, value]) };
  }
  if (tab === "hands") {
    const { pairs, score } = clocks(content, state);
    return { title: `query at ${m}, key at ${n}`, rows: [...pairs.map((_, i) => `pair ${i}`), "sum"],
      columns: ["query x", "query y", "key x", "key y", "adds"],
      values: [...pairs.flatMap(({ query, key, share }) => [...query, ...key, share]),
        "", "", "", "", score] };
  }
  if (tab === "slopes") {
    const apart = Math.abs(m - n);
    return { title: `bias at distance ${apart}`, rows: count(heads, "head "), columns: ["slope", "bias"],
      values: slopes(heads).flatMap((slope) => [slope, -slope * apart]) };
  }
  const first = content.tokens.map((_, i) => i);
  const [before, now] = [first, state.order].map((order) => wordScores(content, state, order));
  return { title: "score of query and key", rows: SCHEMES, columns: ["at first", "now", "change"],
    values: SCHEMES.flatMap((_, i) => [before[i], now[i], now[i] - before[i]]) };
}
