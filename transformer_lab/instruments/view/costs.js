// What a model costs, from its sizes alone: parameters, arithmetic and memory by component, as
// `counting.py` has them and under the same names. `config` has ModelConfig's names; all is pure.

export const total = (parts) => Object.values(parts).reduce((sum, n) => sum + n, 0);

export const only = (parts, test) => Object.entries(parts)
  .reduce((sum, [name, n]) => sum + (test(name) ? n : 0), 0);

const put = (parts, name, n) => { if (n) parts[name] = (parts[name] ?? 0) + n; };

const shared = (c) => (c.n_kv_heads * c.d_model) / c.n_heads; // K · d

const normSize = (c) => (c.norm_kind === "layer" && c.bias ? 2 : 1) * c.d_model;

// The parameters of one layer.
export function layerFormula(c, cross = false) {
  const D = c.d_model, F = c.d_ff, parts = {}, ups = c.activation === "swiglu" ? 2 : 1;
  for (const block of cross ? ["attention", "cross-attention"] : ["attention"]) {
    for (const [name, width] of [["query", D], ["key", shared(c)], ["value", shared(c)],
      ["output", D]]) {
      put(parts, `${block} ${name} weight`, D * width);
      put(parts, `${block} ${name} bias`, c.bias ? width : 0);
    }
    put(parts, `${block} norm`, normSize(c));
  }
  put(parts, "feed-forward weight", ups * D * F + F * D);
  put(parts, "feed-forward bias", c.bias ? ups * F + D : 0);
  put(parts, "feed-forward norm", normSize(c));
  return parts;
}

export function formula(c, kind) {
  const { vocab_size: V, d_model: D } = c, parts = {};
  put(parts, "token embedding", V * D);
  put(parts, "position embedding", c.positions === "learned" ? c.max_len * D : 0);
  put(parts, "segment embedding", c.n_segments * D);
  put(parts, "embedding norm", c.embedding_norm ? normSize(c) : 0);
  for (const cross of kind === "encoder-decoder" ? [false, true] : [false]) {
    for (const [name, n] of Object.entries(layerFormula(c, cross))) put(parts, name, c.n_layers * n);
    put(parts, "final norm", c.norm === "pre" ? normSize(c) : 0);
  }
  if (kind === "encoder") put(parts, "pooler", c.pooler ? D * D + D : 0);
  else put(parts, "output head", c.tie_embeddings ? 0 : V * D);
  return parts;
}

// One forward pass over B texts of T tokens; an encoder-decoder's source is T long as well.
export function flops(c, kind, T, B = 1) {
  const parts = {}, stacks = kind === "encoder-decoder" ? [false, true] : [false];
  for (const cross of stacks) {
    for (const [name, n] of Object.entries(layerFormula(c, cross))) {
      if (name.endsWith(" weight")) put(parts, name.slice(0, -7), 2 * n * T * c.n_layers * B);
    }
    for (const block of cross ? ["attention", "cross-attention"] : ["attention"]) {
      for (const step of ["scores", "mix"]) {
        put(parts, `${block} ${step}`, 2 * T * T * c.d_model * c.n_layers * B);
      }
    }
  }
  if (kind !== "encoder") put(parts, "output head", 2 * T * c.vocab_size * c.d_model * B);
  return parts;
}

// The T at which scores and mix cost what the rest of a layer costs.
export function crossover(c) {
  return only(layerFormula(c), (name) => name.endsWith(" weight")) / (2 * c.d_model);
}

// Bytes for B texts of T tokens, every number in `bytes` bytes.
export function memory(c, kind, { T, B = 1, bytes = 4, training = false }) {
  const weights = total(formula(c, kind)), parts = { weights };
  if (training) {
    parts.gradients = weights;
    parts.optimiser = 2 * weights;
    parts.activations = B * activations(c, kind, T);
  } else if (kind !== "encoder") {
    const positions = kind === "encoder-decoder" ? 2 * T : T;
    parts["key/value cache"] = B * positions * c.n_layers * 2 * shared(c);
  }
  return Object.fromEntries(Object.entries(parts).map(([name, n]) => [name, n * bytes]));
}

