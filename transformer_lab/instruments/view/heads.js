// All heads at once: a native button with a small picture for each, one tab stop for them all.

import { cividis, drawMatrix, moveCursor } from "./matrix.js";
import { h, select } from "./parts.js";
import { scaled } from "./zoom.js";

const THUMB = 48;

// The places of the heads in the order of the chosen score, and that score (null: layer order).
export function order(data, sort) {
  const score = data.scores.find(({ key }) => key === sort) ?? null;
  const places = data.heads.map((_, i) => i);
  const sign = score?.low ? 1 : -1;
  if (score) places.sort((a, b) => sign * (score.values[a] - score.values[b]) || a - b);
  return { places, score };
}

// Index of the button to which a key leads, or null.
export function step(index, key, count, columns) {
  const at = { row: Math.floor(index / columns), column: index % columns };
  const to = moveCursor(at, key, Math.ceil(count / columns), columns);
  return to && Math.min(count - 1, to.row * columns + to.column);
}

// "A", "B" or "": the letter under which a head is pinned.
export function pinLetter(pinned, layer, head) {
  const i = pinned.findIndex(([a, b]) => a === layer && b === head);
  return i < 0 ? "" : "AB"[i];
}
// Whether a head is silenced, where the instrument can silence any.
function isSilent(state, layer, head) {
  return Boolean(state.silenced?.some(([a, b]) => a === layer && b === head));
}
export function headName(data, state, i) {
  const [layer, head] = data.heads[i], { score } = order(data, state.sort);
  const pin = pinLetter(state.pinned, layer, head);
  return `layer ${layer} head ${head}` + (score ? `, ${score.name} ${score.values[i].toFixed(2)}` : "")
    + (pin ? `, pinned as ${pin}` : "") + (isSilent(state, layer, head) ? ", silenced" : "");
}

// A head's score as a number on its colour, where the text is too long for pictures.
function tile(score, i) {
  const low = Math.min(...score.values), high = Math.max(...score.values);
  const colour = cividis((score.values[i] - low) / (high - low || 1));
  const dark = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2] < 118;
  const element = h("span", { class: "tl-tile" }, score.values[i].toFixed(2));
  element.style.background = `rgb(${colour.join(" ")})`;
  element.style.color = dark ? "#fff" : "#000";
  return element;
}

// What the buttons are made from.
function shape(data) {
  return JSON.stringify([data.heads, data.scores.map(({ key, name }) => [key, name]),
    data.sent.length > 0]);
}

