// Training that can be watched: the loss, the held-out numbers, and the cross-attention of one
// number as it forms. Every look at the model is kept, so that the learner can go back in time.
// Everything but `draw` is pure.

import { agreed, cellSentence, drawCrossing, headChoices, headTitle, picked }
  from "./crossing.js";
import { copy, csv, floats, h, linked, listen, probabilities, readout, select, table, widget }
  from "./parts.js";
import { names, visible } from "./tokens.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 280, HIGH = 150, LEFT = 42, RIGHT = 8, TOP = 8, BOTTOM = 18; // units of a chart

export function read(content, history) {
  return { ...content, losses: floats(history.losses), looks: history.steps,
    right: floats(history.right), wrote: history.wrote, weights: probabilities(history.weights),
    words: names(content.source) };
}

// `look` null follows the newest.
export function begin(get) {
  return { attention: get("attention"), look: null, cell: null, table: false };
}

export function reduce(state, event, data) {
  const last = data.looks.length - 1;
  switch (event.type) {
    case "look": return { ...state, look: event.to >= last ? null : Math.max(0, event.to) };
    case "cell": return { ...state, cell: event.cell };
    case "set": return { ...state, ...event.values };
    case "fresh": return { ...state, look: state.look !== null && state.look >= last ? null : state.look };
    default: return state;
  }
}

// One look at the model: its rows for the table of attention, and its numbers.
export function layout(data, state) {
  const look = state.look ?? data.looks.length - 1, { layers, heads } = data;
  const T = data.expected.length, S = data.source.length;
  const rows = data.expected.map((label, t) => ({ label, due: label, truth: data.aligned[t],
    current: state.cell?.row === t,
    weights: picked(data.weights, look * T + t, state.attention, layers, heads, S) }));
  return { look, rows, step: data.looks[look], right: data.right[look], wrote: data.wrote[look],
    good: data.wrote[look] === data.expected.slice(0, -1).join(""), ...agreed(rows) };
}

// "M…L…" through points (x from 0 to `across`, y from 0 to `top`), and where one of them lies.
export function placed(x, y, across, top) {
  return [LEFT + ((WIDE - LEFT - RIGHT) * x) / Math.max(1, across),
    TOP + (HIGH - TOP - BOTTOM) * (1 - y / top)];
}
export function path(points, across, top) {
  return points.map(([x, y], i) => `${i ? "L" : "M"}${placed(x, y, across, top)
    .map((z) => z.toFixed(1)).join(" ")}`).join("");
}

