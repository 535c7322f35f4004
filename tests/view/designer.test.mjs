import assert from "node:assert/strict";
import test from "node:test";
import { count, exact, percent, round, short, size, three }
  from "../../transformer_lab/instruments/view/amounts.js";
import { crossover, flops, formula, layerFormula, memory, rows, total }
  from "../../transformer_lab/instruments/view/costs.js";
import { aimed, allowed, asTable, begin, divisors, filled, gauge, layout, nearest, reduce, sentence }
  from "../../transformer_lab/instruments/view/designer.js";
import { ladder, near } from "../../transformer_lab/instruments/view/dials.js";

const GPT2 = { vocab_size: 50257, d_model: 768, n_heads: 12, n_layers: 12, d_ff: 3072,
  max_len: 1024, n_kv_heads: 12, norm: "pre", norm_kind: "layer", activation: "gelu_tanh",
  positions: "learned", dropout: 0.1, bias: true, tie_embeddings: true, pad_id: null,
  norm_eps: 1e-5, scale_embeddings: false, n_segments: 0, embedding_norm: false, pooler: false,
  rotary_base: 10000 };
const PRESETS = [{ name: "gpt2", kind: "decoder", config: GPT2 },
  { name: "half", kind: "decoder", config: { ...GPT2, n_layers: 6 } },
  { name: "wide", kind: "encoder", config: { ...GPT2, d_model: 1536, d_ff: 6144 } }];
const START = { config: GPT2, kind: "decoder", T: 1024, batch: 1, precision: "float32",
  target: null };
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const after = (...events) => events.reduce(reduce, from());
const put = (key, value) => ({ type: "size", key, value });

test("GPT-2 has the numbers that everybody knows", () => {
  assert.equal(total(formula(GPT2, "decoder")), 124439808);
  assert.equal(total(flops(GPT2, "decoder", 1024)), 291648307200);
  assert.equal(crossover(GPT2), 4608);
  const { "key/value cache": cache } = memory(GPT2, "decoder", { T: 1024 });
  assert.equal(cache, 72 * 2 ** 20);
});

test("a decoder layer is larger than an encoder layer by its cross-attention and a norm", () => {
  const paper = { ...GPT2, d_model: 512, d_ff: 2048, n_heads: 8, n_kv_heads: 8 };
  assert.equal(total(layerFormula(paper)), 3152384);
  assert.equal(total(layerFormula(paper, true)), 4204032);
});

test("the steps of a slider rise by whole numbers, eight to an octave", () => {
  assert.deepEqual(ladder(1, 20), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20]);
  assert.equal(ladder(8, 1000).at(-1), 1000);
  assert.ok(ladder(8, 16384).includes(768));
  assert.deepEqual(ladder(1, 1), [1]);
  assert.equal(near([1, 10, 100], 40), 2);
  assert.equal(near([1, 10, 100], 30), 1);
});

test("heads always divide the width, and come back when the width does", () => {
  const odd = after(put("d_model", 770));
  assert.equal(odd.config.d_model % odd.config.n_heads, 0);
  assert.equal(reduce(odd, put("d_model", 768)).config.n_heads, 12);
  assert.deepEqual(divisors(12), [1, 2, 3, 4, 6, 12]);
});

test("key and value heads follow the heads until they are set", () => {
  assert.equal(after(put("n_heads", 6)).config.n_kv_heads, 6);
  const grouped = after(put("n_kv_heads", 4), put("n_heads", 6));
  assert.equal(grouped.config.n_kv_heads, 3);
  assert.equal(after(put("n_kv_heads", 4), put("n_kv_heads", 12), put("n_heads", 24))
    .config.n_kv_heads, 24);
});

test("F is four times D until it is set, and again when asked", () => {
  assert.equal(after(put("d_model", 1024)).config.d_ff, 4096);
  const own = after(put("d_ff", 1000), put("d_model", 1024));
  assert.equal(own.config.d_ff, 1000);
  assert.equal(reduce(own, { type: "wide", value: true }).config.d_ff, 4096);
});

test("rotary positions need an even head, waves an even width", () => {
  const choice = (value) => ({ type: "choice", key: "positions", value });
  const rotary = after(put("d_model", 6), choice("rotary"), put("n_heads", 6));
  assert.equal((rotary.config.d_model / rotary.config.n_heads) % 2, 0);
  assert.deepEqual(allowed(rotary.config, "n_heads"), [1, 3]);
  assert.equal(after(choice("sinusoidal"), put("d_model", 65)).config.d_model, 66);
});

test("a text is never longer than max_len, and stays the longest if it was", () => {
  assert.equal(after(put("max_len", 300)).T, 300);
  assert.equal(after(put("max_len", 2048)).T, 2048);
  assert.equal(after(put("T", 10), put("max_len", 2048)).T, 10);
  assert.equal(after(put("T", 99999)).T, 1024);
});

