// The head desk: silence any heads and see at once what the model would have said.

import {
  answerFor, beginDesk, changes, effects, headList, listed, nextTokens, outcome, readAnswers, readDesk, reduceDesk,
  tokenTable, tokenWords, truthWords, withSign,
} from "./answers.js";
import { ownSentence, sentence, shown } from "./attention.js";
import { drawHeads } from "./heads.js";
import { moveCursor } from "./matrix.js";
import { copy, csv, h, linked, listen, reword, readout, select, table, widget } from "./parts.js";
import { short } from "./text.js";
import { visible } from "./tokens.js";
import { drawZoom } from "./zoom.js";

// The tokens with the change of each below: buttons, one tab stop.
function drawStrip(act) {
  const key = h("p", { class: "tl-quiet" }), place = h("div", { class: "tl-words", role: "group",
    "aria-label": "tokens: arrow keys move, Enter chooses", onkeydown: onKey });
  const element = h("section", { class: "tl-strip" }, key, place);
  let data, cells = [];

  function onKey(event) {
    const at = cells.indexOf(event.target.closest("button"));
    if (event.key === "Escape") return act({ type: "choose", cell: null });
    const turned = { ArrowUp: "ArrowLeft", ArrowDown: "ArrowRight" }[event.key] ?? event.key;
    const to = at < 0 ? null : moveCursor({ row: 0, column: at }, turned, 1, cells.length);
    if (!to) return;
    cells[to.column].focus();
    event.preventDefault();
  }
  return {
    element,
    update(next, state) {
      if (next.rowNames.join() !== data?.rowNames.join()) {
        cells = next.rows.map((token, row) => h("button", { type: "button", class: "tl-word",
          onclick: () => act({ type: "choose", cell: { row, column: null } }),
        }, h("span", { class: "tl-token" }, visible(token)),
        h("span", { class: "tl-down", "aria-hidden": "true" })));
        place.replaceChildren(...cells);
      }
      data = next;
      const change = changes(data, answerFor(data, state.silenced)), chosen = state.chosen?.row ?? null;
      let limit = 0.01;
      change?.forEach((x) => { limit = Math.max(limit, Math.abs(x)); });
      reword(key, data.loss
        ? "Change of each token’s loss: orange +, it surprises the model more; blue −, less"
        : "How far each token’s state moves: the more orange, the farther");
      cells.forEach((cell, i) => {
        const x = change?.[i] ?? 0, counted = data.whole.counted[i], span = cell.lastChild;
        const text = counted ? short(x, data.loss) : "–";
        reword(span, text);
        span.style.background = !text || !counted ? "" : `color-mix(in srgb, var(${
          x < 0 ? "--tl-less" : "--tl-more"}) ${Math.round(8 + 42 * Math.abs(x) / limit)}%, transparent)`;
        cell.classList.toggle("tl-is-query", i === chosen);
        cell.setAttribute("aria-label", tokenWords(data, state, i));
        cell.setAttribute("aria-pressed", String(i === chosen));
        cell.tabIndex = i === (chosen ?? 0) ? 0 : -1;
      });
    },
  };
}

// The likeliest next tokens, before and now.
function drawNext() {
  const heading = h("h4", {}), body = h("tbody"), truth = h("p", { class: "tl-quiet" });
  const element = h("section", { class: "tl-next" }, heading, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col", colspan: 2 }, "all heads"),
      h("th", { scope: "col", colspan: 2 }, "now"))), body), truth);
  const pair = (one) => [h("td", { class: "tl-token" }, one ? visible(one.word) + (one.hit ? " ✓" : "") : "…"),
    h("td", {}, one ? gauge(one.share, 1, one.share.toFixed(3)) : "")];
  return {
    element,
    update(data, state) {
      const row = listed(data, state), before = nextTokens(data, data.whole, row);
      element.hidden = !before;
      if (!before) return;
      const answer = answerFor(data, state.silenced), now = nextTokens(data, answer, row);
      reword(truth, truthWords(data, answer, row));
      reword(heading, `What the model expects after ${data.rowNames[row]}`);
      body.replaceChildren(...before.map((one, i) => h("tr", {}, ...pair(one), ...pair(now?.[i]))));
    },
  };
}

// A number with a bar: orange for more, blue for less.
function gauge(x, limit, text) {
  const bar = h("span", { class: "tl-gauge-bar" });
  bar.style.width = `${Math.min(100, 100 * Math.abs(x) / (limit || 1))}%`;
  if (x < 0) bar.classList.add("tl-is-less");
  return h("span", { class: "tl-gauge" }, h("span", { class: "tl-gauge-room", "aria-hidden": "true" }, bar),
    h("span", { class: "tl-number" }, text));
}

