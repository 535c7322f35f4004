// The translator: the decoder piece by piece, what it expects next, and where it looks for it.
// Everything but `draw` is pure.

import { agreed, cellSentence, drawCrossing, headChoices, headTitle, peak, picked }
  from "./crossing.js";
import { copy, csv, floats, h, linked, listen, probabilities, readout, select, table, widget }
  from "./parts.js";
import { names, visible } from "./tokens.js";

const SYNCED = ["step", "width", "beam", "attention"];
const OTHERS = "all others";

// What Python sent for one text, with numbers as typed arrays.
export function read(sentence) {
  return {
    ...sentence, scores: floats(sentence.scores), top: floats(sentence.top),
    logs: floats(sentence.logs), weights: probabilities(sentence.weights),
    words: names(sentence.source), label: (piece) => sentence.names[piece],
  };
}

export function begin(get) {
  return { ...Object.fromEntries(SYNCED.map((name) => [name, get(name)])), cell: null, table: false };
}

const steps = (data, state) => data.beams[state.width - 1];

// The nodes from <start> to this one.
export function pathTo(data, node) {
  const path = [node];
  while (path[0] > 0) path.unshift(data.parents[path[0]]);
  return path;
}

// The same text one or more pieces later or earlier: its likeliest continuation, or its beginning.
// Where a beam was dropped, the likeliest text takes its place.
export function goTo(data, state, to) {
  const all = steps(data, state), last = all.length - 1;
  const aim = Math.min(last, Math.max(0, to));
  let { step, beam } = state;
  while (step !== aim) {
    const node = all[step][beam], ahead = step < aim, next = all[step + (ahead ? 1 : -1)];
    const same = next.indexOf(node);
    const found = ahead ? next.findIndex((n) => data.parents[n] === node)
      : next.indexOf(data.parents[node]);
    beam = Math.max(0, same >= 0 ? same : found);
    step += ahead ? 1 : -1;
  }
  return { ...state, step, beam, cell: null };
}

export function reduce(state, event, data) {
  switch (event.type) {
    case "go": return goTo(data, state, event.to);
    case "row": return goTo(data, state, event.row);
    case "by": return goTo(data, state, state.step + event.by);
    case "end": return goTo(data, state, Infinity);
    case "width": {
      const all = data.beams[event.width - 1], step = Math.min(state.step, all.length - 1);
      return { ...state, width: event.width, step, beam: 0, cell: null };
    }
    case "beam": return { ...state, beam: event.beam, cell: null };
    case "cell": return { ...state, cell: event.cell };
    case "sentence": return { ...state, step: 0, beam: 0, cell: null };
    case "set": {
      const next = { ...state, ...event.values }, all = data.beams[next.width - 1];
      next.step = Math.min(next.step, all.length - 1);
      next.beam = Math.min(next.beam, all[next.step].length - 1);
      return next;
    }
    default: return state;
  }
}

// Everything that is shown, in numbers and words.
export function layout(data, state, { layers, heads }) {
  const all = steps(data, state), here = all[state.step], node = here[state.beam];
  const path = pathTo(data, node), ended = data.pieces[node] === data.end;
  const row = data.rows[node], S = data.source.length, stopped = !ended && row < 0;
  const next = all[state.step + 1] ?? [];
  const kept = new Set(next.filter((n) => data.parents[n] === node).map((n) => data.pieces[n]));
  const chosen = next.find((n) => data.parents[n] === node);
  const expects = row < 0 || ended ? [] : Array.from({ length: data.shown }, (_, i) => {
    const piece = data.top[row * data.shown + i], log = data.logs[row * data.shown + i];
    return { name: data.label(piece), p: Math.exp(log), log, kept: kept.has(piece) };
  });
  const written = path.slice(1).map((n) => data.label(data.pieces[n]));
  const target = data.expected && [...data.expected, data.names[data.end] ?? "<end>"];
  let same = Boolean(target);
  const rows = Array.from({ length: all.length - 1 }, (_, t) => {
    const at = path[t], shown = at !== undefined && data.rows[at] >= 0 && (t < written.length
      || !ended);
    const label = written[t] ?? (shown ? data.label(data.pieces[chosen]) ?? "?" : "");
    const truth = shown && same ? data.aligned[t] ?? -1 : -1; // until the text goes wrong
    const due = truth < 0 ? null : visible(target[t]);
    if (same && written[t] !== target[t]) same = false;
    return { label, truth, due, current: shown && t === written.length,
      weights: shown ? picked(data.weights, data.rows[at], state.attention, layers, heads, S) : null };
  });
  const now = rows.find((each) => each.current);
  const pieces = ended ? written.slice(0, -1) : written;
  const right = ended && data.expected
    ? JSON.stringify(pieces) === JSON.stringify(data.expected) : null;
  return {
    node, ended, stopped, expects, written: pieces, rows, now, right, next: now?.label ?? null,
    dropped: !ended && !stopped && chosen === undefined,
    rest: ended || !expects.length ? 0 : Math.max(0, 1 - expects.reduce((sum, { p }) => sum + p, 0)),
    sure: path.slice(1).map((n) => ({ name: data.label(data.pieces[n]), kept: true,
      p: Math.exp(data.scores[n] - data.scores[data.parents[n]]) })),
    score: data.scores[node], last: all.length - 1, ...agreed(rows),
    beams: here.map((n) => {
      const text = pathTo(data, n).slice(1).map((m) => data.label(data.pieces[m]));
      const done = data.pieces[n] === data.end;
      return { text: done ? text.slice(0, -1) : text, score: data.scores[n], done };
    }),
  };
}

