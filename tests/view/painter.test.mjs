import assert from "node:assert/strict";
import test from "node:test";
import { first, fits, hide, leaks, preset, reach, weigh }
  from "../../transformer_lab/instruments/view/flow.js";
import { cellUnder, inkOn, stroke } from "../../transformer_lab/instruments/view/grids.js";
import { cividis } from "../../transformer_lab/instruments/view/matrix.js";
import { begin, maskOf, masksOf, reduce } from "../../transformer_lab/instruments/view/paint.js";
import { asCsv, conventions, follow, layout, leakage, sentence, unpack }
  from "../../transformer_lab/instruments/view/painter.js";

const SIZES = { window: 3, prefix: 2, block: 2 };
const TABLES = [0, 1, 2].map((k) => Array.from({ length: 12 }, (_, t) =>
  Array.from({ length: 12 }, (_, s) => Math.sin(5 * k + 3 * t + s))));
function one(mask = preset("causal", 6, 6), { rule = "causal", ...other } = {}) {
  const sides = { T: mask.length, S: mask[0].length };
  const start = { rules: { mask: rule }, sizes: SIZES, lengths: sides, masks: { mask }, tokens: null,
    looked_at: null, title: "", ...other };
  return { start, state: begin((name) => ({ start, masks: { mask }, part: "mask", layers: 1 })[name]) };
}
function three(S = 4, T = 3) {
  const masks = { encoder: preset("all", S, S), decoder: preset("causal", T, T), cross: preset("all", T, S) };
  const start = { rules: { encoder: "all", decoder: "causal", cross: "all" }, sizes: SIZES,
    lengths: { source: S, target: T }, masks, tokens: null, looked_at: null, title: "" };
  return { start, state: begin((name) => ({ start, masks, part: "decoder", layers: 2 })[name]) };
}
const after = (state, ...events) => events.reduce(reduce, state);
const cell = (row, column) => ({ row, column });
const tell = ({ start, state }) => follow(state, start, TABLES);

test("a press turns a cell, and the stroke paints what the press painted", () => {
  const state = after(one().state, { type: "press", cell: cell(0, 3) },
    { type: "paint", cell: cell(2, 5) }, { type: "drop" }, { type: "paint", cell: cell(5, 0) });
  const mask = maskOf(state);
  assert.deepEqual([mask[0][3], mask[1][4], mask[2][5], mask[5][0]], [true, true, true, true]);
  assert.equal(state.grids.mask.rule, "painted");
  assert.equal(leaks(mask, "mask").length, 3);
});

test("a stroke over cells that are already so leaves them", () => {
  const state = after(one().state, { type: "press", cell: cell(3, 0) }, { type: "paint", cell: cell(0, 0) });
  assert.deepEqual(maskOf(state).slice(0, 4).map((row) => row[0]), [false, false, false, false]);
});

test("a fast stroke leaves no gaps", () => {
  assert.deepEqual(stroke(cell(0, 0), cell(0, 3)).map((c) => c.column), [1, 2, 3]);
  assert.deepEqual(stroke(cell(2, 2), cell(0, 0)), [cell(1, 1), cell(0, 0)]);
  assert.deepEqual(stroke(cell(1, 1), cell(1, 1)), [cell(1, 1)]);
});

test("undo takes back a whole stroke, and Start again everything", () => {
  const { start, state } = one(), press = { type: "press", cell: cell(0, 1) };
  const painted = after(state, press, { type: "paint", cell: cell(0, 5) }, { type: "drop" });
  assert.deepEqual(masksOf(reduce(painted, { type: "undo" })), start.masks);
  assert.equal(reduce(state, { type: "undo" }), state);
  const reset = reduce(painted, { type: "reset", start });
  assert.deepEqual(masksOf(reset), start.masks);
  assert.equal(reset.grids.mask.rule, "causal");
  assert.deepEqual(masksOf(reduce(reset, { type: "undo" })), masksOf(painted));
});

test("the keyboard toggles, and paints on with what it leaves", () => {
  const state = after(one().state, { type: "move", cell: cell(1, 2) }, { type: "toggle" },
    { type: "sweep", cell: cell(1, 3) }, { type: "sweep", cell: cell(1, 4) });
  assert.deepEqual(maskOf(state)[1], [true, true, true, true, true, false]);
  assert.deepEqual(state.cursor, cell(1, 4));
});

test("padding lies on top of every rule, and lengthening gives back what was below", () => {
  const { start, state } = one(), short = reduce(state, { type: "length", side: "S", to: 2 });
  assert.deepEqual(maskOf(short), hide(start.masks.mask, 2));
  assert.deepEqual(maskOf(reduce(short, { type: "length", side: "S", to: 6 })), start.masks.mask);
  const none = reduce(short, { type: "length", side: "S", to: 0 });
  assert.ok(maskOf(none).flat().every((may) => !may));
});

