// The model designer: sizes on controls; parameters, arithmetic and memory follow.
// Everything but `draw` is pure; the formulas are in costs.js.

import { count, exact, percent, round, short, size, three } from "./amounts.js";
import { crossover, flops, formula, memory, only, rows, total } from "./costs.js";
import { bar, costLine, dial, ladder, near, write } from "./dials.js";
import { copy, csv, h, listen, mailbox, readout, select, table, widget } from "./parts.js";

const SYNCED = ["config", "kind", "T", "batch", "precision", "target"];
const BYTES = { float32: 4, bfloat16: 2 };
const MOST = { vocab_size: 1 << 20, d_model: 16384, n_layers: 128, n_heads: 128, n_kv_heads: 128,
  d_ff: 65536, max_len: 1 << 17, T: 1 << 17, batch: 512 }; // as in designer.py
const CLOSE = 0.01;

export const divisors = (n) => Array.from({ length: n }, (_, i) => i + 1).filter((i) => n % i === 0);

// The values that a size may take now.
export function allowed(config, key) {
  const { d_model: D, positions, n_heads: H } = config;
  if (key === "n_heads") {
    return divisors(D).filter((n) => n <= MOST.n_heads
      && (positions !== "rotary" || (D / n) % 2 === 0));
  }
  if (key === "n_kv_heads") return divisors(H);
  if (key === "d_model") return ladder(8, MOST.d_model);
  return ladder(1, key === "T" ? config.max_len : MOST[key]);
}

// The view's state: the synced traits; `wish`, the heads asked for while D does not allow them
// (K null: as many as H); `wide`, whether F follows as 4·D; the `chosen` row.
export function begin(get) {
  const state = Object.fromEntries(SYNCED.map((name) => [name, get(name)]));
  return settle(taken({ ...state, chosen: "" }));
}

const taken = (state) => {
  const { n_heads: H, n_kv_heads: K, d_ff, d_model } = state.config;
  return { ...state, wish: { H, K: K === H ? null : K }, wide: d_ff === 4 * d_model };
};

// The nearest state that a ModelConfig takes: heads divide D, waves come in pairs.
export function settle(state) {
  const c = { ...state.config };
  if (["sinusoidal", "rotary"].includes(c.positions)) c.d_model += c.d_model % 2;
  if (state.wide) c.d_ff = Math.min(MOST.d_ff, 4 * c.d_model);
  const pick = (steps, x) => steps[near(steps, x)];
  c.n_heads = pick(allowed(c, "n_heads"), state.wish.H);
  c.n_kv_heads = pick(divisors(c.n_heads), state.wish.K ?? c.n_heads);
  if (c.pad_id !== null && c.pad_id >= c.vocab_size) c.pad_id = null;
  return { ...state, config: c, T: Math.min(state.T, c.max_len) };
}

export function reduce(state, event) {
  const { key, value } = event, { config } = state;
  switch (event.type) {
    case "size": {
      const x = Math.min(MOST[key], Math.max(1, Math.round(value)));
      if (key === "T" || key === "batch") return settle({ ...state, [key]: x });
      if (key === "n_heads") return settle({ ...state, wish: { ...state.wish, H: x } });
      if (key === "n_kv_heads") {
        return settle({ ...state, wish: { ...state.wish, K: x >= config.n_heads ? null : x } });
      }
      const T = key === "max_len" && state.T === config.max_len ? x : state.T;
      const wide = state.wide && key !== "d_ff";
      return settle({ ...state, T, wide, config: { ...config, [key]: x } });
    }
    case "choice":
      return settle({ ...state, config: { ...config, [key]: value } });
    case "wide":
      return settle({ ...state, wide: value });
    case "set":
      return settle(event.values.config ? taken({ ...state, ...event.values })
        : { ...state, ...event.values });
    case "preset": {
      const { config: c, kind } = event.preset;
      return settle(taken({ ...state, kind, config: { ...c }, T: c.max_len }));
    }
    case "row":
      return { ...state, chosen: state.chosen === key ? "" : key };
    default:
      return state;
  }
}

// How far from the target, in words; as `aim` in designer_still.py.
export function aimed(sum, target) {
  const deviation = sum / target - 1, off = Math.abs(deviation);
  if (!deviation) return `The target of ${round(target)} is met exactly.`;
  if (off >= 9) return `${three(deviation + 1)} times the target of ${round(target)}.`;
  if (sum * 10 < target) return `${three(target / sum)} times smaller than the target of ${round(target)}.`;
  const places = off >= 0.0995 ? 0 : off >= 0.00095 ? 1 : 2;
  const far = off < 5e-5 ? "Under 0.01 %" : `${(100 * off).toFixed(places)} %`;
  return `${far} ${deviation > 0 ? "over" : "under"} the target of ${round(target)}${
    off <= CLOSE ? ": within 1 %, reached." : "."}`;
}