// "0.412"; what rounds to 0 or 1 without being so says so.
export function chance(p) {
  if (p > 0 && p < 0.0005) return "<0.001";
  return p < 1 && p >= 0.9995 ? ">0.999" : p.toFixed(3);
}
export const logged = (x) => x.toFixed(3).replace("-", "−").replace("−0.000", "0.000");
const joined = (pieces) => pieces.map(visible).join("·");

// The sentence that reads out a cell, or this step.
export function sentence(data, state, view) {
  if (state.cell) return cellSentence(view.rows, data.words, state.cell);
  const agrees = view.places ? ` The largest weight was on the true word for ${view.there} of `
    + `${view.places} pieces.` : "";
  if (view.ended) {
    const verdict = view.right === null ? "" : view.right ? " That is right."
      : ` That is wrong: it should be “${data.expected.join("")}”.`;
    return `“${view.written.join("")}” is complete, with probability `
      + `${chance(Math.exp(view.score))}.${verdict}${agrees}`;
  }
  if (view.stopped) return `It has not ended after ${state.step} pieces, so it is stopped here.`;
  const after = view.written.length ? `After “${joined(view.written)}”` : "At the start";
  if (view.dropped) {
    return `${after} it expects “${visible(view.expects[0].name)}”, but all its continuations are `
      + "less likely than the other beams. The search drops it here.";
  }
  const first = view.expects.find(({ name }) => name === view.next), { weights, truth } = view.now;
  const best = peak(weights), due = view.now.due === visible(view.next) ? "" : ` for “${view.now.due}”`;
  const known = truth < 0 ? "" : truth === best ? `, the true word${due}`
    : `; the true word${due} is ${data.words[truth]}`;
  return `${after} it writes “${visible(view.next)}”${first ? ` with probability ${chance(first.p)}`
    : ""} and looks most at ${data.words[best]} (${weights[best].toFixed(3)})${known}.`;
}

export function asCsv(data, view, format = (x) => x.toFixed(5)) {
  const rows = view.rows.filter((row) => row.weights);
  return csv(rows.map((row, t) => `${t + 1} ${row.label}`), data.source,
    rows.flatMap((row) => [...row.weights]), format);
}

