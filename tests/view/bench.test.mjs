import assert from "node:assert/strict";
import test from "node:test";
import { asCsv, begin, layout, place, reduce, stride, TRIES }
  from "../../transformer_lab/instruments/view/bench.js";
import { dot, fixed, mixed, power, sentence, shadow }
  from "../../transformer_lab/instruments/view/mix.js";
import { arrow, beside, fromPixels, grab, groups, hull, reach, room, ticks, toPixels }
  from "../../transformer_lab/instruments/view/plane.js";
import { STEPS } from "../../transformer_lab/instruments/view/sums.js";

const START = { query: [0.8, 0.6], key: [[1, 0], [0, 1], [-1, 0.2]],
  value: [[1, 1], [-1, 1], [0, -1]], temperature: 1, scale: 1 };
const NAMES = ["a", "b", "c"];
const from = (other = {}) => begin((name) => ({ ...START, ...other })[name]);
const after = (...events) => events.reduce(reduce, from());
const TRY = (name) => ({ type: "try", name, start: START });
const sum = (numbers) => numbers.reduce((x, y) => x + y, 0);

test("what is set by hand is a whole hundredth, and minus zero is zero", () => {
  const { query } = after({ type: "drag", plane: "key", index: 0, to: [0.12345, -0.001] });
  assert.ok(Object.is(query[1], 0));
  assert.equal(query[0], 0.12);
});

test("only the arrow in hand moves", () => {
  const state = after({ type: "drag", plane: "key", index: 2, to: [2, 2] },
    { type: "nudge", plane: "value", index: 3, by: [0.1, -0.01] });
  assert.deepEqual(state.key, [[1, 0], [2, 2], [-1, 0.2]]);
  assert.deepEqual(state.value, [[1, 1], [-1, 1], [0.1, -1.01]]);
  assert.deepEqual(state.query, START.query);
});

test("a number as value moves up and down, and stays a number", () => {
  const drag = { type: "drag", plane: "value", index: 2, to: [0.7, 3] };
  const state = reduce(from({ value: [9, 14, 19] }), drag);
  assert.deepEqual(state.value, [9, 3, 19]);
  const aside = { type: "nudge", plane: "value", index: 1, by: [0.1, 0] };
  assert.deepEqual(reduce(state, aside).value, [9, 3, 19]);
});

test("two steps of a typed number count twice, before any frame is painted", () => {
  const up = { type: "type", plane: "key", index: 1, axis: 1, by: 0.1 };
  assert.deepEqual(after(up, up).key[0], [1, 0.2]);
  assert.deepEqual(after({ ...up, value: -7.006 }).key[0], [1, -7.01]);
});

test("the query has no value to move", () => {
  const state = from();
  assert.equal(reduce(state, { type: "nudge", plane: "value", index: 0, by: [0.1, 0] }), state);
});

test("arrow keys move by 0.1 and with Shift by 0.01; other keys are left alone", () => {
  assert.deepEqual(stride("ArrowUp", false), [0, 0.1]);
  assert.deepEqual(stride("ArrowLeft", true), [-0.01, 0]);
  assert.equal(stride("d", false), null);
});

test("the dictionary gives one key all the weight", () => {
  for (const count of [2, 3, 4, 5, 6]) {
    const key = Array.from({ length: count }, (_, i) => [i, 1]), value = key.map(([i]) => i);
    const { weights } = mixed(reduce(from({ key, value }), TRY("dictionary")));
    assert.ok(weights[0] > 0.9999, `${count} keys: ${weights[0]}`);
  }
});

test("two equal keys share, whatever the query", () => {
  const drag = { type: "drag", plane: "key", index: 0, to: [-2, 1.3] };
  const { weights } = mixed(after(TRY("same"), drag));
  assert.equal(weights[0], weights[1]);
});

test("between two keys both score alike, and the query keeps its length and its side", () => {
  const pairs = [[[1, 0], [0, 1]], [[2, 1], [-1, 1.5]], [[1, 1], [1, 1]], [[1, 0], [-1, 0]],
    [[0, 0], [0, 0]]];
  for (const [a, b] of pairs) {
    const { query, key } = reduce(from({ key: [a, b, [5, 5]] }), TRY("between"));
    assert.ok(Math.abs(dot(query, key[0]) - dot(query, key[1])) < 1e-12);
    assert.ok(Math.abs(Math.hypot(...query) - 1) < 1e-12);
    assert.ok(dot(query, key[0]) >= 0);
  }
});

