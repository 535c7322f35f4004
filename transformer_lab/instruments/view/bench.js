// The Q/K/V bench: one query among a few keys, and every number on the way to the output.
// Everything but `draw` is pure.

import { brief, dot, mixed, point, sentence, shadow, vector } from "./mix.js";
import { copy, csv, h, listen, mailbox, reword, readout, widget } from "./parts.js";
import { drawPlane, hull, room } from "./plane.js";
import { drawSteps, drawSums } from "./sums.js";

const SYNCED = ["query", "key", "value", "temperature", "scale"];
const LIMIT = 1e6; // as in bench.py

// A number set by hand: whole hundredths, so that what is written out is what is multiplied.
const tidy = (x) => Math.round(100 * Math.min(LIMIT, Math.max(-LIMIT, x))) / 100 + 0;

// The view's state. `chosen` is 0 for the query, i + 1 for key i and its value; `step` 1 to 5 is
// how far the arithmetic is shown; `rooms` is how far the two planes reach.
export function begin(get) {
  const numbers = Object.fromEntries(SYNCED.map((name) => [name, get(name)]));
  return settled({ ...numbers, chosen: 0, step: 5, rooms: { key: 0, value: 0 } });
}

function settled(state) {
  const rooms = { key: room([...state.query, ...state.key.flat()], state.rooms.key),
    value: room(state.value.flat(), state.rooms.value) };
  const same = rooms.key === state.rooms.key && rooms.value === state.rooms.value;
  return same ? state : { ...state, rooms };
}

// The chosen arrow's numbers in a plane: "key" also holds the query.
export function held(state, plane, index) {
  if (plane === "value") return index ? vector(state.value[index - 1]) : null;
  return index ? state.key[index - 1] : state.query;
}

function moved(state, plane, index, to) {
  const numbers = to.map(tidy);
  const put = (list, x) => list.map((old, i) => (i === index - 1 ? x : old));
  if (plane === "key" && index === 0) return { ...state, query: numbers };
  if (plane === "key") return { ...state, key: put(state.key, numbers) };
  const scalar = !Array.isArray(state.value[0]);
  return { ...state, value: put(state.value, scalar ? numbers[0] : numbers) };
}

export function reduce(state, event) {
  switch (event.type) {
    case "choose":
      return { ...state, chosen: event.index };
    case "drag": {
      const { plane, index } = event, flat = held(state, plane, index).length === 1;
      return moved(state, plane, index, flat ? event.to.slice(1) : event.to);
    }
    case "drop":
      return settled(state);
    case "nudge": {
      const { plane, index, by } = event, old = held(state, plane, index);
      if (!old) return state;
      const step = old.length === 1 ? by.slice(1) : by;
      return settled(moved(state, plane, index, old.map((x, i) => x + step[i])));
    }
    case "type": {
      const old = held(state, event.plane, event.index);
      return settled(moved(state, event.plane, event.index,
        old.map((x, i) => (i === event.axis ? event.value ?? x + event.by : x))));
    }
    case "try":
      return settled({ ...state, ...TRIES[event.name].change(state, event.start) });
    case "step":
      return { ...state, step: event.to };
    case "set":
      return settled({ ...state, ...event.values });
    default:
      return state;
  }
}

// What the buttons do; "Start again" goes back to what Python gave.
export const TRIES = {
  dictionary: { label: "Dictionary (one-hot)", change({ key: keys }) {
    const round = keys.map((_, i) => {
      const angle = Math.PI / 2 - (2 * Math.PI * i) / keys.length;
      return [tidy(Math.cos(angle)), tidy(Math.sin(angle))];
    });
    return { key: round, query: round[0], temperature: 0.01, scale: 1 };
  } },
  same: { label: "Two keys the same", change({ key: keys }) {
    return { key: [keys[0], keys[0], ...keys.slice(2)] };
  } },
  between: { label: "Query between two keys", change({ query, key: [a, b] }) {
    // Equal scores need q·(a − b) = 0: the query stands at a right angle to the difference.
    const apart = [a[0] - b[0], a[1] - b[1]], sum = [a[0] + b[0], a[1] + b[1]];
    let way = apart.some(Boolean) ? [-apart[1], apart[0]] : a.some(Boolean) ? a : [1, 0];
    if (dot(way, sum) < 0) way = way.map((x) => -x);
    const long = (Math.hypot(...query) || 1) / Math.hypot(...way);
    return { query: way.map((x) => x * long + 0) };
  } },
  doubled: { label: "Query doubled", change({ query }) {
    return { query: query.map((x) => Math.min(LIMIT, Math.max(-LIMIT, 2 * x))) };
  } },
  reset: { label: "Start again", change: (_, start) =>
    Object.fromEntries(SYNCED.map((name) => [name, start[name]])) },
};

