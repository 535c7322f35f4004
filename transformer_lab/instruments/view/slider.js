// A range with its name and its value in words.

import { h } from "./parts.js";

// A labelled range; `read` turns its number into the value, `write` back, `say` into words.
export function slider(label, { low, high, step = 1, read = Number, write = Number, say = String }, act) {
  const words = h("output", { class: "tl-number" });
  const range = h("input", { type: "range", min: low, max: high, step, "aria-label": label,
    oninput: () => act(read(Number(range.value))) });
  const element = h("label", { class: "tl-slide" },
    h("span", { class: "tl-row" }, h("span", {}, label), words), range);
  return { element, update(value, most = high, instead = null) {
    if (Number(range.max) !== most) range.max = most;
    if (read(Number(range.value)) !== value) range.value = write(value);
    const text = instead ?? say(value);
    if (words.textContent !== text) words.textContent = text;
    range.setAttribute("aria-valuetext", text);
  } };
}