function draw(model, place) {
  const content = model.get("content"), offline = Boolean(model.get("offline"));
  let data = read(model.get("sentence")), state = begin((name) => model.get(name)), view = null;
  let waiting = false;
  const group = linked(model, (index) => act({ type: "go", to: index }, false));

  function act(event, tells = true) {
    const before = state.step;
    state = reduce(state, event, data);
    const news = SYNCED.filter((name) => model.get(name) !== state[name]);
    news.forEach((name) => model.set(name, state[name]));
    if (news.length) model.save_changes();
    if (tells && state.step !== before) group.tell(state.step);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }

  const button = (text, click, more = {}) => h("button", { type: "button", onclick: click, ...more }, text);
  const own = ownText(model, content, offline);
  const english = h("span", { class: "tl-strip", role: "group" });
  const german = h("span", { class: "tl-strip", role: "group", "aria-label": "Pieces written; press one to go back to it" });
  const coming = h("span", { class: "tl-token tl-next" });
  const start = button("Start", () => act({ type: "go", to: 0 }));
  const back = button("Back", () => act({ type: "by", by: -1 }));
  const forward = button("Next piece", () => act({ type: "by", by: 1 }), { class: "tl-main" });
  const end = button("To the end", () => act({ type: "end" }));
  const count = h("span", { class: "tl-quiet tl-number" });
  const widths = select("search", [["1", "greedy"], ["2", "2 beams"], ["3", "3 beams"], ["4", "4 beams"]],
    String(state.width), (value) => act({ type: "width", width: Number(value) }));
  const look = select("attention", headChoices(content.layers, content.heads), state.attention,
    (value) => act({ type: "set", values: { attention: value } }));
  const said = readout(), bars = h("div", { class: "tl-expects" });
  const beams = h("ol", { class: "tl-beams" }), grid = drawCrossing(act, "Cross-attention", () => state.cell);
  const barsTitle = h("h4", {}), gridTitle = h("h4", {}), beamsTitle = h("h4", {});
  const note = h("span", { class: "tl-quiet", role: "status" }), below = h("div");
  const tableButton = button("Show as table", () => act({ type: "set", values: { table: !state.table } }),
    { "aria-expanded": "false" });
  const csvButton = button("Copy as CSV", async () => {
    const done = await copy(asCsv(data, view));
    note.textContent = done ? "Copied." : "The browser did not allow copying; show the table and copy from there.";
  });
  place.append(h("div", { class: "tl-translator" },
    content.title ? h("h3", {}, content.title) : null, own.element,
    h("div", { class: "tl-lines" }, h("span", { class: "tl-quiet" }, "reads"), english,
      h("span", { class: "tl-quiet" }, "writes"), h("span", { class: "tl-strip" }, german, coming)),
    h("div", { class: "tl-row" }, start, back, forward, end, count, widths),
    said.element,
    h("div", { class: "tl-two" },
      h("section", {}, barsTitle, bars, beamsTitle, beams),
      h("section", {}, h("div", { class: "tl-row" }, gridTitle, look), grid.element, grid.legend)),
    h("div", { class: "tl-row" }, tableButton, csvButton, note), below));

  // Children are kept where they can be: a focused button must not vanish under the keyboard.
  function fit(parent, number, make) {
    while (parent.children.length < number) parent.append(make(parent.children.length));
    while (parent.children.length > number) parent.lastChild.remove();
    return [...parent.children];
  }
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };

  function lines() {
    english.setAttribute("aria-label", "Words that are read, with the weight on each");
    fit(english, data.source.length, () => h("span", { class: "tl-lit" }, h("span"), h("span", { class: "tl-token" })))
      .forEach((word, s) => {
        const weight = view.now?.weights[s] ?? 0;
        put(word.firstChild, view.now ? weight.toFixed(2) : "");
        put(word.lastChild, visible(data.source[s]));
        word.style.setProperty("--tl-light", `${Math.round(100 * weight)}%`);
        word.classList.toggle("tl-target", view.now?.truth === s);
      });
    fit(german, view.written.length, (i) => button("", () => act({ type: "go", to: i }), { class: "tl-token tl-piece" }))
      .forEach((piece, i) => put(piece, visible(view.written[i])));
    coming.hidden = view.ended;
    put(coming, view.stopped ? "…" : "?");
  }

  function expects() {
    put(barsTitle, view.ended ? "How likely each piece was" : "What it expects next");
    const rows = (view.ended ? view.sure : view.expects).map(({ name, p, kept }) => [visible(name), p, kept]);
    if (view.rest) rows.push([OTHERS, view.rest, false]);
    bars.replaceChildren(...rows.map(([name, p, kept], i) => h("div",
      { class: `tl-expect${kept ? " tl-kept" : ""}${name === OTHERS ? " tl-others" : ""}` },
      h("span", { class: "tl-token" }, name), h("span", { class: "tl-track" }, (() => {
        const bar = h("span");
        bar.style.width = `${100 * p}%`;
        return bar;
      })()), h("span", { class: "tl-number" }, chance(p)),
      h("span", { class: "tl-mark" }, kept && !view.ended ? state.width === 1 ? "chosen" : "kept" : ""))));
    put(beamsTitle, view.beams.length === 1 ? "The text and its log-probability"
      : `The ${view.beams.length} beams and their log-probabilities`);
    beams.style.minHeight = `${31 * state.width}px`;
    fit(beams, view.beams.length, (i) => h("li", {}, button("", () => act({ type: "beam", beam: i }), { class: "tl-beam" }),
      h("span", { class: "tl-number" }), h("span", { class: "tl-quiet" })))
      .forEach((item, i) => {
        const { text, score, done } = view.beams[i], [one, number, mark] = item.children;
        put(one, text.length ? text.map(visible).join("") : "(nothing yet)");
        one.setAttribute("aria-pressed", String(i === state.beam));
        put(number, logged(score));
        put(mark, done ? "ended" : "");
      });
  }

  function show() {
    waiting = false;
    view = layout(data, state, content);
    lines();
    expects();
    grid.update({ rows: view.rows, source: data.source, cell: state.cell });
    put(gridTitle, "Where it looks");
    put(count, `piece ${state.step} of ${view.last}`);
    // Not `disabled`: that would take the focus away from under the keyboard.
    for (const [one, off] of [[start, !state.step], [back, !state.step],
      [forward, state.step === view.last], [end, state.step === view.last]]) {
      one.setAttribute("aria-disabled", String(off));
    }
    if (widths.list.value !== String(state.width)) widths.list.value = String(state.width);
    if (look.list.value !== state.attention) look.list.value = state.attention;
    said.say(sentence(data, state, view));
    put(tableButton, state.table ? "Hide the table" : "Show as table");
    tableButton.setAttribute("aria-expanded", String(state.table));
    const rows = view.rows.filter((row) => row.weights);
    below.replaceChildren(...(state.table ? [table(`Cross-attention, ${headTitle(state.attention)}: rows are pieces, columns are words`,
      rows.map((row) => visible(row.label)), data.source.map(visible), rows.flatMap((row) => [...row.weights]),
      (x) => x.toFixed(3))] : []));
  }

  const stop = listen(model, {
    ...Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
      if (model.get(name) === state[name]) return;
      act({ type: "set", values: { [name]: model.get(name) } });
    }])),
    "change:sentence"() {
      data = read(model.get("sentence"));
      act({ type: "sentence" });
    },
  });
  show();
  return () => { stop(); own.stop(); group.stop(); };
}