// Where the marker stands between a tenth of the target (0) and ten times it (1).
export const gauge = (sum, target) =>
  Math.min(1, Math.max(0, (Math.log10(sum / target) + 1) / 2));

// The real models whose totals are nearest by ratio, nearest first.
export function nearest(presets, sum, many = 3) {
  return presets.map((preset) => ({ preset, total: total(formula(preset.config, preset.kind)) }))
    .map((one) => ({ ...one, far: Math.abs(Math.log(one.total / sum)) }))
    .sort((a, b) => a.far - b.far).slice(0, many)
    .map((one) => ({ ...one, words: compared(one.total, sum) }));
}

function compared(theirs, ours) {
  if (theirs === ours) return "the same";
  const more = theirs / ours;
  if (more >= 1.995 || more <= 0.5013) {
    return more > 1 ? `${three(more)} times yours` : `yours is ${three(1 / more)} times it`;
  }
  const change = Math.abs(more - 1);
  const text = change < 0.0005 ? "under 0.1 %" : percent(change);
  return `${text} ${more > 1 ? "larger" : "smaller"}`;
}

// All that is shown.
export function layout(state, presets) {
  const { config: c, kind, T, batch: B, target } = state, bytes = BYTES[state.precision];
  const list = rows(c, kind), sum = total(formula(c, kind));
  const work = flops(c, kind, T, B), all = total(work);
  const mixing = only(work, (name) => / (scores|mix)$/.test(name)), head = work["output head"] ?? 0;
  const train = memory(c, kind, { T, B, bytes, training: true });
  const run = memory(c, kind, { T, B, bytes });
  return {
    sum, rows: list.map((row) => ({ ...row, share: row.count / sum })),
    work: { all, mixing, crossover: crossover(c),
      pieces: [["matrix products in layers", "feed", all - mixing - head],
        ["scores and mix", "query", mixing], ["output head", "head", head]] },
    train: { all: total(train), pieces: [["weights", "tokens", train.weights],
      ["gradients", "loss", train.gradients], ["optimiser", "feed", train.optimiser],
      ["activations", "value", train.activations]] },
    run: { all: total(run), pieces: [["weights", "tokens", run.weights],
      ["keys and values", "key", run["key/value cache"] ?? 0]] },
    near: nearest(presets, sum), aim: target ? aimed(sum, target) : "",
    at: target ? gauge(sum, target) : 0, reached: !!target && Math.abs(sum / target - 1) <= CLOSE,
  };
}

// A row's sum with its numbers in place of the letters.
export function filled(letters, c) {
  const sizes = { V: c.vocab_size, D: c.d_model, L: c.n_layers, K: c.n_kv_heads, F: c.d_ff,
    d: c.d_model / c.n_heads, max_len: c.max_len };
  return letters.replace(/max_len|[A-Za-z]/g, (letter) => exact(sizes[letter]));
}

// The sentence below the rows.
export function sentence(shown, state) {
  const row = shown.rows.find(({ key }) => key === state.chosen);
  if (!row) {
    const most = shown.rows.reduce((best, one) => (one.count > best.count ? one : best));
    return `Most are in ${most.name}: ${percent(most.share)}. Choose a row to see its sum.`;
  }
  if (!row.count) return `${row.name}: ${row.note}.`;
  const many = row.pieces.length > 1 ? " From the left: query, key, value, output." : "";
  return `${row.name}: ${filled(row.letters, state.config)} = ${exact(row.count)}.${many}`;
}

// Every component by its name in `counting.formula`.
export function asTable(state) {
  const parts = formula(state.config, state.kind), sum = total(parts);
  const entries = [...Object.entries(parts), ["total", sum]];
  return { names: entries.map(([name]) => name), columns: ["parameters", "share"],
    values: entries.flatMap(([, n]) => [n, n / sum]) };
}

const SIZES = [["vocab_size", "V", "vocabulary"], ["d_model", "D", "model width"],
  ["n_layers", "L", "layers"], ["n_heads", "H", "heads"], ["n_kv_heads", "K", "key/value heads"],
  ["d_ff", "F", "feed-forward"], ["max_len", "", "max_len"]];
const CHOICES = {
  positions: [["sinusoidal", "sinusoidal"], ["learned", "learned"], ["rotary", "rotary"],
    ["alibi", "ALiBi"], ["none", "none"]],
  activation: [["relu", "ReLU"], ["gelu", "GELU"], ["gelu_tanh", "GELU (tanh)"],
    ["swiglu", "SwiGLU"]],
  norm_kind: [["layer", "LayerNorm"], ["rms", "RMSNorm"]],
  norm: [["pre", "before each part"], ["post", "after each sum"]],
};
const CALLED = { positions: "positions", activation: "activation", norm_kind: "norm",
  norm: "norm stands" };