test("what is out of range is cut to the range", () => {
  assert.equal(after(put("n_layers", 9999)).config.n_layers, 128);
  assert.equal(after(put("vocab_size", -3)).config.vocab_size, 1);
  assert.equal(after(put("batch", 2.6)).batch, 3);
  assert.equal(from({ config: { ...GPT2, pad_id: 50000 } }).config.pad_id, 50000);
  const small = reduce(from({ config: { ...GPT2, pad_id: 50000 } }), put("vocab_size", 10));
  assert.equal(small.config.pad_id, null);
});

test("a preset brings all of itself", () => {
  const state = after(put("d_ff", 10), put("T", 3), { type: "preset", preset: PRESETS[2] });
  assert.deepEqual(state.config, PRESETS[2].config);
  assert.equal(state.kind, "encoder");
  assert.equal(state.T, 1024);
});

test("the nearest real models come first, compared in words", () => {
  const [first, second] = nearest(PRESETS, 124439808);
  assert.deepEqual([first.preset.name, first.words], ["gpt2", "the same"]);
  assert.deepEqual([second.preset.name, second.words], ["half", "34.2 % smaller"]);
  assert.match(nearest(PRESETS, 5e7)[0].words, /^63\.8 % larger$/);
  assert.match(nearest(PRESETS, 1e7)[0].words, /^8\.19 times yours$/);
  assert.match(nearest(PRESETS, 1e12, 1)[0].words, /^yours is .* times it$/);
  assert.equal(nearest(PRESETS, 124439809)[0].words, "under 0.1 % smaller");
});

test("the target is judged in words and on a scale", () => {
  assert.equal(aimed(100, 100), "The target of 100 is met exactly.");
  assert.equal(aimed(1.5e7, 1e7), "50 % over the target of 10 M.");
  assert.equal(aimed(9.95e6, 1e7), "0.5 % under the target of 10 M: within 1 %, reached.");
  assert.equal(aimed(1e9, 1e7), "100 times the target of 10 M.");
  assert.equal(aimed(1e4, 1e7), "1000 times smaller than the target of 10 M.");
  assert.equal(gauge(1e7, 1e7), 0.5);
  assert.equal(gauge(1e20, 1e7), 1);
  assert.equal(gauge(1, 1e7), 0);
});

test("shares sum to one, and costs to their totals", () => {
  for (const kind of ["decoder", "encoder", "encoder-decoder"]) {
    const shown = layout(from({ kind }), PRESETS);
    assert.ok(Math.abs(shown.rows.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-12);
    for (const cost of [shown.work, shown.train, shown.run]) {
      assert.equal(cost.pieces.reduce((sum, [, , n]) => sum + n, 0), cost.all);
    }
  }
});

test("the sentence names the largest part, and a chosen row's sum in numbers", () => {
  const say = (state) => sentence(layout(state, PRESETS), state);
  assert.match(say(from()), /^Most are in feed-forward: 45\.5 %\./);
  assert.equal(say(after({ type: "row", key: "feed" })),
    "feed-forward: 12·(2·768·3,072 + 3,072 + 768) = 56,669,184.");
  assert.match(say(after({ type: "row", key: "head" })), /^output head: tied/);
  assert.match(say(after({ type: "row", key: "attention" })), /From the left: query, key/);
  assert.equal(after({ type: "row", key: "feed" }, { type: "row", key: "feed" }).chosen, "");
  assert.equal(filled("max_len·D", GPT2), "1,024·768");
});

test("the table has every component and the total", () => {
  const { names, values } = asTable(from());
  assert.equal(names.length, Object.keys(formula(GPT2, "decoder")).length + 1);
  assert.deepEqual(values.slice(-2), [124439808, 1]);
  assert.equal(rows(GPT2, "encoder-decoder").length, 7);
});

test("amounts have three digits", () => {
  assert.deepEqual([999, 999499, 999500, 291648307200, 0].map(short),
    ["999 ", "999 k", "1.00 M", "292 G", "0 "]);
  assert.deepEqual([1023, 1024, 75497472, 2 ** 45].map(size),
    ["1023 B", "1.00 KiB", "72.0 MiB", "32.0 TiB"]);
  assert.equal(count(6738415616), "6.74 B");
  assert.deepEqual([9.994, 9.996, 99.96].map(three), ["9.99", "10.0", "100"]);
  assert.deepEqual([0, 1e-6, 0.0003, 0.455].map(percent),
    ["0.0 %", "< 0.01 %", "0.03 %", "45.5 %"]);
  assert.deepEqual([1e6, 1.5e7, 1e8, 7e9, 3200, 100].map(round),
    ["1 M", "15 M", "100 M", "7 B", "3.2 k", "100"]);
  assert.equal(exact(1234567), "1,234,567");
});
