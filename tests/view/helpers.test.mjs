import assert from "node:assert/strict";
import test from "node:test";
import { cellSize, cividis, diverging, moveCursor, pixels }
  from "../../transformer_lab/instruments/view/matrix.js";
import { csv, floats, probabilities } from "../../transformer_lab/instruments/view/parts.js";
import { names, rank, visible } from "../../transformer_lab/instruments/view/tokens.js";

test("a signed zero is white and the two ends are the role colours", () => {
  assert.deepEqual(diverging(0), [255, 255, 255]);
  assert.deepEqual(diverging(-1), [0, 114, 178]);
  assert.deepEqual(diverging(2), [204, 102, 0]);
});

test("weights grow lighter, and values outside [0, 1] take the end colours", () => {
  const light = ([r, g, b]) => 0.2126 * r + 0.7152 * g + 0.0722 * b;
  const steps = Array.from({ length: 256 }, (_, i) => light(cividis(i / 255)));
  assert.ok(steps.every((x, i) => i === 0 || x > steps[i - 1] - 0.5));
  assert.deepEqual(cividis(-1), cividis(0));
  assert.deepEqual(cividis(2), cividis(1));
});

test("a masked cell is transparent, not the colour of zero", () => {
  const rgba = pixels([0, 0, 1], cividis, [1, 0, 1]);
  assert.deepEqual([...rgba.slice(0, 4)], [...cividis(0), 255]);
  assert.deepEqual([...rgba.slice(4, 8)], [0, 0, 0, 0]);
});

test("cells are whole pixels and stay within their limits", () => {
  assert.equal(cellSize(10, 255), 25);
  assert.equal(cellSize(500, 255), 3);
  assert.equal(cellSize(1, 255), 30);
});

test("the cursor stops at the edges, and other keys are left alone", () => {
  const at = { row: 0, column: 1 };
  assert.deepEqual(moveCursor(at, "ArrowUp", 3, 4), { row: 0, column: 1 });
  assert.deepEqual(moveCursor(at, "ArrowDown", 3, 4), { row: 1, column: 1 });
  assert.deepEqual(moveCursor(at, "End", 3, 4), { row: 0, column: 3 });
  assert.deepEqual(moveCursor(at, "End", 3, 4, true), { row: 2, column: 3 });
  assert.equal(moveCursor(at, "d", 3, 4), null);
});

test("spaces, line ends and invisible characters can be seen", () => {
  assert.equal(visible(" a\n\t"), "␣a↵⇥");
  assert.equal(visible(""), "∅");
  assert.equal(visible("\u202eab\u00a0"), "U+202EabU+00A0");
  assert.equal(visible("👩\u200d🔬<b>"), "👩\u200d🔬<b>");
});

test("equal tokens are told apart by their place, and equal values share a rank", () => {
  assert.deepEqual(names(["the", "cat", "the"]), ["“the” (0)", "“cat”", "“the” (2)"]);
  assert.equal(rank([0.2, 0.5, 0.2], 2), 2);
});

test("a comma, a quote or a line end in a token stays inside its field", () => {
  assert.equal(csv(["a,b"], ['"', "c"], [1, 2]), ',"""",c\n"a,b",1,2\n');
});

test("bytes are read at any offset", () => {
  const buffer = new ArrayBuffer(9);
  const view = new DataView(buffer, 1, 4);
  view.setUint16(0, 65535, true);
  assert.deepEqual([...probabilities(view)], [1, 0]);
  view.setFloat32(0, -2.5, true);
  assert.deepEqual([...floats(view)], [-2.5]);
});