test("painting in the padding makes the padding part of the painting", () => {
  const state = after(one().state, { type: "length", side: "S", to: 2 },
    { type: "press", cell: cell(5, 4) });
  assert.deepEqual(maskOf(state)[5], [true, true, false, false, true, false]);
  assert.deepEqual(maskOf(state)[4], [true, true, false, false, false, false]);
  assert.equal(state.lengths.S, 6);
});

test("padding only is everything that is real", () => {
  const state = reduce(one().state, { type: "rule", rule: "padding" });
  assert.equal(state.lengths.S, 4);
  assert.deepEqual(maskOf(state)[0], [true, true, true, true, false, false]);
});

test("a rule follows the number of positions; what is painted stays", () => {
  const grown = reduce(one().state, { type: "side", side: "T", to: 8 });
  assert.deepEqual(maskOf(grown), preset("causal", 8, 8));
  assert.equal(grown.lengths.S, 8);
  const painted = after(one().state, { type: "press", cell: cell(0, 5) },
    { type: "side", side: "T", to: 8 });
  assert.equal(maskOf(painted)[0][5], true);
  assert.deepEqual(maskOf(painted)[7], Array(8).fill(true));
  assert.deepEqual(maskOf(painted)[6], [...Array(7).fill(true), false]);
});

test("a rule that no longer fits gives way to all", () => {
  const state = after(one().state, { type: "rule", rule: "window" }, { type: "square", on: false },
    { type: "side", side: "S", to: 9 });
  assert.equal(state.grids.mask.rule, "all");
  const cached = after(one().state, { type: "square", on: false }, { type: "side", side: "S", to: 9 });
  assert.deepEqual(maskOf(cached), preset("causal", 6, 9));
  assert.equal(reduce(cached, { type: "square", on: true }).sides.S, 6);
  assert.ok(!fits("causal", 5, 4, "mask") && !fits("window", 4, 5, "mask") && !fits("causal", 4, 4, "cross"));
});

test("a cursor stays inside when the grid shrinks", () => {
  const state = after(one().state, { type: "move", cell: cell(5, 5) }, { type: "side", side: "T", to: 2 });
  assert.deepEqual(state.cursor, cell(1, 1));
});

test("three masks share their lengths and their sizes", () => {
  const state = after(three().state, { type: "length", side: "source", to: 2 },
    { type: "side", side: "target", to: 5 });
  const masks = masksOf(state);
  assert.deepEqual([masks.cross.length, masks.cross[0].length], [5, 4]);
  assert.deepEqual(masks.cross[0], [true, true, false, false]);
  assert.deepEqual(masks.encoder[3], [true, true, false, false]);
  assert.deepEqual(masks.decoder, preset("causal", 5, 5));
});

test("masks that Python sets are taken as they are, and an echo changes nothing", () => {
  const { state } = one();
  assert.equal(reduce(state, { type: "masks", masks: masksOf(state) }), state);
  const news = { mask: [[true, false, true]] };
  const set = reduce(state, { type: "masks", masks: news });
  assert.deepEqual(masksOf(set), news);
  assert.equal(set.square, false);
});

test("weights share out one, or nothing in an empty row", () => {
  const rows = weigh([[true, true, false], [false, false, false]], [[900, 901, 9000], [1, 2, 3]]);
  assert.ok(Math.abs(rows[0][0] + rows[0][1] - 1) < 1e-12 && rows[0][2] === 0);
  assert.deepEqual(rows[1], [0, 0, 0]);
});

test("a window of w reaches w − 1 further back with each layer", () => {
  const masks = { mask: preset("window", 12, 12, 3) };
  for (const layers of [1, 2, 5]) {
    assert.equal(reach(masks, "mask", layers)[11].filter(Boolean).length, 1 + 2 * layers);
  }
  assert.deepEqual(first(masks, "mask", 6)[11], [6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 1]);
});

test("the leak is counted, named, and followed through the layers", () => {
  const { start, state } = one(), set = after(state, { type: "press", cell: cell(2, 5) },
    { type: "layers", to: 2 });
  const say = (now) => leakage(now, follow(now, start, TABLES));
  assert.equal(say(state), "No cell lets the future in.");
  assert.equal(say(set), "1 cell lets the future in: position 2 sees position 5. After 2 layers "
    + "outputs 2, 3 and 4 depend on their future.");
  const all = reduce(state, { type: "rule", rule: "all" });
  assert.match(say(all), /^15 cells let the future in: .*position 0 sees position 4, and 11 more\. After 1 layer outputs 0, 1, 2, 3 and 4/);
  const last = after(state, { type: "press", cell: cell(4, 5) });
  assert.match(say(last), /After 1 layer output 4 depends on its future\.$/);
});