export function left(seconds) {
  if (seconds < 1) return "";
  return seconds < 90 ? `about ${Math.round(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}

// A text that fits into a table; what is copied is whole.
export function brief(text) {
  return visible(text.length > 28 ? `${text.slice(0, 27)}…` : text);
}

// The line beside the progress bar.
export function progress(data, { step, loss, seconds, status }) {
  const share = Math.round(data.right[data.right.length - 1] * data.tested);
  return [`step ${step} of ${data.steps}`, loss === null ? "" : `loss ${loss.toFixed(3)}`,
    `${share} of ${data.tested} held-out numbers right`,
    status === "running" ? left(seconds) : status].filter(Boolean).join(" · ");
}

// What the shown look says; with a cell chosen, that cell.
export function sentence(data, state, view) {
  if (state.cell) return cellSentence(view.rows, data.words, state.cell);
  const when = view.step ? `After step ${view.step}` : "Before the first step";
  const wrote = view.wrote ? `“${view.wrote}”` : "nothing";
  return `${when}, ${data.number} becomes ${wrote}${view.good ? ", which is right" : ""}. `
    + `The largest weight is on the true word for ${view.there} of ${view.places} pieces.`;
}

// One row per look: step, loss, share right, text.
export function log(data) {
  return data.looks.map((step, i) => [step, step ? data.losses[step - 1] : null, data.right[i], data.wrote[i]]);
}

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// A chart over the steps; `update(points, across, top, now)` with points [[x, y], …].
function drawChart(title, ticks, level) {
  const grid = s("g", { class: "tl-chart-grid" }), curve = s("path", { class: "tl-curve" });
  const mark = s("line", { class: "tl-shown", y1: TOP, y2: HIGH - BOTTOM });
  const end = s("text", { class: "tl-curve-end" }), dots = s("g", { class: "tl-dots" });
  const base = s("g", { class: "tl-base" });
  const svg = s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, class: "tl-chart", role: "img" },
    grid, base, mark, curve, dots, end);
  let ruled = "";

  function rule(across, top) {
    if (ruled === `${across} ${top}`) return;
    ruled = `${across} ${top}`;
    const line = (y) => {
      const [x0, at] = placed(0, y, across, top), [x1] = placed(across, y, across, top);
      return s("line", { x1: x0, x2: x1, y1: at, y2: at });
    };
    grid.replaceChildren(...ticks(top).flatMap(([y, text]) => [line(y),
      s("text", { x: LEFT - 5, y: placed(0, y, across, top)[1] + 4, "text-anchor": "end" }, text)]),
    ...[0, across].map((x, i) => s("text", { x: placed(x, 0, across, top)[0], y: HIGH - 4,
      "text-anchor": i ? "end" : "start" }, i ? `step ${x}` : "0")));
    if (level) {
      const [x, y] = placed(across, level.at, across, top);
      base.replaceChildren(line(level.at), s("text", { x, y: y - 4, "text-anchor": "end" }, level.name));
      base.at = y;
    }
  }
  return {
    element: h("figure", {}, h("figcaption", {}, title), svg),
    update(points, across, top, now, words, dotted) {
      rule(across, top);
      curve.setAttribute("d", path(points, across, top));
      svg.setAttribute("aria-label", `${title}: ${words}`);
      const [x] = placed(now, 0, across, top), last = points.at(-1);
      mark.setAttribute("x1", x);
      mark.setAttribute("x2", x);
      dots.replaceChildren(...(dotted ? points.map(([a, b]) => {
        const [cx, cy] = placed(a, b, across, top);
        return s("circle", { cx, cy, r: 2 });
      }) : []));
      end.textContent = last ? words : "";
      if (!last) return;
      const [at, y] = placed(...last, across, top), far = at > WIDE - 60;
      end.setAttribute("x", far ? at : at + 5);
      // The number stands on the curve's side of the level, whose name stands on the other.
      const near = level && Math.abs(y - base.at) < 30, below = near && y >= base.at;
      end.setAttribute("y", below ? y + 16 : Math.max(TOP + 4, y - 7));
      if (level) base.lastChild.setAttribute("y", near && !below ? base.at + 13 : base.at - 4);
      end.setAttribute("text-anchor", far ? "end" : "start");
    },
  };
}

function draw(model, place) {
  const offline = Boolean(model.get("offline"));
  let data = read(model.get("content"), model.get("history"));
  let state = begin((name) => model.get(name)), view = null, waiting = false;
  const group = linked(model, (row) => act({ type: "cell", cell: data.expected[row] === undefined ? null
    : { row, column: Math.max(0, data.aligned[row]) } }, false));

  function act(event, tells = true) {
    const before = state.cell?.row;
    state = reduce(state, event, data);
    if (model.get("attention") !== state.attention) {
      model.set("attention", state.attention);
      model.save_changes();
    }
    if (tells && state.cell && state.cell.row !== before) group.tell(state.cell.row);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const send = (what) => () => { if (!offline) model.send({ do: what }); };
  const button = (text, click) => h("button", { type: "button", onclick: click, disabled: offline }, text);
  const go = button("", () => send(model.get("status") === "running" ? "pause"
    : ["ready", "paused"].includes(model.get("status")) ? "start" : "restart")());
  const halt = button("Stop", send("stop"));
  const bar = h("progress", { max: data.steps, "aria-label": "steps done" });
  const line = h("span", { class: "tl-number" }), note = h("p", { class: "tl-quiet", role: "status" });
  const charts = {
    loss: drawChart("Loss (nats)", (most) => Array.from({ length: Math.floor(most) + 1 }, (_, i) => [i, String(i)]),
      { at: data.ignorant, name: `knows nothing ${data.ignorant.toFixed(2)}` }),
    right: drawChart("Held-out numbers right", () => [[0, "0 %"], [0.5, "50 %"], [1, "100 %"]]),
  };
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Which look at the model",
    oninput: () => act({ type: "look", to: Number(slider.value) }) });
  const when = h("span", { class: "tl-number" });
  const look = select("attention", headChoices(data.layers, data.heads), state.attention,
    (attention) => act({ type: "set", values: { attention } }));
  const grid = drawCrossing((event) => (event.type === "row" ? null : act(event)), "Cross-attention of the example",
    () => state.cell);
  const said = readout(), below = h("div"), copied = h("span", { class: "tl-quiet", role: "status" });
  const tableButton = h("button", { type: "button", "aria-expanded": "false",
    onclick: () => act({ type: "set", values: { table: !state.table } }) }, "Show as table");
  const columns = ["loss", "right", "writes"];
  const csvButton = h("button", { type: "button", async onclick() {
    const rows = log(data), done = await copy(csv(rows.map(([step]) => `step ${step}`), columns,
      rows.flatMap((row) => row.slice(1)), (x) => (typeof x === "number" ? x.toPrecision(6) : x ?? "")));
    copied.textContent = done ? "Copied." : "The browser did not allow copying; show the table and copy from there.";
  } }, "Copy as CSV");
  const title = h("h3", {}, data.title), example = h("h4", {});
  place.append(h("div", { class: "tl-live" }, title,
    h("div", { class: "tl-row" }, go, halt, bar, line), note,
    h("div", { class: "tl-charts" }, charts.loss.element, charts.right.element),
    example,
    h("div", { class: "tl-row" }, h("label", { class: "tl-field tl-time" }, h("span", {}, "look back"), slider), when, look),
    said.element, h("div", { class: "tl-forming" }, grid.element, grid.legend),
    h("div", { class: "tl-row" }, tableButton, csvButton, copied), below));
  title.hidden = !data.title;
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function show() {
    waiting = false;
    view = layout(data, state);
    const get = (name) => model.get(name), status = get("status"), step = get("step");
    const label = { running: "Pause", ready: "Start", paused: "Go on" };
    put(go, label[status] ?? "Back to the first weights");
    // Not `disabled`: that would take the focus away from under the keyboard.
    halt.setAttribute("aria-disabled", String(offline || !["running", "paused"].includes(status)));
    bar.value = step;
    put(line, progress(data, { step, loss: get("loss"), seconds: get("seconds"), status }));
    put(note, offline ? "Training needs the notebook. Here is the course that it took there; look back over it."
      : get("message"));
    // Room for a first loss above that of ignorance, so that the axis stays when training starts.
    const top = Math.max(1.6 * data.ignorant, 1.05 * data.losses.reduce((a, b) => Math.max(a, b), 0));
    const shownLoss = data.losses.length ? data.losses[data.losses.length - 1].toFixed(2) : "not started";
    charts.loss.update([...data.losses].map((y, i) => [i + 1, y]), data.steps, top, view.step, shownLoss, false);
    charts.right.update(data.looks.map((x, i) => [x, data.right[i]]), data.steps, 1.15, view.step,
      `${Math.round(100 * data.right[data.right.length - 1])} %`, true);
    put(example, `${data.number}, ${data.unseen ? "a number that it never saw" : "a number from its training"}`);
    slider.max = data.looks.length - 1;
    slider.value = view.look;
    slider.setAttribute("aria-valuetext", `after step ${view.step}`);
    put(when, `after step ${view.step}`);
    if (look.list.value !== state.attention) look.list.value = state.attention;
    grid.update({ rows: view.rows, source: data.source, cell: state.cell });
    // While it runs, a screen reader is not told of every look.
    if (status !== "running" || state.cell || state.look !== null) said.element.setAttribute("aria-live", "polite");
    else said.element.setAttribute("aria-live", "off");
    said.say(sentence(data, state, view));
    put(tableButton, state.table ? "Hide the table" : "Show as table");
    tableButton.setAttribute("aria-expanded", String(state.table));
    const rows = log(data);
    below.replaceChildren(...(state.table ? [table("Every look at the model", rows.map(([at]) => `step ${at}`), columns,
      rows.flatMap((row) => row.slice(1)), (x) => (typeof x === "number" ? x.toFixed(3) : brief(x ?? "–"))),
    table(`Cross-attention after step ${view.step}, ${headTitle(state.attention)}`, view.rows.map((row) => visible(row.label)),
      data.source.map(visible), view.rows.flatMap((row) => [...row.weights]), (x) => x.toFixed(3))] : []));
  }

  const fresh = () => {
    data = read(model.get("content"), model.get("history"));
    act({ type: "fresh" });
  };
  const again = () => act({ type: "none" });
  const stop = listen(model, { "change:history": fresh, "change:content": fresh,
    ...Object.fromEntries(["status", "step", "loss", "seconds", "message"].map((name) => [`change:${name}`, again])),
    "change:attention": () => act({ type: "set", values: { attention: model.get("attention") } }) });
  show();
  return () => { stop(); group.stop(); };
}

export default widget(draw);