// Each head silenced alone, on demand.
function drawAlone(act) {
  const button = h("button", { type: "button", onclick: () => act({ type: "alone" }) });
  const words = h("p", {}), place = h("div"), choice = h("span");
  const box = h("div", { class: "tl-alone" }, h("div", { class: "tl-row" }, choice), words, place);
  let last = {};
  return {
    button, element: box,
    update(data, state) {
      reword(button, state.alone ? "Hide the list" : "Silence each head alone");
      button.setAttribute("aria-expanded", String(state.alone));
      box.hidden = !state.alone;
      if (!state.alone || (last.data === data && last.beside === state.beside)) return;
      last = { data, beside: state.beside };
      const found = effects(data, state.beside);
      if (!found) {
        words.textContent = `Running the model ${data.heads.length} times …`;
        return place.replaceChildren();
      }
      if (!choice.firstChild) {
        choice.append(select("attention score beside it", data.base.map(({ key, name }) => [key, name]),
          state.beside, (beside) => act({ type: "set", values: { beside } })));
      }
      const { beside, order, agreement } = found, most = (key) =>
        Math.max(...order.map((row) => Math.abs(row[key])));
      const what = data.loss ? "change of loss" : "states move by";
      words.textContent = agreement === null ? `All heads have the same ${beside.name}.`
        : `Rank correlation of ${data.loss ? "the change of loss" : "the change"} with ${beside.name}: ${
          withSign(agreement, 2)} over ${order.length} heads. +1 would mean: the ${beside.low ? "more focused"
          : "higher the score of"} a head, the more it matters here. Near 0 the score does not tell.`;
      const [limit, top] = [most("change"), most("score")], name = ([layer, head]) => `layer ${layer} head ${head}`;
      const caption = `Each head silenced alone. Beside it ${beside.name}, the ${beside.meaning}${
        beside.low ? ", small means focused" : ""}`;
      const head = h("tr", {}, h("th", { scope: "col" }, "head"), h("th", { scope: "col" }, what),
        h("th", { scope: "col" }, beside.name));
      place.replaceChildren(h("div", { class: "tl-table", tabindex: 0, role: "region", "aria-label": caption },
        h("table", {}, h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...order.map((row) =>
          h("tr", {}, h("th", { scope: "row" }, name(row.head)),
            h("td", {}, gauge(row.change, limit, data.loss ? withSign(row.change) : row.change.toFixed(3))),
            h("td", {}, gauge(row.score, top, row.score.toFixed(3)))))))));
    },
  };
}

const OURS = ["layer", "head", "pinned", "sort", "silenced"];