test("twice the query is twice each score, and Start again undoes everything", () => {
  const once = mixed(from()).scores, state = after(TRY("doubled"));
  mixed(state).scores.forEach((score, i) => assert.ok(Math.abs(score - 2 * once[i]) < 1e-12));
  const busy = after(TRY("dictionary"), TRY("doubled"), TRY("same"), TRY("reset"));
  for (const name of Object.keys(START)) assert.deepEqual(busy[name], START[name]);
});

test("every button has a name of its own", () => {
  assert.equal(new Set(Object.values(TRIES).map(({ label }) => label)).size, 5);
});

test("the plane grows when an arrow leaves it, and not while it is dragged", () => {
  const dragged = after({ type: "drag", plane: "key", index: 0, to: [7, 0] });
  assert.equal(dragged.rooms.key, from().rooms.key);
  assert.ok(reduce(dragged, { type: "drop" }).rooms.key > 7);
});

test("a plane fits its numbers with room for names, and is kept while it serves", () => {
  assert.equal(reach([0, 0]), 1);
  assert.equal(reach([1, -0.2]), 1.5);
  assert.equal(reach([21]), 30);
  assert.equal(room([1], 4), 4);
  assert.equal(room([1], 5), 1.5);
  assert.equal(room([1], 1), 1.5);
});

test("a pixel and its point belong together", () => {
  const frame = { left: -2, right: 2, bottom: 0, top: 20 };
  assert.deepEqual(toPixels([0, 20], frame), [150, 0]);
  assert.deepEqual(fromPixels(toPixels([1.25, 7.5], frame), frame), [1.25, 7.5]);
  assert.equal(ticks(3), 0.5);
  assert.equal(ticks(32.5), 10);
});

test("the hull leaves out what lies inside or on an edge", () => {
  const corners = hull([[0, 0], [2, 0], [1, 0], [2, 2], [0, 2], [1, 1], [0, 0]]);
  assert.equal(corners.length, 4);
  assert.equal(hull([[0, 0], [1, 1], [3, 3]]).length, 2);
  assert.equal(hull([[1, 1], [1, 1]]).length, 1);
});

test("the words name the shape in which the output lies", () => {
  assert.match(place([[0, 0], [1, 0], [0, 1]]), /triangle/);
  assert.match(place([[0, 0], [1, 0], [0, 1], [1, 1]]), /shaded area/);
  assert.match(place([[0, 0], [1, 1]]), /line/);
  assert.match(place([[1, 1], [1, 1]]), /one point/);
  assert.match(place([3, 5, 4]), /lowest and the highest/);
});

test("the pointer takes the nearest tip, the chosen one where several lie together", () => {
  const tips = [[100, 100], [102, 100], [200, 200]];
  assert.equal(grab(tips, [103, 100], -1), 1);
  assert.equal(grab(tips, [103, 100], 0), 0);
  assert.equal(grab(tips, [195, 205], 0), 2);
  assert.equal(grab(tips, [50, 250], 0), -1);
});

test("tips that lie together share a label, which stays inside the plane", () => {
  assert.deepEqual(groups([[0, 0], [50, 0], [3, 4]]), [[0, 2], [1]]);
  for (const tip of [[0, 0], [300, 300], [300, 0], [150, 150]]) {
    const [x, y] = beside(tip, [150, 150], 90, false);
    assert.ok(x >= 0 && x + 90 <= 300 && y >= 10 && y <= 300, `${tip}: ${x}, ${y}`);
  }
});

test("an arrow of no length is drawn without a NaN", () => {
  const { shaft, head } = arrow([150, 150], [150, 150], 3);
  assert.ok([...shaft, ...head.flat()].every(Number.isFinite));
});

