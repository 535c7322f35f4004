// The position explorer: how a model is told the order of its tokens, one question a tab.
// Everything but `draw` is pure.

import { fixed } from "./mix.js";
import { copy, csv, h, linked, listen, mailbox, readout, table, widget } from "./parts.js";
import { asTable, placed, told } from "./position_sums.js";
import { PICTURES } from "./position_tabs.js";

const SYNCED = ["tab", "width", "base", "position", "other", "cosine", "heads", "head", "order",
  "query", "key"]; // as in position_explorer.py

export const TABS = {
  waves: ["Waves", "What is added at each position?"],
  distance: ["Distance", "How alike are two positions?"],
  hands: ["Clock hands", "What stays when query and key both move?"],
  slopes: ["Slopes", "What does distance cost each head?"],
  move: ["Move a word", "What changes when a word changes its place?"],
};

// The view's state: what is synced, the column pointed at, and in `moved` what the hand moved
// last: {what: "query" | "key" | "both", position, other}, with the two places before.
export function begin(get) {
  return settled({ ...Object.fromEntries(SYNCED.map((name) => [name, get(name)])), column: 5,
    moved: null, length: get("content").length, tokens: get("content").tokens.length });
}

const kept = (x, most) => Math.min(most, Math.max(0, Math.round(x)));

function settled(state) {
  return { ...state, column: kept(state.column, state.width - 1),
    position: kept(state.position, state.length - 1), other: kept(state.other, state.length - 1),
    head: kept(state.head, state.heads - 1) };
}

function gone(state, { what, to }) {
  const { position, other, moved, length } = state;
  const start = moved?.what === what ? moved : { what, position, other };
  if (what !== "both") {
    const name = what === "query" ? "position" : "other";
    return { ...state, [name]: kept(to, length - 1), moved: start };
  }
  const low = Math.min(position, other), by = kept(to, length - 1 - Math.abs(position - other)) - low;
  return { ...state, position: position + by, other: other + by, moved: start };
}

export function reduce(state, event) {
  switch (event.type) {
    case "tab":
      return { ...state, tab: event.to, moved: null };
    case "set":
      return settled({ ...state, ...event.values, moved: null });
    case "point":
      return settled({ ...state, position: event.row, column: event.column, moved: null });
    case "go":
      return gone(state, event);
    case "apart": {
      const far = kept(event.to, state.length - 1), position = Math.max(state.position, far);
      return { ...state, position, other: position - far, moved: null };
    }
    case "place":
      return { ...state, order: placed(state.order, event.id, event.to) };
    case "choose": // the key becomes the query: the two change roles
      return { ...state, query: event.id, key: event.id === state.key ? state.query : state.key };
    case "key":
      return { ...state, key: event.id, query: event.id === state.query ? state.key : state.query };
    case "hear": // a token chosen elsewhere on the page
      return { ...state, moved: null, position: kept(event.index, state.length - 1),
        query: event.index < state.tokens ? event.index : state.query };
    default:
      return state;
  }
}

function draw(model, el) {
  const content = model.get("content"), tabs = content.tabs;
  let state = begin((name) => model.get(name)), waiting = false, open = false;

  function act(event) {
    const before = state;
    state = reduce(state, event);
    tell(state);
    const index = state.tab === "move" ? state.query : state.position;
    const was = state.tab === "move" ? before.query : before.position;
    if (index !== was && index < state.tokens && event.type !== "hear") link.tell(index);
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  const link = linked(model, (index) => act({ type: "hear", index }));
  const { tell, send } = mailbox(model, SYNCED);

  const buttons = tabs.map((tab) => h("button", { type: "button", role: "tab",
    onclick: () => act({ type: "tab", to: tab }),
    onkeydown(event) {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const to = { Home: 0, End: tabs.length - 1 }[event.key]
        ?? (step && (tabs.indexOf(tab) + step + tabs.length) % tabs.length);
      if (to === undefined) return;
      act({ type: "tab", to: tabs[to] });
      buttons[to].focus();
      event.preventDefault();
    } }, TABS[tab][0]));
  const list = h("div", { class: "tl-tabs", role: "tablist", "aria-label": "questions" }, ...buttons);
  const question = h("h4", {}), panel = h("div", {});
  const pictures = {}, said = readout(), note = h("span", { class: "tl-quiet", role: "status" });
  const below = h("div");
  const asRows = h("button", { type: "button", "aria-expanded": "false", onclick() {
    open = !open;
    show();
  } }, "Show as table");
  const asText = h("button", { type: "button", async onclick() {
    const { rows, columns, values } = asTable(state, content);
    const text = csv(rows, columns, values, (x) => (x === "" ? x : String(Number(x.toPrecision(9)))));
    note.textContent = await copy(text) ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  const again = h("button", { type: "button",
    onclick: () => act({ type: "set", values: content.start }) }, "Start again");
  el.append(h("div", { class: "tl-places" }, content.title ? h("h3", {}, content.title) : null,
    tabs.length > 1 ? list : null,
    h("section", { role: tabs.length > 1 ? "tabpanel" : "group" }, question, panel, said.element),
    h("div", { class: "tl-row" }, again, asRows, asText, note), below));

  function show() {
    waiting = false;
    const { tab } = state, picture = pictures[tab] ??= PICTURES[tab](act, content, () => state);
    if (pictures.shown !== tab) {
      panel.replaceChildren(picture.element);
      pictures.shown = tab;
      question.textContent = TABS[tab][1];
      panel.parentElement.setAttribute("aria-label", TABS[tab][0]);
      buttons.forEach((button, i) => {
        button.setAttribute("aria-selected", String(tabs[i] === tab));
        button.tabIndex = tabs[i] === tab ? 0 : -1;
      });
    }
    picture.update(state);
    said.say(told(state, content));
    asRows.textContent = open ? "Hide the table" : "Show as table";
    asRows.setAttribute("aria-expanded", String(open));
    if (open) {
      const { title, rows, columns, values } = asTable(state, content);
      below.replaceChildren(table(title, rows, columns, values, (x) => (x === "" ? "" : fixed(x, 3))));
    } else below.replaceChildren();
  }

  const stop = listen(model, Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
    if (JSON.stringify(model.get(name)) === JSON.stringify(state[name])) return;
    act({ type: "set", values: { [name]: model.get(name) } });
  }])));
  show();
  return () => { stop(); link.stop(); send(); };
}

export default widget(draw);