function drawDesk(model, place) {
  const get = (name) => model.get(name);
  let data = readDesk(get), state = beginDesk(get), view = shown(data, state), waiting = false;

  function act(event) {
    const before = state;
    state = event.type === "alone" ? { ...state, alone: !state.alone } : reduceDesk(state, event);
    if (event.type === "silence" && state.difference) state = { ...state, difference: false };
    if (event.type === "fresh" || ["layer", "head", "pinned", "difference"].some((name) =>
      state[name] !== before[name])) view = shown(data, state);
    tell();
    const row = state.chosen?.row ?? null;
    if (row !== null && row !== (before.chosen?.row ?? null)) link.tell(row);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const link = linked(model, (row) => {
    if (row in data.rows && row !== state.chosen?.row) act({ type: "choose", cell: { row, column: null } });
  });
  function tell() {
    const values = { query: state.chosen?.row ?? null };
    if (state.alone) values.each_alone = true;
    for (const name of OURS) values[name] = state[name];
    const news = Object.entries(values).filter(([name, value]) =>
      JSON.stringify(model.get(name)) !== JSON.stringify(value));
    news.forEach(([name, value]) => model.set(name, value));
    if (news.length) model.save_changes();
  }

  const now = () => state, silence = (layer, head) => act({ type: "silence", layer, head });
  const grid = drawHeads(act, now, silence), zoom = drawZoom(act, now), strip = drawStrip(act);
  const next = drawNext(), alone = drawAlone(act), own = ownSentence(model);
  const title = h("h3", {}), notice = h("p", { class: "tl-notice" });
  const numbers = h("p", { class: "tl-outcome" }), words = h("p", { class: "tl-words-below" });
  const live = h("div", { role: "status", "aria-live": "polite" }, numbers, words);
  const token = readout(), cell = readout(), note = h("span", { class: "tl-quiet", role: "status" });
  const button = (click) => h("button", { type: "button", onclick: click });
  const one = button(() => silence(state.layer, state.head));
  const layer = button(() => act({ type: "layer", layer: state.layer, count: data.count }));
  const restore = button(() => { act({ type: "restore" }); one.focus(); });
  restore.textContent = "All heads on";
  const switches = h("div", { class: "tl-row tl-switches" }, one, layer, restore, alone.button);
  grid.element.insertBefore(switches, grid.element.lastChild);
  const tableButton = button(() => act({ type: "set", values: { table: !state.table } }));
  const csvButton = button(async () => {
    const answer = answerFor(data, state.silenced);
    const { columns, values } = answer?.tokens ? tokenTable(data, answer) : {};
    const done = columns && await copy(csv(data.rows, columns, values, (x) => (x === null ? "" : x.toFixed(5))));
    note.textContent = done ? `Copied ${data.rows.length} tokens.`
      : columns ? "The browser did not allow copying; show the table and copy from there."
        : "There is no answer to copy yet.";
  });
  csvButton.textContent = "Copy as CSV";
  const below = h("div"), tools = h("div", { class: "tl-row" }, tableButton, csvButton, note);
  const left = h("div", { class: "tl-left" }, grid.element, next.element, alone.element);
  const right = h("div", { class: "tl-right" }, zoom.element, cell.element);
  place.append(h("div", { class: "tl-looking tl-headdesk" }, title, own.element, notice, live, strip.element,
    token.element, h("div", { class: "tl-panels" }, left, right), tools, below));

  function show() {
    waiting = false;
    const tiny = !data.sent.length, said = outcome(data, state);
    reword(title, data.title);
    title.hidden = !data.title;
    notice.hidden = !tiny;
    reword(notice, `This text has ${data.rows.length} tokens; up to ${data.cap} are drawn. `
      + "Heads can be silenced all the same.");
    for (const element of [strip.element, token.element, right, tableButton, csvButton]) element.hidden = tiny;
    const parts = [h("span", {}, said.name), ...said.numbers.map(([name, value]) =>
      h("span", {}, h("b", {}, value), " ", h("span", { class: "tl-quiet" }, name)))];
    const text = parts.map((part) => part.textContent).join("; ");
    if (numbers.said !== text) numbers.replaceChildren(...parts);
    numbers.said = text;
    reword(words, said.words);
    grid.update(data, state);
    const off = state.silenced.some(([a, b]) => a === state.layer && b === state.head);
    const inLayer = state.silenced.filter(([a]) => a === state.layer).length;
    reword(one, `${off ? "Turn on" : "Silence"} layer ${state.layer} head ${state.head}`);
    reword(layer, `${inLayer === data.count ? "Turn on" : "Silence"} all of layer ${state.layer}`);
    restore.disabled = !state.silenced.length;
    next.update(data, state);
    alone.update(data, state);
    if (tiny) return;
    zoom.update(data, state, view);
    strip.update(data, state);
    const row = state.chosen?.row ?? null;
    token.say(row !== null ? tokenWords(data, state, row)
      : data.loss ? "Choose a token to see its loss, and what the model expects after it."
        : "Choose a token to see how far its state moves.");
    const hint = `Weights of the whole model${view.signed ? `; ${view.signs}` : ""}. `
      + "Point at a cell, or use Tab and the arrow keys.";
    cell.say(state.point || state.chosen ? sentence(data, state, view) : hint);
    reword(tableButton, state.table ? "Hide the table" : "Show as table");
    tableButton.setAttribute("aria-expanded", String(state.table));
    const answer = answerFor(data, state.silenced), wanted = state.table && answer?.tokens ? answer : null;
    if (below.shown === wanted) return;
    below.shown = wanted;
    if (!wanted) return below.replaceChildren();
    const { columns, values } = tokenTable(data, answer);
    below.replaceChildren(table(`Each token; silenced: ${headList(state.silenced) || "no head"}`, data.rowNames, columns,
      values, (x, _, j) => (x === null ? "–" : j === 2 ? withSign(x) : x.toFixed(3))));
  }

  const sized = new ResizeObserver(() => zoom.resize(zoom.element.clientWidth));
  sized.observe(place);
  const follow = (name) => () => {
    if (JSON.stringify(model.get(name)) !== JSON.stringify(state[name])) {
      act({ type: "set", values: { [name]: model.get(name) } });
    }
  };
  const refresh = () => { data = readDesk(get); act({ type: "fresh" }); };
  const stop = listen(model, {
    ...Object.fromEntries(OURS.map((name) => [`change:${name}`, follow(name)])),
    "change:query"() {
      const query = model.get("query");
      if (query !== (state.chosen?.row ?? null)) {
        act({ type: "choose", cell: query === null ? null : { row: query, column: null } });
      }
    },
    // The matrices stay: only what the model says is drawn anew.
    "change:result"() {
      data.result = readAnswers(get("result"), data.rows.length).at(0);
      act({ type: "none" });
    },
    "change:whole": refresh, "change:singles": refresh,
    "change:content"() {
      state = { ...beginDesk(get), scale: state.scale, table: state.table, alone: state.alone };
      refresh();
    },
  });
  show();
  return () => { stop(); own.stop(); link.stop(); sized.disconnect(); };
}

export default widget(drawDesk);