test("an encoder and a look across leak nothing, and say why", () => {
  const { start, state } = three();
  for (const part of ["encoder", "cross"]) {
    const now = after(state, { type: "part", part });
    assert.match(leakage(now, follow(now, start, TABLES)), /source is known/);
    assert.deepEqual(follow(now, start, TABLES).late, []);
  }
  assert.equal(leakage(state, follow(state, start, TABLES)), "No cell lets the future in.");
  const tall = one(preset("all", 4, 2), { rule: "all" });
  assert.match(leakage(tall.state, tell(tall)), /none lies in the future/);
});

test("earlier keys shift the rows: with T = 2 and S = 4 the first row is position 2", () => {
  const cached = one(preset("all", 2, 4), { rule: "all" });
  assert.match(leakage(cached.state, tell(cached)), /^1 cell lets the future in: position 2 sees position 3/);
});

test("the sentence reads a cell out", () => {
  const tokens = ["The", "cat", " ", "on", "a", "<b>"], { start, state } = one(undefined, { tokens });
  const say = (now) => sentence(now, follow(now, start, TABLES));
  assert.match(say(state), /^Press and drag/);
  const at = after(state, { type: "move", cell: cell(1, 0) });
  assert.match(say(at), /^Position 1 “cat” may look at position 0 “The”: score 0\.14, weight 0\.\d{3}\. After 1 layer its output hears from inputs 0 and 1\.$/);
  const off = after(state, { type: "length", side: "S", to: 3 }, { type: "point", cell: cell(0, 4) });
  assert.match(say(off), /^Position 0 “The” may not look at position 4 “a”, which is padding\. .* input 0\.$/);
});

test("an empty row is told with each of the four conventions", () => {
  const { start, state } = one();
  assert.deepEqual(conventions(follow(state, start, TABLES)), []);
  const hole = after(state, { type: "press", cell: cell(0, 0) });
  const lines = conventions(follow(hole, start, TABLES));
  assert.match(lines[0], /^Position 0 may look at nothing/);
  assert.deepEqual(lines.slice(1).map(([what]) => what), ["zeros", "NaN", "uniform", "depends"]);
  assert.match(lines[3][1], /1\/6/);
  const none = reduce(state, { type: "rule", rule: "none" });
  assert.match(conventions(follow(none, start, TABLES))[0], /^No position may look at anything\. What each/);
  const two = after(hole, { type: "press", cell: cell(1, 0) }, { type: "paint", cell: cell(1, 1) });
  assert.match(conventions(follow(two, start, TABLES))[0], /^Positions 0 and 1 may look at nothing/);
});

test("cells are drawn as what they are", () => {
  const { start, state } = one(), set = after(state, { type: "press", cell: cell(0, 1) });
  const f = follow(set, start, TABLES), drawn = layout(set, f);
  assert.deepEqual(drawn.masks.mask.slice(0, 3).map(({ kind }) => kind), ["on", "leak", "off"]);
  assert.deepEqual(drawn.weights[0].fill, cividis(f.weights[0][0]));
  assert.equal(drawn.weights[2].kind, "off");
  assert.deepEqual(drawn.reach.slice(0, 3).map(({ kind, text }) => [kind, text]),
    [["heard", "1"], ["leak", "1"], ["none", undefined]]);
});

test("numbers can be read on every colour of the map", () => {
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  for (let i = 0; i <= 255; i++) {
    const fill = cividis(i / 255), ink = inkOn(fill) === "#fff" ? 1 : 0;
    const [a, b] = [light(fill), ink].sort((x, y) => x - y);
    assert.ok((b + 0.05) / (a + 0.05) >= 4.5, `${i}`);
  }
});

test("a point of the screen lies in a cell or in none", () => {
  const [from, to] = [{ left: 10, top: 20 }, { right: 70, bottom: 50 }];
  assert.deepEqual(cellUnder(69, 49, from, to, 3, 6), cell(2, 5));
  assert.equal(cellUnder(9, 30, from, to, 3, 6), null);
  assert.equal(cellUnder(30, 51, from, to, 3, 6), null);
});

test("the text holds a line for each cell", () => {
  const given = one(), lines = asCsv(tell(given)).trim().split("\n");
  assert.equal(lines[0], ",looks at,may look,score,weight,reached in layers");
  assert.equal(lines.length, 37);
  assert.deepEqual(lines[2].split(","), ["0", "1", "0", "0.841471", "0", "0"]);
});

test("bytes become one table for each part", () => {
  const numbers = Float32Array.from({ length: 3 * 144 }, (_, i) => i);
  const tables = unpack(new DataView(numbers.buffer));
  assert.equal(tables.length, 3);
  assert.equal(tables[1][2][3], 144 + 27);
});

test("nothing is NaN at the smallest size", () => {
  const tiny = one(preset("none", 1, 1), { rule: "none" }), f = tell(tiny);
  assert.deepEqual([f.weights, f.since, f.empty], [[[0]], [[1]], [0]]);
  assert.match(conventions(f)[3][1], /all the weight/);
});