// "ArrowUp" with or without Shift -> the move it stands for, or null.
export function stride(key, fine) {
  const by = fine ? 0.01 : 0.1;
  const ways = { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowDown: [0, -by], ArrowUp: [0, by] };
  return ways[key] ?? null;
}

// What the two planes draw.
export function layout(state, names, m) {
  const shares = state.step >= 4 ? m.weights : m.weights.map(() => 1 / names.length);
  const [q, v] = [state.rooms.key, state.rooms.value], long = dot(state.query, state.query);
  const chosen = state.chosen && long ? state.key[state.chosen - 1] : null;
  const along = chosen && dot(state.query, chosen) / long;
  const output = state.step === 5 ? m.output : null, flat = m.output.length === 1;
  const slot = (i) => (i + 1) / (names.length + 1);
  const points = state.value.map((value, i) => (flat ? [slot(i), value] : value));
  const low = Math.min(0, ...state.value.flat()), high = Math.max(0, ...state.value.flat());
  const [bottom, top] = [low < 0 || !high ? -v : -v / 12, high > 0 || !low ? v : v / 12];
  const lowest = Math.min(...state.value.flat()), highest = Math.max(...state.value.flat());
  return {
    key: {
      frame: { left: -q, right: q, bottom: -q, top: q }, chosen: state.chosen,
      items: [{ name: "q", at: state.query, role: "query", width: 2.5, kind: "arrow" },
        ...names.map((name, i) => ({ name, at: state.key[i], role: "key", kind: "arrow",
          width: 1.5 + 5 * shares[i] }))],
      hull: null, output: null, shadow: chosen && [chosen, state.query.map((x) => x * along)],
    },
    value: {
      frame: flat ? { left: 0, right: 1, bottom, top, slots: true }
        : { left: -v, right: v, bottom: -v, top: v },
      chosen: state.chosen - 1, weights: m.weights, shadow: null,
      items: names.map((name, i) => ({ name, at: points[i], role: "value", width: 5 * shares[i],
        kind: flat ? "slot" : "point" })),
      hull: !flat ? hull(points) : [[0, lowest], [1, lowest], [1, highest], [0, highest]],
      output: output && (flat ? [0, output[0]] : output),
    },
  };
}

// Where the output must lie, in words.
export function place(values) {
  const corners = hull(values.map((value) => [...vector(value), 0].slice(0, 2))).length;
  if (corners === 1) return "at the one point where all values are";
  if (!Array.isArray(values[0])) return "between the lowest and the highest value";
  return { 2: "on the line between the values", 3: "inside the triangle of the values" }[corners]
    ?? "inside the shaded area between the values";
}

