// What follows from a mask: weights, reach over layers, leak. Pure, and the same as flow.py.
// A mask is rows of booleans: mask[t][s] is true when t may look at s. A part is "mask" (one mask
// alone), "encoder", "decoder" or "cross".

export const LARGEST = 12; // positions

// name -> [label, the sizes it needs: "", "square" (T = S) or "wide" (T <= S), its own size]
export const RULES = {
  causal: ["causal", "wide"], window: ["sliding window", "square", "width"],
  prefix: ["prefix", "square", "prefix"], block: ["block", "square", "block"],
  all: ["all", ""], none: ["none", ""],
};

// Whether a rule makes sense for this many that look and are looked at.
export function fits(rule, T, S, part) {
  const needs = RULES[rule]?.[1] ?? "";
  if (!needs) return true;
  return part !== "cross" && (needs === "wide" ? T <= S : T === S);
}

const grid = (T, S, at) => Array.from({ length: T }, (_, t) =>
  Array.from({ length: S }, (_, s) => at(t, s)));

export function preset(rule, T, S, size) {
  const rules = {
    causal: (t, s) => s <= t + S - T,
    window: (t, s) => s <= t && s > t - size,
    prefix: (t, s) => s <= t || s < Math.min(size, T),
    block: (t, s) => Math.floor(t / size) === Math.floor(s / size),
    none: () => false,
  };
  return grid(T, S, rules[rule] ?? (() => true));
}

// Keys from `length` on are padding.
export function hide(mask, length) {
  return mask.map((row) => row.map((may, s) => may && s < length));
}

// Softmax of the allowed scores of each row; zeros where nothing is allowed.
export function weigh(mask, scores) {
  return mask.map((row, t) => {
    const most = Math.max(...scores[t].filter((_, s) => row[s]));
    const powers = row.map((may, s) => (may ? Math.exp(scores[t][s] - most) : 0));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => (sum ? power / sum : 0));
  });
}

const kept = (mask) => {
  const T = mask.length, S = mask[0].length;
  return T > S ? mask : mask.map((row, t) => row.map((may, s) => may || s === t + S - T));
};
const through = (a, b) => a.map((row) =>
  b[0].map((_, s) => row.some((may, k) => may && b[k][s])));
const either = (a, b) => a.map((row, t) => row.map((x, s) => x || b[t][s]));

// Whether input s can change output t after so many layers, each with its skip path.
export function reach(masks, part, layers) {
  if (part === "cross") {
    const memory = reach(masks, "encoder", layers), decoder = kept(masks.decoder);
    const read = through(masks.cross, memory);
    let found = grid(masks.cross.length, masks.cross[0].length, () => false);
    for (let i = 0; i < layers; i++) found = either(through(decoder, found), read);
    return found;
  }
  const once = kept(masks[part]);
  let found = once;
  for (let i = 1; i < layers && once.length === once[0].length; i++) found = through(once, found);
  return found;
}

// The number of layers from which input s can change output t; 0 where so many do not do.
export function first(masks, part, layers) {
  const found = masks[part].map((row) => row.map(() => 0));
  for (let count = layers; count > 0; count--) {
    reach(masks, part, count).forEach((row, t) => row.forEach((may, s) => {
      if (may) found[t][s] = count;
    }));
  }
  return found;
}

// Whether s lies after t, for the T that are the last of S positions.
export function later(mask, part) {
  const T = mask.length, S = mask[0].length;
  const ordered = part !== "encoder" && part !== "cross" && T <= S;
  return (t, s) => ordered && s > t + S - T;
}

// [t, s] of each cell that lets the future in, row by row.
export function leaks(mask, part) {
  const ahead = later(mask, part);
  return mask.flatMap((row, t) => row.flatMap((may, s) => (may && ahead(t, s) ? [[t, s]] : [])));
}
