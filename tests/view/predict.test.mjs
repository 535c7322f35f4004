import assert from "node:assert/strict";
import test from "node:test";
import { reduce, tidy, words } from "../../transformer_lab/instruments/view/predict.js";

const press = { type: "press" };
const choose = (value) => ({ type: "choose", value });

test("an answer is kept by the button, not by choosing it", () => {
  const chosen = reduce({ draft: null, kept: null }, choose("a"));
  assert.deepEqual(chosen, { draft: "a", kept: null });
  assert.deepEqual(reduce(chosen, press), { draft: "a", kept: "a" });
});

test("nothing is kept before something is chosen", () => {
  assert.deepEqual(reduce({ draft: null, kept: null }, press), { draft: null, kept: null });
});

test("a kept answer changes only after the button was pressed again", () => {
  const kept = { draft: "a", kept: "a" };
  assert.deepEqual(reduce(kept, choose("b")), kept);
  const open = reduce(kept, press);
  assert.deepEqual(reduce(reduce(open, choose("b")), press), { draft: "b", kept: "b" });
});

test("an answer that arrives from Python is shown as kept, and its removal opens the question", () => {
  const arrived = reduce({ draft: null, kept: null }, { type: "arrive", value: "b" });
  assert.deepEqual(arrived, { draft: "b", kept: "b" });
  assert.deepEqual(reduce(arrived, { type: "arrive", value: null }), { draft: "b", kept: null });
});

test("the sentence says what was kept and what to do, with the unit", () => {
  assert.deepEqual(words({ draft: "3", kept: null }, "keys", false),
    { sentence: "", button: "This is my answer" });
  assert.equal(words({ draft: "3", kept: "3" }, "keys", false).sentence,
    "Kept: 3 keys. Now run the next cells.");
  assert.equal(words({ draft: "a", kept: "a" }, "", true).sentence, "Kept: a. Now read on.");
});

test("a slider's number has the places of its step and no more", () => {
  assert.equal(tidy(0.1 + 0.2, 0.1), "0.3");
  assert.equal(tidy(35, 5), "35");
  assert.equal(tidy(0.123456, 0.01), "0.12");
  assert.equal(tidy(2.5, 0.25), "2.5");
});