const KINDS = [["decoder", "decoder"], ["encoder", "encoder"],
  ["encoder-decoder", "encoder-decoder"]];
const TARGETS = [1e6, 1e7, 1e8, 1e9, 7e9];

function draw(model, el) {
  const start = model.get("start"), { presets } = start;
  let state = begin((name) => model.get(name)), waiting = false, shown;

  function act(event) {
    state = reduce(state, event);
    tell(state);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const { tell, send } = mailbox(model, SYNCED);

  const wide = h("input", { type: "checkbox", onchange: () =>
    act({ type: "wide", value: wide.checked }) });
  const head = h("span", { class: "tl-quiet" });
  const beside = { n_heads: head, d_ff: h("label", { class: "tl-tick" }, wide, "4·D") };
  const dials = Object.fromEntries(SIZES.map(([key, letter, name]) =>
    [key, dial(key, letter, name, MOST[key], act, beside[key])]));
  const choices = Object.fromEntries(Object.entries(CHOICES).map(([key, options]) =>
    [key, select(CALLED[key], options, state.config[key],
      (value) => act({ type: "choice", key, value }))]));
  const ticks = Object.fromEntries([["tie_embeddings", "output tied to the token embedding"],
    ["bias", "biases"], ["pooler", "pooler (encoder)"],
    ["embedding_norm", "norm after the embedding"]].map(([key, name]) => {
    const box = h("input", { type: "checkbox", onchange: () =>
      act({ type: "choice", key, value: box.checked }) });
    return [key, Object.assign(h("label", { class: "tl-tick" }, box, name), { box })];
  }));
  const kind = select("model", KINDS, state.kind, (value) => act({ type: "set", values: { kind: value } }));
  const preset = select("Start from", [["", "own sizes"], ...presets.map(({ name }) => [name, name])], "",
    (name) => name && act({ type: "preset", preset: presets.find((one) => one.name === name) }));
  const aims = [...new Set([...TARGETS, ...(start.target ? [start.target] : [])])].sort((a, b) => a - b);
  const aim = select("Aim for", [["", "no target"], ...aims.map((n) => [String(n), round(n)])], "",
    (value) => act({ type: "set", values: { target: value ? Number(value) : null } }));
  const precision = select("each number", [["float32", "4 bytes (float32)"],
    ["bfloat16", "2 bytes (bfloat16)"]], state.precision,
  (value) => act({ type: "set", values: { precision: value } }));
  const T = dial("T", "T", "tokens in a text", MOST.T, act);
  const batch = dial("batch", "B", "texts at once", MOST.batch, act);
  const again = h("button", { type: "button", onclick: () => act({ type: "set",
    values: Object.fromEntries(SYNCED.map((name) => [name, start[name]])) }) }, "Start again");

  const sum = h("output", { class: "tl-sum" }), said = readout();
  const stack = bar("parameters", (key) => act({ type: "row", key }));
  const list = h("div", { class: "tl-rows", role: "group", "aria-label": "components" });
  const marker = h("i"), verdict = h("p", { role: "status" }), game = h("div", { class: "tl-game" },
    h("div", { class: "tl-gauge", "aria-hidden": "true" }, marker), h("div", { class: "tl-ends tl-quiet",
      "aria-hidden": "true" }, h("span", {}, "a tenth"), h("span", {}, "target"), h("span", {}, "ten times")),
    verdict);
  const neighbours = [0, 1, 2].map((i) => h("button", { type: "button", onclick: () =>
    act({ type: "preset", preset: shown.near[i].preset }) }, h("b"), h("span")));
  const costs = { work: costLine("forward pass"), train: costLine("memory to train"),
    run: costLine("memory to run") };

  const note = h("span", { class: "tl-quiet", role: "status" }), below = h("div");
  const tableButton = h("button", { type: "button", "aria-expanded": "false", onclick() {
    tableButton.setAttribute("aria-expanded", String(!below.childElementCount));
    if (below.childElementCount) below.replaceChildren(); else fill();
  } }, "Show as table");
  function fill() {
    const { names, columns, values } = asTable(state);
    below.replaceChildren(table("Parameters by component", names, columns, values,
      (x, _, j) => (j ? percent(x) : exact(x))));
  }
  const csvButton = h("button", { type: "button", async onclick() {
    const { names, columns, values } = asTable(state);
    note.textContent = await copy(csv(names, columns, values, (x) => String(Number(x.toPrecision(15)))))
      ? "Copied." : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");

  el.append(h("div", { class: "tl-designer" }, start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-row" }, preset, kind, aim, again),
    h("div", { class: "tl-drawing" },
      h("div", { class: "tl-sizes", role: "group", "aria-label": "sizes" },
        ...SIZES.map(([key]) => dials[key].element),
        h("div", { class: "tl-choices" }, ...Object.values(choices), ...Object.values(ticks))),
      h("div", { class: "tl-results" },
        h("p", { class: "tl-headline" }, sum, " parameters"), stack.element, list, said.element, game,
        h("p", { class: "tl-quiet" }, "Nearest real models by total; a button loads one."),
        h("div", { class: "tl-row" }, ...neighbours))),
    h("div", { class: "tl-costs" },
      h("div", { class: "tl-sizes" }, T.element, batch.element, precision),
      h("div", {}, costs.work.element, costs.train.element, costs.run.element)),
    h("div", { class: "tl-row" }, tableButton, csvButton, note), below));

  function drawRows() {
    while (list.children.length < shown.rows.length) {
      const cells = Array.from({ length: 4 }, () => h("span"));
      list.append(h("button", { type: "button", onclick: (event) =>
        act({ type: "row", key: event.currentTarget.dataset.key }) },
      h("i", { class: "tl-swatch", "aria-hidden": "true" }), ...cells));
    }
    while (list.children.length > shown.rows.length) list.lastChild.remove();
    shown.rows.forEach((row, i) => {
      const button = list.children[i], [mark, name, letters, n, share] = button.children;
      button.dataset.key = row.key;
      button.className = row.count ? "" : "tl-none";
      button.setAttribute("aria-pressed", String(row.key === state.chosen));
      mark.className = `tl-swatch tl-swatch-${row.key} tl-piece-${row.pieces.at(-1).role}`;
      write(name, row.name);
      write(letters, row.note || row.letters);
      write(n, exact(row.count));
      write(share, percent(row.share));
    });
  }

  function show() {
    waiting = false;
    shown = layout(state, presets);
    const { config: c } = state;
    for (const [key] of SIZES) dials[key].update(c[key], allowed(c, key));
    T.update(state.T, allowed(c, "T"));
    batch.update(state.batch, allowed(c, "batch"));
    wide.checked = state.wide;
    write(head, `d = ${c.d_model / c.n_heads}`);
    for (const key of Object.keys(CHOICES)) choices[key].list.value = c[key];
    for (const key of Object.keys(ticks)) ticks[key].box.checked = c[key];
    ticks.tie_embeddings.hidden = state.kind === "encoder";
    ticks.pooler.hidden = state.kind !== "encoder";
    kind.list.value = state.kind;
    precision.list.value = state.precision;
    aim.list.value = state.target ? String(state.target) : "";
    const same = presets.find((one) => one.kind === state.kind
      && Object.entries(one.config).every(([key, value]) => value === c[key]));
    preset.list.value = same?.name ?? "";
    write(sum, exact(shown.sum));
    const pieces = shown.rows.flatMap((row) => row.pieces.map(({ role, count: n }) =>
      [row.name === role || row.pieces.length === 1 ? row.name : `${row.name}: ${role}`, role, n, row.key]));
    stack.update(pieces.filter(([, , n]) => n), shown.sum,
      shown.rows.map((row) => `${row.name} ${percent(row.share)}`).join(", "), state.chosen);
    drawRows();
    game.hidden = !state.target;
    marker.style.left = `${100 * shown.at}%`;
    game.classList.toggle("tl-reached", shown.reached);
    write(verdict, shown.aim);
    neighbours.forEach((button, i) => {
      const { preset: one, total: n, words } = shown.near[i];
      write(button.firstChild, one.name);
      write(button.lastChild, ` ${count(n)} · ${words}`);
    });
    const memoryAll = Math.max(shown.train.all, shown.run.all);
    costs.work.update(shown.work, shown.work.all, (x) => `${short(x)}FLOP`,
      `Scores and mix are ${percent(shown.work.mixing / shown.work.all)}; they cost what the rest of `
      + `a layer costs at T = ${exact(Math.round(shown.work.crossover))}.`
      + (state.kind === "encoder-decoder" ? " Source and target are T long each." : ""));
    costs.train.update(shown.train, memoryAll, size,
      "Activations: what this course’s own layers keep for the backward pass, to about 1 %.");
    costs.run.update(shown.run, memoryAll, size, state.kind === "encoder" ? "An encoder keeps no cache." : "");
    said.say(sentence(shown, state));
    if (below.childElementCount) fill();
  }
  const stop = listen(model, Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
    if (JSON.stringify(model.get(name)) === JSON.stringify(state[name])) return;
    act({ type: "set", values: { [name]: model.get(name) } });
  }])));
  show();
  return () => { stop(); send(); };
}

export default widget(draw);
