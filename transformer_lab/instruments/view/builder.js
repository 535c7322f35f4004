// The block builder: a layer's parts on and off. The diagram, the code and the counts come from one
// list of steps; what a stack does before training is measured in Python.
// Everything but `draw` is pure.

import { exact } from "./amounts.js";
import { BASELINES, CHART, curves, drawChart, ratio, under } from "./block_chart.js";
import { drawDiagram } from "./block_diagram.js";
import { copy, csv, floats, h, listen, readout, select, table, widget } from "./parts.js";

const SWITCHES = ["residual", "norm", "attention", "feed_forward"];
const SYNCED = [...SWITCHES, "place", "depth"];

// The view's state: the synced traits; what is measured; `at`, the layer under the cursor or null;
// `step`, the chosen line or -1.
export function begin(get) {
  const synced = Object.fromEntries(SYNCED.map((name) => [name, get(name)]));
  return { ...synced, measure: "gradient", at: null, step: -1 };
}

// The name of what the switches say; as Parts.key in block.py.
export function keyOf(state) {
  const letters = SWITCHES.map((name, i) => (state[name] ? "rnaf"[i] : "-")).join("");
  return `${state.norm ? state.place : "pre"} ${letters}`;
}

export function reduce(state, event) {
  switch (event.type) {
    case "set": {
      const next = { ...state, ...event.values };
      const step = keyOf(next) === keyOf(state) ? state.step : -1;
      const at = next.at === null ? null : Math.min(next.at, next.depth);
      return { ...next, step, at };
    }
    case "measure":
      return { ...state, measure: event.to, at: null };
    case "step":
      return { ...state, step: state.step === event.to ? -1 : event.to };
    case "cursor": {
      const low = state.measure === "weights" ? 1 : 0;
      return { ...state, at: Math.min(state.depth, Math.max(low, event.to)) };
    }
    default:
      return state;
  }
}

// Where the cursor goes for a key, or null.
export function moved(state, key) {
  const low = state.measure === "weights" ? 1 : 0, at = state.at ?? low;
  return { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: low,
    End: state.depth }[key] ?? null;
}

// float32 from Python -> the three lines of a profile; gradients as powers of ten.
export function unpacked(view, depth) {
  const numbers = [...floats(view)], n = depth + 1;
  return { gradient: numbers.slice(0, n), alike: numbers.slice(n, 2 * n),
    weights: numbers.slice(2 * n) };
}

const place = (i) => (i ? `behind layer ${i}` : "behind the embedding");

// What the chart says, in one sentence.
export function sentence(state, found) {
  if (!found) return "Measuring.";
  const { measure, depth, at } = state, values = found[measure];
  if (measure === "alike") {
    const i = at ?? depth, x = values[i];
    return `Two tokens have a mean cosine of ${x.toFixed(2).replace("-", "−")} ${place(i)}.${
      x > 0.985 ? " They have become nearly the same." : ""}`;
  }
  if (!values.length) return "There are no weights here: nothing to learn.";
  if (measure === "weights") {
    if (at) return `At the weights of layer ${at} the gradient is ${ratio(10 ** values[at - 1])}.`;
    return `At the weights the gradient is ${ratio(10 ** values[0])} in the first layer, ${
      ratio(10 ** values.at(-1))} in the last.`;
  }
  const i = at ?? 0, x = values[i];
  if (i === depth) return `At the top, ${place(i)}, the gradient is 1: all others are measured by it.`;
  const end = x < -3 ? " It vanishes on its way down." : x > 3 ? " It explodes on its way down." : "";
  return `The gradient ${place(i)} is ${ratio(10 ** x)} times that at the top.${end}`;
}

const SAYS = {
  norm: "Each token’s vector is brought to one size, then scaled.",
  attention: "Each token reads from itself and from earlier tokens. Only here do tokens meet.",
  "feed-forward": "Each token alone: made wider, bent, made narrow again.",
  add: "What the part found is added to what came in. The stream itself passes untouched.",
};

// What a chosen line does; else what a layer and the stack count.
export function told(state, { steps, final }) {
  const step = steps[state.step];
  if (step) {
    const many = step.count ? ` ${exact(step.count)} parameters.` : " No parameters.";
    return `${step.kind}: ${SAYS[step.kind]}${many}`;
  }
  if (!steps.length) return "Nothing is left: what comes in goes out.";
  const one = steps.reduce((sum, { count }) => sum + count, 0), n = state.depth;
  return `${exact(one)} parameters in a layer, ${exact(n * one)} in ${n === 1 ? "1 layer" : `${n} layers`}${
    final ? `, and ${exact(final)} in one more norm at the end` : ""}.`;
}