function activations(c, kind, T) {
  const D = c.d_model, L = c.n_layers;
  const norm = c.norm_kind === "rms" ? 2 * D : D, mixed = c.positions === "rotary" ? 2 * D : D;
  const bends = ({ relu: 1, swiglu: 4 }[c.activation] ?? 2) * c.d_ff;
  const ends = norm * ((c.embedding_norm ? 1 : 0) + (c.norm === "pre" ? 1 : 0));
  const stack = L * (norm + 4 * D + mixed + norm + D + bends) + ends;
  if (kind === "encoder") return T * stack;
  const kept = T * (stack + D + c.vocab_size);
  return kind !== "encoder-decoder" ? kept
    : kept + T * (stack + D) + L * (T * (norm + 3 * D) + T * 2 * D);
}

// The components in a few rows: `letters` is the sum in the letters of the course, `note` a
// reason for a 0, `pieces` what a bar draws.
export function rows(c, kind) {
  const parts = formula(c, kind), twice = kind === "encoder-decoder";
  const sum = (test) => only(parts, (name) => test.test(name));
  const L = twice ? "2·L" : "L", whole = c.n_kv_heads === c.n_heads;
  const width = normSize(c) === c.d_model ? "D" : "2·D";
  const norms = [`${twice ? 5 : 2}·L`, ...(c.norm === "pre" ? [twice ? "2" : "1"] : []),
    ...(c.embedding_norm ? ["1"] : [])];
  const ups = c.activation === "swiglu" ? 2 : 1;
  const maps = whole ? `4·D·D${c.bias ? " + 4·D" : ""}`
    : `2·D·D + 2·D·K·d${c.bias ? " + 2·D + 2·K·d" : ""}`;
  const bends = `${ups + 1}·D·F${c.bias ? ` + ${ups === 2 ? "2·F" : "F"} + D` : ""}`;
  const mixers = (block) => ["query", "key", "value", "output"]
    .map((role) => ({ role, count: sum(new RegExp(`^${block} ${role} `)) }));
  const row = (key, name, letters, test, more = {}) => {
    const count = sum(test);
    return { key, name, letters, count, note: "", pieces: [{ role: key, count }], ...more };
  };
  const found = [
    row("tokens", "token embedding", "V·D", /^token embedding$/),
    row("positions", "position embedding", "max_len·D", /^position embedding$/,
      { note: c.positions === "learned" ? "" : POSITIONS[c.positions] }),
    row("attention", twice ? "self-attention" : "attention", `${L}·(${maps})`,
      /^attention (query|key|value|output)/, { pieces: mixers("attention") }),
  ];
  if (twice) {
    found.push(row("cross", "cross-attention", `L·(${maps})`,
      /^cross-attention (query|key|value|output)/, { pieces: mixers("cross-attention") }));
  }
  found.push(row("feed", "feed-forward", `${L}·(${bends})`, /^feed-forward (weight|bias)$/),
    row("norms", "norms", `${norms.length > 1 ? `(${norms.join(" + ")})` : norms[0]}·${width}`, / norm$/));
  if (c.n_segments) found.push(row("segments", "segment embedding", `${c.n_segments}·D`, /^segment/));
  if (kind === "encoder") {
    if (c.pooler) found.push(row("pooler", "pooler", "D·D + D", /^pooler$/));
  } else {
    found.push(row("head", "output head", "V·D", /^output head$/,
      { note: c.tie_embeddings ? "tied: the token embedding again" : "" }));
  }
  return found;
}

const POSITIONS = { sinusoidal: "fixed waves: nothing to learn", none: "no positions",
  rotary: "a rotation: nothing to learn", alibi: "fixed slopes: nothing to learn" };
