import assert from "node:assert/strict";
import test from "node:test";
import { cellText, reduce, sentence, tidy, worded }
  from "../../transformer_lab/instruments/view/controls.js";

test("one value changes, the others stay, and no change is no message", () => {
  const values = { k: 2, dots: false };
  assert.deepEqual(reduce(values, { name: "k", value: 3 }), { k: 3, dots: false });
  assert.equal(reduce(values, { name: "k", value: 2 }), null);
  assert.deepEqual(values, { k: 2, dots: false });
});

test("a range's number has the places of its step and low end, and stays inside", () => {
  const unit = { low: 0, high: 1, step: 0.01 };
  assert.equal(tidy(0.1 + 0.2, unit), 0.3);
  assert.equal(tidy(1.0000001, unit), 1);
  assert.equal(tidy(7, { low: 1, high: 9, step: 1 }), 7);
  assert.equal(tidy(0.125 + 0.5, { low: 0.125, high: 9, step: 0.5 }), 0.625);
  assert.equal(tidy(3.0000000004e-7, { low: 0, high: 1e-6, step: 1e-8 }), 3e-7);
  assert.equal(tidy(250_000, { low: 0, high: 1e6, step: 1e4 }), 250_000);
});

test("the error comes first, and a page says that it cannot draw", () => {
  assert.equal(sentence("All is well.", "", false), "All is well.");
  assert.equal(sentence("All is well.", "draw stopped.", true), "draw stopped.");
  assert.match(sentence("All is well.", "", true), /^All is well\. This page has no Python/);
});

test("numbers read well", () => {
  assert.equal(worded(-0.30000000000000004), "−0.3");
  assert.equal(cellText(null), "");
  assert.equal(cellText(-0.123456), "−0.1235");
});
