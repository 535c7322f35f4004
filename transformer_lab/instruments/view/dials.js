// Sliders for whole sizes, and bars made of segments.

import { exact } from "./amounts.js";
import { h } from "./parts.js";

// The steps of a slider: whole numbers, eight to an octave.
export function ladder(low, high) {
  const steps = [];
  for (let x = low; x <= high; x += 2 ** Math.max(0, Math.floor(Math.log2(x)) - 3)) steps.push(x);
  return steps.at(-1) === high ? steps : [...steps, high];
}

// The index of the step next to x, by ratio.
export function near(steps, x) {
  const far = (i) => Math.abs(Math.log(steps[i] / x));
  return steps.reduce((best, _, i) => (far(i) < far(best) ? i : best), 0);
}

// A letter, its name, the number to type, and a slider whose steps follow what is allowed.
export function dial(key, letter, name, most, act, beside = null) {
  let steps = [1];
  const change = (value) => act({ type: "size", key, value });
  const number = h("input", { type: "number", min: 1, max: most, "aria-label": name,
    oninput: () => { if (number.valueAsNumber >= 1) change(number.valueAsNumber); },
    onchange: () => { number.value = number.dataset.now; } });
  const range = h("input", { type: "range", min: 0, step: 1, "aria-label": `${name}, slider`,
    oninput: () => change(steps[range.value]) });
  const element = h("div", { class: "tl-size" },
    h("b", {}, letter), h("span", {}, name), beside ?? h("span"), number, range);
  return { element, update(value, values) {
    steps = values;
    number.dataset.now = value;
    if (!number.matches(":focus")) number.value = value;
    range.max = steps.length - 1;
    range.value = near(steps, value);
    range.disabled = steps.length < 2;
    range.setAttribute("aria-valuetext", exact(value));
  } };
}

// Segments side by side; `whole` is the amount that fills the bar. A click may choose a segment
// for the mouse; what it chooses has a button elsewhere.
export function bar(label, choose = null) {
  const element = h("div", { class: "tl-stack", role: "img", onclick: ({ target }) => {
    if (choose && target.dataset.key) choose(target.dataset.key);
  } });
  return { element, update(pieces, whole, words, chosen) {
    while (element.children.length < pieces.length) element.append(h("span"));
    while (element.children.length > pieces.length) element.lastChild.remove();
    pieces.forEach(([name, role, n, key], i) => {
      const span = element.children[i];
      span.className = `tl-piece-${role}${chosen && key === chosen ? " tl-held" : ""}`;
      span.style.width = `${(100 * n) / whole}%`;
      span.title = name;
      span.dataset.key = key ?? "";
    });
    element.setAttribute("aria-label", `${label}: ${words}`);
  } };
}

export const swatch = (role) => h("i", { class: `tl-swatch tl-piece-${role}`, "aria-hidden": "true" });
export const write = (element, words) => { if (element.textContent !== words) element.textContent = words; };

// A cost: its name, the total, a bar, and what the bar is made of.
export function costLine(title) {
  const sum = h("b", { class: "tl-number" }), stack = bar(title), words = h("p", { class: "tl-quiet" });
  const note = h("p", { class: "tl-quiet" });
  const element = h("div", { class: "tl-cost" }, h("p", {}, h("span", {}, title), sum),
    stack.element, words, note);
  return { element, update({ all, pieces }, whole, unit, more = "") {
    const present = pieces.filter(([, , n]) => n);
    const said = present.map(([name, , n]) => `${name} ${unit(n)}`).join(" · ");
    write(sum, unit(all));
    stack.update(present, whole, said);
    write(note, more);
    if (words.dataset.said !== said) {
      words.dataset.said = said;
      words.replaceChildren(...present.map(([name, role, n]) =>
        h("span", { class: "tl-key" }, swatch(role), `${name} ${unit(n)}`)));
    }
  } };
}