test("what a step has not reached is not drawn", () => {
  const state = from(), m = mixed(state);
  const at = (step) => layout({ ...state, step }, NAMES, m);
  assert.equal(new Set(at(3).key.items.slice(1).map(({ width }) => width)).size, 1);
  assert.equal(new Set(at(4).key.items.slice(1).map(({ width }) => width)).size, 3);
  assert.equal(at(4).value.output, null);
  assert.deepEqual(at(5).value.output, m.output);
  assert.equal(STEPS.length, state.step);
});

test("the shadow of the chosen key lies on the query's line, and its words give the score", () => {
  const state = { ...from(), chosen: 3 };
  const [tip, foot] = layout(state, NAMES, mixed(state)).key.shadow;
  assert.deepEqual(tip, [-1, 0.2]);
  assert.ok(Math.abs(foot[0] * 0.6 - foot[1] * 0.8) < 1e-12);
  assert.ok(Math.abs(dot([tip[0] - foot[0], tip[1] - foot[1]], state.query)) < 1e-12);
  assert.match(shadow("c", state.query, tip), /is −0.680\. Times .* 1.000: score −0.680\./);
  assert.equal(layout({ ...state, query: [0, 0] }, NAMES, mixed(state)).key.shadow, null);
});

test("values of one sign stand on the floor of their plane, mixed ones around zero", () => {
  const frame = (value) => {
    const state = from({ value });
    return layout(state, NAMES, mixed(state)).value.frame;
  };
  assert.ok(frame([9, 14, 19]).bottom > -3);
  assert.ok(frame([-9, -14, -19]).top < 3);
  assert.equal(frame([-9, 14, 19]).bottom, -frame([-9, 14, 19]).top);
  assert.ok(frame([0, 0, 0]).top > frame([0, 0, 0]).bottom);
});

test("numbers have a true minus and no minus zero", () => {
  assert.equal(fixed(-1.2), "−1.20");
  assert.equal(fixed(-0.001), "0.00");
  assert.equal(fixed(1234567), "1.23e6");
});

test("a power is written out at any size", () => {
  assert.equal(power(0), "1.000");
  assert.equal(power(0.66), Math.exp(0.66).toFixed(3));
  assert.equal(power(100), "2.69·10⁴³");
  assert.equal(power(-100), "3.72·10⁻⁴⁴");
  assert.equal(power(3 * Math.LN10 + 1e-9), "1.00·10³");
  assert.equal(power(1000), "1.97·10⁴³⁴");
  assert.equal(power(1e9), "> 10⁹⁹⁹⁹");
});

test("scores that overflow still give weights", () => {
  const { weights, output } = mixed(from({ query: [1e6, 1e6], temperature: 0.01, scale: 100 }));
  assert.ok(Math.abs(sum(weights) - 1) < 1e-12);
  assert.ok(output.every(Number.isFinite));
});

test("the sentence says what stands out", () => {
  const say = (other) => {
    const state = { ...from(), ...other };
    return sentence(NAMES, state, mixed(state));
  };
  assert.match(say({}), /^a gets most: weight 0.489, then b with 0.400\. The output is \(/);
  assert.match(say({ query: [0, 0] }), /query is 0.*weight 1\/3\. .*, the plain average\.$/);
  assert.match(say({ temperature: 100 }), /All keys count alike.*nearly the plain average/);
  assert.match(say({ temperature: 0.01 }),
    /hard lookup.*a has weight 1.000\. .*\(1.00, 1.00\), its value/);
  assert.match(say({ query: [0.7, 0.7] }), /^a and b share: 0.\d+ each/);
  assert.match(say({ step: 1 }), /^a fits the query best: score 0.800\.$/);
  assert.doesNotMatch(say({ step: 4 }), /output/);
});

test("the table as text holds each number in full and the sums", () => {
  const state = from(), lines = asCsv(NAMES, state, mixed(state)).trim().split("\n");
  assert.equal(lines[0], ",key x,key y,score,exponent,weight,value x,value y,"
    + "weight × value x,weight × value y");
  assert.equal(lines.length, 5);
  assert.equal(lines[1].split(",")[3], "0.8");
  const weights = lines.slice(1, 4).map((line) => Number(line.split(",")[5]));
  assert.ok(Math.abs(sum(weights) - 1) < 1e-8);
});
