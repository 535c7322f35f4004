// The arithmetic as a strip of five steps and as a table in which numbers can be typed.

import { brief, fixed, power, vector } from "./mix.js";
import { h, reword } from "./parts.js";

// One sentence a step, with the numbers of the moment.
export const STEPS = [
  { part: "Scores", name: "q · k", say: () =>
    "Multiply query and key number by number and add up. The larger, the better the fit." },
  { part: "Softmax", name: "scale", say: ({ scale, temperature }) =>
    `Every score times ${brief(scale)}, divided by the temperature ${brief(temperature)}. `
    + "The order stays; the distances change." },
  { part: "Softmax", name: "e to that", say: () =>
    "e to a number is always positive, and a lead of 1 becomes a factor of 2.718." },
  { part: "Softmax", name: "share", say: (_, m) =>
    `Divide each by the sum of all, ${power(m.logSum)}. These weights are positive, together 1.` },
  { part: "Mix", name: "weight × value", say: () =>
    "Each value counts by its weight. The sum is the output: an average, never beyond the values." },
];

export function drawSteps(act) {
  const items = STEPS.map(({ part, name }, i) => h("li", {},
    h("span", { class: "tl-quiet", "aria-hidden": "true" },
      i && STEPS[i - 1].part === part ? "" : `${i ? "→ " : ""}${part}`),
    h("button", { type: "button", "aria-label": `${part}: ${name}`,
      onclick: () => act({ type: "step", to: i + 1 }) }, name)));
  let now = STEPS.length;
  const back = h("button", { type: "button",
    onclick: () => act({ type: "step", to: now - 1 }) }, "Back");
  const next = h("button", { type: "button",
    onclick: () => act({ type: "step", to: now === STEPS.length ? 1 : now + 1 }) });
  const words = h("p", { "aria-live": "polite" });
  const element = h("div", { class: "tl-steps" }, h("ol", {}, ...items),
    h("div", { class: "tl-row" }, back, next, words));
  return {
    element,
    update(state, m) {
      now = state.step;
      items.forEach((item, i) => {
        item.classList.toggle("tl-later", i >= now);
        if (i === now - 1) item.lastChild.setAttribute("aria-current", "step");
        else item.lastChild.removeAttribute("aria-current");
      });
      back.disabled = now === 1;
      reword(next, now === STEPS.length ? "From the first step" : "Next");
      const said = `${now}. ${STEPS[now - 1].say(state, m)}`;
      reword(words, said);
    },
  };
}

// A number that can be typed, or moved by the up and down keys. While it is being typed it is
// left alone.
function cell(label, role, act, plane, index, axis) {
  let typing = false, shown = 0;
  const write = () => { typing = false; input.value = shown.toFixed(2); };
  const input = h("input", { type: "number", step: "any", "aria-label": label,
    class: `tl-cell tl-${role}-ink`,
    onfocus: () => act({ type: "choose", index }),
    oninput() {
      typing = true;
      const value = input.valueAsNumber;
      if (Number.isFinite(value)) act({ type: "type", plane, index, axis, value });
    },
    onchange: write, onblur: write,
    onkeydown(event) {
      const way = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!way) return;
      event.preventDefault();
      typing = false;
      act({ type: "type", plane, index, axis, by: way * (event.shiftKey ? 0.01 : 0.1) });
    } });
  return { input, show(x) {
    shown = x;
    const text = x.toFixed(2);
    if (!typing && input.value !== text) input.value = text;
  } };
}

export function drawSums(act, names, points) {
  const number = (step) => h("td", { class: `tl-s${step}` });
  const pair = (parts, ink = "") => h("td", { class: `tl-s5 ${ink}` },
    h("span", { class: "tl-pair" }, ...parts));
  const sign = (text) => h("span", { class: "tl-sign" }, text);
  const both = ["first number", "second number"], axes = points ? both : ["number"];
  const query = both.map((which, axis) => cell(`query, ${which}`, "query", act, "key", 0, axis));
  const rows = names.map((name, i) => {
    const key = both.map((which, axis) =>
      cell(`key ${name}, ${which}`, "key", act, "key", i + 1, axis));
    const value = axes.map((which, axis) =>
      cell(`value of ${name}, ${which}`, "value", act, "value", i + 1, axis));
    const left = [0, 1].map(() => h("span", { class: "tl-query-ink" }));
    const bar = h("span", { class: "tl-share" }), weight = h("span");
    const numbers = [1, 2, 3].map(number), products = axes.map(() => h("span"));
    const row = h("tr", {}, h("th", { scope: "row", class: "tl-key-ink" }, name),
      h("td", {}, h("span", { class: "tl-terms" }, left[0], sign("×"), key[0].input,
        sign("+"), left[1], sign("×"), key[1].input, sign("="))),
      numbers[0], numbers[1], numbers[2],
      h("td", { class: "tl-s4" }, h("span", { class: "tl-bar-of" }, bar), weight),
      pair(value.map((each) => each.input)),
      pair(products));
    return { key, value, left, bar, weight, numbers, products, row };
  });
  const times = h("span"), sum = number(3), one = h("td", { class: "tl-s4" }, "1.000");
  const output = axes.map(() => h("span"));
  const top = (step, ...text) => h("th", { scope: "col", class: `tl-s${step}` }, ...text);
  const element = h("div", { class: "tl-sums", tabindex: 0, role: "region",
    "aria-label": "every number" }, h("table", {}, h("thead", {},
      h("tr", {}, h("td"), top(1, "query × key, term by term"), top(1, "score"),
        top(2, "scaled", h("br"), times), top(3, "e to that"), top(4, "weight"),
        top(5, "value"), top(5, "weight × value"))),
    h("tbody", {},
      h("tr", { class: "tl-asks" }, h("th", { scope: "row", class: "tl-query-ink" }, "query"),
        h("td", {}, h("span", { class: "tl-terms" }, ...query.map((each) => each.input))),
        h("td", { colspan: 6 })),
      ...rows.map(({ row }) => row)),
    h("tfoot", {}, h("tr", {}, h("th", { scope: "row", class: "tl-s3" }, "sum"),
      h("td", { colspan: 3 }), sum, one, h("td"),
      pair(output, "tl-output-ink")))));
  return {
    element,
    update(state, m) {
      element.dataset.step = state.step;
      query.forEach((each, axis) => each.show(state.query[axis]));
      reword(times, `× ${brief(state.scale)} ÷ ${brief(state.temperature)}`);
      rows.forEach(({ key, value, left, bar, weight, numbers, products, row }, i) => {
        left.forEach((place, axis) => reword(place, fixed(state.query[axis])));
        key.forEach((each, axis) => each.show(state.key[i][axis]));
        value.forEach((each, axis) => each.show(vector(state.value[i])[axis]));
        [fixed(m.scores[i], 3), fixed(m.logs[i], 3), power(m.logs[i])]
          .forEach((text, j) => reword(numbers[j], text));
        products.forEach((each, axis) => reword(each, fixed(m.products[i][axis], 3)));
        bar.style.width = `${(100 * m.weights[i]).toFixed(2)}%`;
        reword(weight, m.weights[i].toFixed(3));
        row.classList.toggle("tl-chosen", state.chosen === i + 1);
      });
      reword(sum, power(m.logSum));
      output.forEach((each, axis) => reword(each, fixed(m.output[axis], 3)));
    },
  };
}