// The box for a number or words; a page without a kernel knows the texts that it carries.
function ownText(model, content, offline) {
  const embedded = model.get("embedded") ?? {};
  const box = h("input", { type: "text", value: model.get("text"), "aria-label": "A number, or its English words",
    placeholder: "A number, or its English words" });
  const note = h("p", { class: "tl-quiet", role: "status" });
  const ask = (text) => {
    const wanted = text.trim(), known = Object.keys(embedded).find((key) => key.toLowerCase() === wanted.toLowerCase());
    box.value = text;
    if (known) {
      note.textContent = "";
      model.set("text", known);
      return model.set("sentence", embedded[known]);
    }
    if (offline) {
      note.textContent = `This page carries no model. It knows ${content.examples.join(", ")}.`;
      return;
    }
    if (wanted === model.get("text") && !model.get("message")) return;
    note.textContent = "Translating … (a notebook that runs other cells answers when they are done)";
    model.set("message", "");
    model.set("text", wanted);
    model.save_changes();
  };
  const submit = (event) => { event.preventDefault(); ask(box.value); };
  box.addEventListener("keydown", (event) => { if (event.key === "Enter") submit(event); });
  const tries = content.examples.map((text) => h("button", { type: "button", onclick: () => ask(text) }, text));
  const answer = () => { note.textContent = model.get("message"); };
  const stop = listen(model, { "change:message": answer, "change:sentence": answer,
    "change:text": () => { if (box.value.trim() !== model.get("text")) box.value = model.get("text"); } });
  answer();
  return { stop, element: h("form", { class: "tl-own", onsubmit: submit },
    h("div", { class: "tl-row" }, box, h("button", { type: "submit" }, "Translate"),
      tries.length ? h("span", { class: "tl-quiet" }, "or try") : null, ...tries), note) };
}

export default widget(draw);