// All layers of all lines: one row a place.
export function asTable(state, profile) {
  const names = Array.from({ length: state.depth + 1 }, (_, i) => (i ? `layer ${i}` : "embedding"));
  const columns = [...new Set([keyOf(state), ...BASELINES])].filter((key) => profile(key));
  const kinds = ["gradient", "alike", "weights"];
  const heads = columns.flatMap((key, i) => kinds.map((kind) =>
    `${i || BASELINES.includes(key) ? `all, ${key.split(" ")[0]}` : "this layer"}: ${kind}`));
  const values = names.flatMap((_, i) => columns.flatMap((key) => kinds.map((kind) => {
    const found = profile(key), y = found[kind][kind === "weights" ? i - 1 : i];
    return y === undefined ? "" : kind === "alike" ? y : 10 ** y;
  })));
  return { names, columns: heads, values };
}

const MEASURES = [["gradient", "gradient at the states"], ["weights", "gradient at the weights"],
  ["alike", "how alike tokens are"]];
const AXIS = { gradient: "size of the loss’s gradient at the states; the top is 1",
  weights: "size of the loss’s gradient at a layer’s matrices", alike: "mean cosine of two tokens" };

function draw(model, el) {
  const start = model.get("start"), blocks = model.get("blocks"), cache = new Map();
  let state = begin((name) => model.get(name)), waiting = false;
  const profile = (key) => {
    const name = `${key} ${state.depth}`, view = model.get("profiles")[name];
    if (view && !cache.has(name)) cache.set(name, unpacked(view, state.depth));
    return cache.get(name);
  };

  function act(event) {
    state = reduce(state, event);
    const news = SYNCED.filter((name) => model.get(name) !== state[name]);
    news.forEach((name) => model.set(name, state[name]));
    if (news.length) model.save_changes();
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const set = (values) => act({ type: "set", values });

  const switches = SWITCHES.map((name) => {
    const box = h("input", { type: "checkbox", onchange: () => set({ [name]: box.checked }) });
    return Object.assign(h("label", { class: "tl-switch" }, box, name.replace("_", "-")), { box });
  });
  const places = [["pre", "before each part (pre)"], ["post", "after each sum (post)"]]
    .map(([value, text]) => {
      const box = h("input", { type: "radio", name: "place", value, onchange: () => set({ place: value }) });
      return Object.assign(h("label", { class: "tl-switch" }, box, text), { box });
    });
  const { depths } = start, number = h("output", { class: "tl-number" });
  const depth = h("input", { type: "range", min: 0, max: depths.length - 1, step: 1,
    "aria-label": "layers", oninput: () => set({ depth: depths[depth.value] }) });
  const measure = select("Show", MEASURES, state.measure, (to) => act({ type: "measure", to }));
  const again = h("button", { type: "button", onclick: () =>
    set(Object.fromEntries(SYNCED.map((name) => [name, start[name]]))) }, "Start again");

  const picture = h("div", { class: "tl-picture" }), lines = h("ol", { class: "tl-lines" });
  const saidBlock = readout(), saidChart = readout();
  const chart = h("div", { class: "tl-chart", tabindex: 0, role: "slider", "aria-label": "layer of the chart",
    "aria-valuemin": 0,
    onkeydown(event) {
      const to = event.ctrlKey || event.altKey || event.metaKey ? null : moved(state, event.key);
      if (to === null) return;
      act({ type: "cursor", to });
      event.preventDefault();
    },
    onpointerdown: point, onpointermove: (event) => { if (event.buttons) point(event); } });
  function point(event) {
    const box = chart.firstChild.getBoundingClientRect();
    act({ type: "cursor", to: under(((event.clientX - box.left) * CHART.width) / box.width, state) });
  }
  const axis = h("p", { class: "tl-quiet" });
  const { measured: { D, T, seeds }, sizes } = start;

  const note = h("span", { class: "tl-quiet", role: "status" }), below = h("div");
  const tableButton = h("button", { type: "button", "aria-expanded": "false", onclick() {
    tableButton.setAttribute("aria-expanded", String(!below.childElementCount));
    if (below.childElementCount) below.replaceChildren(); else fill();
  } }, "Show as table");
  const cell = (x) => (x === "" ? "" : ratio(x).replace("-", "−"));
  function fill() {
    const { names, columns, values } = asTable(state, profile);
    below.replaceChildren(table("Before training, by layer", names, columns, values,
      (x, _, j) => (x !== "" && columns[j].endsWith("alike") ? x.toFixed(2).replace("-", "−") : cell(x))));
  }
  const csvButton = h("button", { type: "button", async onclick() {
    const { names, columns, values } = asTable(state, profile);
    note.textContent = await copy(csv(names, columns, values, (x) => (x === "" ? "" : x.toPrecision(6))))
      ? "Copied." : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");

  el.append(h("div", { class: "tl-builder" }, start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-row tl-panel", role: "group", "aria-label": "parts" },
      h("span", { class: "tl-quiet" }, "Parts"), ...switches,
      // A form of their own: radios of one name in two forms are two choices.
      h("form", { class: "tl-row tl-panel", onsubmit: (event) => event.preventDefault() },
        h("span", { class: "tl-quiet" }, "The norm stands"), ...places)),
    h("div", { class: "tl-board" },
      h("div", {}, h("div", { class: "tl-layer" }, picture, lines), saidBlock.element),
      h("div", { class: "tl-measured" },
        h("div", { class: "tl-row" }, measure,
          h("label", { class: "tl-row" }, h("span", { class: "tl-quiet" }, "layers"), depth, number)),
        axis, chart, saidChart.element)),
    h("p", { class: "tl-quiet" }, "Choose a box or a line to see what it does; point at the chart, or use its arrow keys, "
      + "to read a layer. Off means: the line is not there. A part takes its norm and its sum with it; without "
      + `the residual its result replaces what came in. Counted at D = ${exact(sizes.D)}, F = ${exact(sizes.F)}. `
      + `Measured before any training on stacks of these layers at D = ${D}, ${T} tokens, ${seeds} seeds, `
      + "weights drawn as the paper’s code did (Glorot)."),
    h("div", { class: "tl-row" }, again, tableButton, csvButton, note), below));

  let drawnKey = "";
  function drawBlock({ steps }) {
    const now = JSON.stringify([keyOf(state), state.step]);
    if (now === drawnKey) return;
    drawnKey = now;
    const choose = (to) => act({ type: "step", to });
    picture.replaceChildren(drawDiagram(steps, state.step, choose));
    const fresh = steps.map((step, i) => h("button", { type: "button",
      "aria-pressed": String(i === state.step), onclick: () => choose(i) },
    h("code", {}, step.line),
    step.count ? h("span", { class: "tl-quiet" }, `${exact(step.count)} parameters`) : null));
    const old = [...lines.querySelectorAll("button")], held = old.indexOf(document.activeElement);
    lines.replaceChildren(h("li", {}, h("code", {}, "def forward(self, states):")), ...fresh.map((button) => h("li", {}, button)),
    h("li", {}, h("code", { class: "tl-return" }, "return states")));
    if (held >= 0) fresh[held]?.focus();
  }

  function show() {
    waiting = false;
    const block = blocks[keyOf(state)], found = profile(keyOf(state));
    switches.forEach(({ box }, i) => { box.checked = state[SWITCHES[i]]; });
    places.forEach(({ box }) => { box.checked = box.value === state.place; box.disabled = !state.norm; });
    depth.value = depths.indexOf(state.depth);
    depth.setAttribute("aria-valuetext", state.depth);
    number.textContent = state.depth;
    drawBlock(block);
    saidBlock.say(told(state, block));
    axis.textContent = AXIS[state.measure];
    chart.classList.toggle("tl-stale", !found);
    const words = sentence(state, found);
    if (found) chart.replaceChildren(drawChart(state, curves(keyOf(state), state.measure, profile)));
    chart.setAttribute("aria-valuemax", state.depth);
    chart.setAttribute("aria-valuenow", state.at ?? 0);
    chart.setAttribute("aria-valuetext", words);
    saidChart.say(words);
    if (below.childElementCount && found) fill();
  }

  const stop = listen(model, { "change:profiles": () => { if (!waiting) requestAnimationFrame(show); waiting = true; },
    ...Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
      if (model.get(name) !== state[name]) set({ [name]: model.get(name) });
    }])) });
  show();
  return stop;
}

export default widget(draw);