function draw(model, el) {
  const start = model.get("start"), { names } = start;
  let state = begin((name) => model.get(name)), waiting = false;

  function act(event) {
    state = reduce(state, event);
    tell(state);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const { tell, send } = mailbox(model, SYNCED);

  const move = (plane, index) => (event) => {
    const by = stride(event.key, event.shiftKey);
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    act({ type: "nudge", plane, index: index ?? state.chosen, by });
    event.preventDefault();
  };
  const hand = (plane, label, first) => drawPlane(label, {
    take: (index) => act({ type: "choose", index: index + first }),
    drag: (index, to) => act({ type: "drag", plane, index: index + first, to }),
    drop: () => act({ type: "drop" }), key: move(plane),
  });
  const planes = {
    key: hand("key", "Query and keys: arrow keys move the chosen arrow, with Shift by 0.01", 0),
    value: hand("value", "Values: arrow keys move the value of the chosen key", 1),
  };
  const notes = { key: h("p", { class: "tl-quiet" }), value: h("p", { class: "tl-quiet" }) };
  const figure = (plane, ...title) => h("figure", {}, h("figcaption", {}, ...title),
    planes[plane].element, notes[plane]);
  const role = (name, text) => h("span", { class: `tl-${name}-ink` }, text);

  const chips = ["query", ...names].map((name, index) => h("button", {
    type: "button", class: `tl-chip tl-${index ? "key" : "query"}-ink`,
    "aria-label": index ? `key ${name}` : "query", onkeydown: move("key", index),
    onfocus: () => act({ type: "choose", index }), onclick: () => act({ type: "choose", index }),
  }, name));
  const tries = Object.entries(TRIES).map(([name, { label }]) => h("button", { type: "button",
    onclick: () => act({ type: "try", name, start }) }, label));

  const cold = h("input", { type: "range", min: -2, max: 2, step: 0.02,
    oninput() {
      const temperature = Number((10 ** cold.value).toPrecision(3));
      act({ type: "set", values: { temperature } });
    } });
  const degrees = h("output", { class: "tl-number" });
  const factor = h("input", { type: "number", min: 0, max: 100, step: 0.1, class: "tl-cell",
    oninput() {
      const scale = factor.valueAsNumber;
      if (scale >= 0 && scale <= 100) act({ type: "set", values: { scale } });
    },
    onchange: () => { factor.value = state.scale; } });
  const knobs = h("div", { class: "tl-knobs" },
    h("label", {}, h("span", { class: "tl-row" }, "temperature", degrees), cold),
    h("div", { class: "tl-ends tl-quiet", "aria-hidden": "true" },
      h("span", {}, "0.01 picks one"), h("span", {}, "100 averages all")),
    h("label", { class: "tl-row" }, "scale", factor));

  const said = readout(), note = h("span", { class: "tl-quiet", role: "status" });
  const steps = drawSteps(act), sums = drawSums(act, names, Array.isArray(start.value[0]));
  const csvButton = h("button", { type: "button", async onclick() {
    const done = await copy(asCsv(names, state, mixed(state)));
    note.textContent = done ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");

  el.append(h("div", { class: "tl-bench" },
    start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-desk" },
      figure("key", role("query", "query"), " and ", role("key", "keys"), ": compared"),
      figure("value", role("value", "values"), " and ", role("output", "output"), ": handed over"),
      h("div", { class: "tl-side" },
        h("p", { class: "tl-quiet" }, "Drag an arrow or a value. Or choose one here and press "
          + "arrow keys; Shift moves finer."),
        h("div", { class: "tl-row", role: "group", "aria-label": "arrow" }, ...chips),
        h("div", { class: "tl-row", role: "group", "aria-label": "situations to try" },
          h("span", { class: "tl-quiet" }, "Try"), ...tries), knobs)),
    said.element, steps.element, sums.element, h("div", { class: "tl-row" }, csvButton, note)));

  function show() {
    waiting = false;
    const m = mixed(state), drawn = layout(state, names, m);
    planes.key.update(drawn.key);
    planes.value.update(drawn.value);
    chips.forEach((chip, i) => chip.setAttribute("aria-pressed", String(i === state.chosen)));
    reword(notes.key, state.chosen
      ? shadow(names[state.chosen - 1], state.query, state.key[state.chosen - 1])
      : "A key that points the query’s way scores high; at a right angle, 0.");
    reword(notes.value, `The output always lies ${place(state.value)}.`);
    const log = Math.log10(state.temperature);
    if (Math.abs(cold.value - log) > 0.011) cold.value = log;
    cold.setAttribute("aria-valuetext", brief(state.temperature));
    reword(degrees, brief(state.temperature));
    if (!factor.matches(":focus")) factor.value = state.scale;
    steps.update(state, m, names);
    sums.update(state, m);
    said.say(sentence(names, state, m));
  }

  const stop = listen(model, Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
    if (JSON.stringify(model.get(name)) === JSON.stringify(state[name])) return;
    act({ type: "set", values: { [name]: model.get(name) } });
  }])));
  show();
  return () => { stop(); send(); };
}

// One line a key, full precision, and the sums below.
export function asCsv(names, state, m) {
  const axes = (name) => (m.output.length === 1 ? [name] : [`${name} x`, `${name} y`]);
  const columns = ["key x", "key y", "score", "exponent", "weight", ...axes("value"),
    ...axes("weight × value")];
  const rows = names.flatMap((_, i) => [...state.key[i], m.scores[i], m.logs[i], m.weights[i],
    ...vector(state.value[i]), ...m.products[i]]);
  const sum = [...["", "", "", "", 1], ...m.output.map(() => ""), ...m.output];
  return csv([...names, "sum"], columns, [...rows, ...sum],
    (x) => (typeof x === "number" ? String(Number(x.toPrecision(9))) : x));
}

export default widget(draw);