// `press(layer, head)`: what Enter, or a second click, does; without it Enter pins.
export function drawHeads(act, now, press = null) {
  const meaning = h("span", { class: "tl-quiet" });
  const bar = h("div", { class: "tl-row" });
  const grid = h("div", { class: "tl-grid", role: "group", onkeydown: onKey });
  const pin = h("button", { type: "button", onclick: () => act({ type: "pin" }) });
  const compare = h("button", { type: "button",
    onclick: () => act({ type: "difference", on: !now().difference }) });
  const clear = h("button", { type: "button", onclick: () => act({ type: "unpin" }) }, "Unpin both");
  const help = h("span", { class: "tl-quiet" });
  const pins = h("div", { class: "tl-row tl-pins" }, pin, compare, clear, help);
  const element = h("section", { class: "tl-heads" }, bar, grid, pins);
  // Drawn on one canvas and kept as images: the browser gives each canvas on the page a layer of its
  // own, and arranges all layers again after each change of anything.
  const sheet = h("canvas");
  let data, state, buttons = [], images = [], sequence = [], columns = 1;

  function onKey(event) {
    const at = sequence.indexOf(buttons.indexOf(event.target.closest("button")));
    if (at < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      if (press) press(now().layer, now().head);
      else act({ type: "pin" });
    } else {
      const to = step(at, event.key, sequence.length, columns);
      if (to === null) return;
      const [layer, head] = data.heads[sequence[to]];
      act({ type: "head", layer, head });
      buttons[sequence[to]].focus();
    }
    event.preventDefault();
  }

  function build() {
    columns = Math.min(data.count, 16);
    element.style.setProperty("--tl-columns", columns);
    grid.setAttribute("aria-label", `${data.heads.length} heads: arrow keys choose, `
      + `Enter ${press ? "silences" : "pins"}`);
    images = data.heads.map(() => (data.sent.length ? h("img", { alt: "", decoding: "sync" }) : null));
    buttons = data.heads.map(([layer, head], i) => h("button", {
      type: "button", class: "tl-head",
      onclick: () => {
        const { layer: a, head: b } = now();
        if (press && a === layer && b === head) press(layer, head);
        else act({ type: "head", layer, head });
      },
    }, images[i], h("span", { class: "tl-caption", "aria-hidden": "true" }),
    h("span", { class: "tl-pin", "aria-hidden": "true" })));
    const options = data.scores.map(({ key, name }) => [key, name]);
    const sort = select(data.sent.length ? "sort by" : "score",
      data.sent.length ? [["order", "layer order"], ...options] : options,
      "order", (value) => act({ type: "set", values: { sort: value } }));
    bar.replaceChildren(sort, meaning);
    bar.list = sort.list;
  }

  function paint() {
    data.heads.forEach(([layer, head], i) => {
      if (!images[i]) return;
      const values = data.at(layer, head);
      const [rows, width] = values ? [data.rows.length, data.columns.length] : data.thumb;
      const size = rows * width;
      const small = values ?? Float32Array.from(
        data.thumbs.subarray(i * size, (i + 1) * size), (x) => x / 255);
      drawMatrix(sheet, {
        values: scaled(small, width, state.scale), rows, columns: width,
        cell: Math.ceil(THUMB / Math.max(rows, width)), colour: cividis,
        mask: values ? data.mask : null,
      });
      images[i].src = sheet.toDataURL();
    });
  }

  function arrange() {
    const { places, score } = order(data, state.sort);
    const inOrder = !score && data.count <= 16;
    const shown = score ?? (data.sent.length ? null : data.scores[0]);
    sequence = places;
    bar.list.value = score ? score.key : data.sent.length ? "order" : data.scores[0].key;
    meaning.textContent = !shown ? "a row for each layer"
      : score ? `${shown.meaning}, ${shown.low ? "least" : "most"} first` : shown.meaning;
    grid.classList.toggle("tl-ordered", inOrder);
    const label = (text) => h("span", { class: "tl-label", "aria-hidden": "true" }, text);
    const children = inOrder ? [label(""), ...Array.from({ length: columns }, (_, i) => label(i))] : [];
    places.forEach((place, i) => {
      const [layer, head] = data.heads[place], caption = buttons[place].children[images[place] ? 1 : 0];
      if (inOrder && i % columns === 0) children.push(label(layer));
      caption.replaceChildren(...(images[place] ? [] : [tile(shown, place)]),
        ...(inOrder ? [] : [`${layer}·${head}`]), ...(score && images[place]
          ? [h("b", {}, score.values[place].toFixed(2))] : []));
      children.push(buttons[place]);
    });
    const focused = buttons.find((button) => button === document.activeElement);
    grid.replaceChildren(...children);
    focused?.focus();
  }

  function mark() {
    data.heads.forEach(([layer, head], i) => {
      const here = layer === state.layer && head === state.head;
      const button = buttons[i], letter = pinLetter(state.pinned, layer, head);
      button.tabIndex = here ? 0 : -1;
      if (here) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.setAttribute("aria-label", headName(data, state, i));
      button.dataset.pin = button.lastChild.textContent = letter;
      button.toggleAttribute("data-silent", isSilent(state, layer, head));
    });
    const mine = pinLetter(state.pinned, state.layer, state.head), count = state.pinned.length;
    pins.hidden = !data.sent.length;
    pin.textContent = mine ? `Unpin ${mine}` : count === 2 ? "Pin as B instead"
      : `Pin layer ${state.layer} head ${state.head}`;
    pin.hidden = state.difference;
    compare.hidden = clear.hidden = count < 2;
    compare.textContent = state.difference ? "Show one head" : "Show A − B";
    help.textContent = count < 2 ? ["Pin two heads to see their difference.",
      "Choose another head and pin it."][count] : "";
  }

  return {
    element,
    update(nextData, next) {
      const before = state, fresh = nextData !== data;
      // New weights for the same heads are painted into the same buttons: the focus stays.
      const built = fresh && (!data || shape(data) !== shape(nextData));
      data = nextData;
      state = next;
      if (built) build();
      if (fresh || before.scale !== state.scale) paint();
      if (fresh || before.sort !== state.sort) arrange();
      if (fresh || before.sort !== state.sort || before.layer !== state.layer
        || before.head !== state.head || before.pinned !== state.pinned
        || before.silenced !== state.silenced
        || before.difference !== state.difference) mark();
    },
  };
}
