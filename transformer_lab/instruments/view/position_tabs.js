// Three pictures of the position explorer: the table of waves, the clock hands, the moved word.
// The `…Layout` functions are pure.

import { diverging, moveCursor, pixels } from "./matrix.js";
import { brief, fixed } from "./mix.js";
import { h, legend, select } from "./parts.js";
import { drawDistance, drawSlopes, going, knobs, shape, slides } from "./position_plots.js";
import { amount, clocks, SCHEMES, slopes, waveRow, waveTable, wordScores } from "./position_sums.js";
import { names, visible } from "./tokens.js";

const RIM = 52, CLOCK = 140; // a clock's radius, and the side of its square

// --- the table of waves

export function drawWaves(act, content, now) {
  const { length } = content, { width, base } = knobs(act);
  const canvas = h("canvas", { tabindex: 0, role: "application", class: "tl-waves",
    onkeydown(event) {
      const to = moveCursor({ row: now().position, column: now().column }, event.key, length, now().width,
        event.ctrlKey);
      if (!to) return;
      act({ type: "point", ...to });
      event.preventDefault();
    },
    onpointerdown(event) { canvas.setPointerCapture(event.pointerId); point(event); },
    onpointermove(event) { if (event.buttons) point(event); } });
  const band = h("span", { class: "tl-band" }), cell = h("span", { class: "tl-cell-frame" });
  const at = h("span", { class: "tl-number" }), last = h("span", { class: "tl-number" }, length - 1);
  const heading = h("h5", {}), numbers = h("div", { class: "tl-numbers" });
  let drawn = "", listed = "";

  function point(event) {
    const box = canvas.getBoundingClientRect();
    const place = (far, size, count) => Math.min(count - 1, Math.max(0, Math.floor((far / size) * count)));
    act({ type: "point", row: place(event.clientY - box.top, box.height, length),
      column: place(event.clientX - box.left, box.width, now().width) });
  }

  const element = h("div", {}, slides(width, base), h("div", { class: "tl-pair-of" },
    h("figure", {}, h("div", { class: "tl-image" },
      h("div", { class: "tl-places-axis", "aria-hidden": "true" }, h("span", { class: "tl-number" }, "0"),
        last, at),
      h("div", { class: "tl-image-of" }, canvas, band, cell)),
    h("div", { class: "tl-under" }, h("span", {}, "fast waves"), h("span", {}, "column →"),
      h("span", {}, "slow waves")), legend("value", -1, 1, diverging, (x) => fixed(x, 0))),
    h("div", { class: "tl-written" }, heading, numbers,
      h("p", { class: "tl-quiet" }, "Click the picture to pin a number, or use the arrow keys in it."))));
  return { element, update(state) {
    width.update(state.width);
    base.update(state.base);
    const wanted = `${state.width} ${state.base}`;
    if (drawn !== wanted) {
      [canvas.width, canvas.height] = [state.width, length];
      const values = waveTable(length, state.width, state.base).flat();
      canvas.getContext("2d").putImageData(
        new ImageData(pixels(values, diverging), state.width, length), 0, 0);
      canvas.setAttribute("aria-label", `${length} positions × ${state.width} columns; `
        + "arrow keys move, the sentence below reads the number");
      drawn = wanted;
    }
    const y = (100 * state.position) / length, x = (100 * state.column) / state.width;
    band.style.cssText = `top:${y}%;height:${100 / length}%`;
    cell.style.cssText = `top:${y}%;height:${100 / length}%;left:${x}%;width:${100 / state.width}%`;
    at.style.top = `${y + 50 / length}%`;
    at.textContent = state.position;
    last.hidden = state.position > 0.92 * length;
    at.previousSibling.previousSibling.hidden = state.position < 0.08 * length;
    const row = `${wanted} ${state.position}`;
    if (listed !== row) {
      heading.textContent = `Position ${state.position}, written out`;
      const lines = [h("b", {}), ...Array.from({ length: Math.min(8, state.width) },
        (_, i) => h("b", { class: "tl-quiet" }, i % 2 ? "cos" : "sin"))];
      waveRow(state.position, state.width, state.base).forEach((value, i) => {
        if (i % 8 === 0) lines.push(h("span", { class: "tl-quiet" }, String(i)));
        lines.push(h("span", {}, fixed(value)));
      });
      numbers.replaceChildren(...lines);
      listed = row;
    }
    const shown = [...numbers.querySelectorAll("span:not(.tl-quiet)")];
    shown.forEach((number, i) => number.classList.toggle("tl-here", i === state.column));
  } };
}

// --- rotary as clock hands

// Tips in pixels from the middle of a clock, where the longest hand reaches the rim.
export function clockLayout({ query, key }, longest) {
  const tip = ([x, y]) => [(RIM * x) / longest + 0, (-RIM * y) / longest + 0];
  const [a, b] = [tip(query), tip(key)];
  const label = ([x, y], side) => {
    const long = Math.hypot(x, y) || 1;
    return [x + (11 * x) / long - (side * y) / long, y + (11 * y) / long + (side * x) / long];
  };
  const near = Math.hypot(a[0] - b[0], a[1] - b[1]) < 16;
  const side = a[0] * b[1] - a[1] * b[0] > 0 ? -8 : 8; // away from the other hand
  return { query: a, key: b, labels: [label(a, near ? side : 0), label(b, near ? -side : 0)] };
}

export function drawHands(act, content) {
  const { length } = content, { base } = knobs(act);
  const query = going(act, "query at", "query", length), key = going(act, "key at", "key", length);
  const both = going(act, "move both", "both", length);
  const middle = CLOCK / 2;
  const longest = Math.max(1e-9, ...[content.q, content.k].flatMap((v) =>
    v.slice(0, v.length / 2).map((x, i) => Math.hypot(x, v[i + v.length / 2]))));
  const faces = Array.from({ length: content.q.length / 2 }, (_, i) => {
    const svg = shape("svg", { viewBox: `0 0 ${CLOCK} ${CLOCK}`, class: "tl-clock", role: "img" });
    const adds = h("b", { class: "tl-number" }), period = h("span", { class: "tl-quiet" });
    return { svg, adds, period, element: h("figure", {}, svg,
      h("figcaption", {}, period, h("span", {}, "adds ", adds))) };
  });
  const total = h("b", { class: "tl-number" });
  const element = h("div", {}, slides(query, key, both, base),
    h("div", { class: "tl-clocks", style: `--tl-count:${faces.length}` }, ...faces.map((face) => face.element)),
    h("p", { class: "tl-sum" }, "together: score ", total),
    h("p", { class: "tl-quiet" }, "Each pair of numbers is a hand, and its position turns it. ",
      h("span", { class: "tl-query-ink" }, "q: query"), " · ",
      h("span", { class: "tl-key-ink" }, "k: key"), " · dashed: the hand at position 0"));
  return { element, update(state) {
    query.update(state.position);
    key.update(state.other);
    const apart = Math.abs(state.position - state.other);
    both.update(Math.min(state.position, state.other), length - 1 - apart,
      `to ${state.position} and ${state.other}`);
    base.update(state.base);
    const { pairs, score } = clocks(content, state);
    const still = clocks(content, { ...state, position: 0, other: 0 }).pairs;
    faces.forEach(({ svg, adds, period }, i) => {
      const { query: a, key: b, labels } = clockLayout(pairs[i], longest);
      const rest = clockLayout(still[i], longest);
      const hand = ([x, y], name) => shape("line", { x1: middle, y1: middle, x2: middle + x,
        y2: middle + y, class: name });
      const word = ([x, y], text, name) => shape("text", { x: middle + x, y: middle + y + 4,
        "text-anchor": "middle", class: name }, text);
      svg.replaceChildren(shape("circle", { cx: middle, cy: middle, r: RIM, class: "tl-rim" }),
        hand(rest.query, "tl-hand-query tl-rest"), hand(rest.key, "tl-hand-key tl-rest"),
        hand(a, "tl-hand-query"), hand(b, "tl-hand-key"),
        word(labels[0], "q", "tl-query-text"), word(labels[1], "k", "tl-key-text"));
      adds.textContent = fixed(pairs[i].share, 3);
      svg.setAttribute("aria-label", `pair ${i} adds ${fixed(pairs[i].share, 3)}`);
      period.textContent = `round in ${amount(pairs[i].period)} steps`;
    });
    total.textContent = fixed(score, 3);
  } };
}

// --- a word moved in a sentence

// Where the eight scores lie on one line, as shares of its width, and where zero lies.
export function dotsLayout(before, now) {
  const all = [0, ...before, ...now], low = Math.min(...all), span = Math.max(...all) - low || 1;
  const at = (x) => 0.04 + (0.92 * (x - low)) / span;
  return { zero: at(0), rows: now.map((x, i) => ({ from: at(before[i]), to: at(x) })) };
}

export function drawMove(act, content, now) {
  const { tokens } = content, labels = names(tokens), first = tokens.map((_, i) => i);
  const options = labels.map((label, i) => [String(i), label]);
  const query = select("query", options, "0", (id) => act({ type: "choose", id: Number(id) }));
  const key = select("key", options, "0", (id) => act({ type: "key", id: Number(id) }));
  let held = null, travelled = false;

  const chips = tokens.map((token, id) => {
    // What they say stands in the button's name too.
    const [place, role] = ["tl-place", "tl-role"].map((name) =>
      h("span", { class: name, "aria-hidden": "true" }));
    const element = h("button", { type: "button", class: "tl-word-chip",
      onkeydown(event) {
        const step = { ArrowLeft: -1, ArrowRight: 1, Home: -tokens.length, End: tokens.length }[event.key];
        if (!step || event.altKey || event.metaKey) return;
        act({ type: "place", id, to: now().order.indexOf(id) + step });
        event.preventDefault();
      },
      onclick() { if (!travelled) act({ type: "choose", id }); },
      onpointerdown(event) {
        if (event.button) return;
        held = id;
        travelled = false;
        element.setPointerCapture(event.pointerId);
      },
      onpointermove(event) {
        if (held !== id || !event.buttons) return;
        const to = under(event, id);
        if (to === null || to === now().order.indexOf(id)) return;
        travelled = true;
        act({ type: "place", id, to });
      },
      onlostpointercapture() { held = null; } },
    role, h("span", { class: "tl-token" }, visible(token)), place);
    return { element, place, role };
  });

  // The place of the word under the pointer, once the pointer is past the middle of it.
  function under(event, id) {
    const mine = now().order.indexOf(id);
    for (const [at, other] of now().order.entries()) {
      const box = chips[other].element.getBoundingClientRect();
      if (other === id || event.clientY < box.top - 6 || event.clientY > box.bottom + 6) continue;
      if (event.clientX < box.left || event.clientX > box.right) continue;
      const far = event.clientX > box.left + box.width / 2;
      return at > mine ? at - (far ? 0 : 1) : at + (far ? 1 : 0);
    }
    return null;
  }

  const line = h("div", { class: "tl-words-row", role: "group",
    "aria-label": "words: arrow keys move a word, Enter makes it the query" },
  ...chips.map((chip) => chip.element));
  const rows = SCHEMES.map((name, i) => {
    const numbers = h("span", { class: "tl-number" });
    const parts = [i ? "tl-zero-line" : "tl-zero-line tl-first", "tl-way", "tl-was", "tl-now"]
      .map((one) => h("span", { class: one }));
    return { numbers, parts, element: h("div", { class: "tl-score-row" },
      h("span", {}, name === "none" ? "no positions" : name),
      h("span", { class: "tl-track", "aria-hidden": "true" }, ...parts), numbers) };
  });
  const note = h("p", { class: "tl-quiet" });
  const element = h("div", {}, h("div", { class: "tl-row" }, query, key,
    h("span", { class: "tl-quiet" }, "Drag a word, or Tab to it and press ← or →. Enter makes it the query.")), line,
    h("div", { class: "tl-scores" }, ...rows.map((row) => row.element)), note);
  let shown = first;

  return { element, update(state) {
    query.list.value = String(state.query);
    key.list.value = String(state.key);
    if (shown.join() !== state.order.join()) {
      // The word in hand stays in the page, so that it keeps the focus and the pointer.
      const still = held ?? chips.findIndex((chip) => chip.element === document.activeElement);
      const mine = state.order.indexOf(still < 0 ? state.order[0] : still);
      const stays = chips[state.order[mine]].element;
      state.order.slice(0, mine).forEach((id) => stays.before(chips[id].element));
      [...state.order.slice(mine + 1)].reverse().forEach((id) => stays.after(chips[id].element));
      shown = state.order;
    }
    chips.forEach(({ element: chip, place, role }, id) => {
      const roles = [id === state.query && "query", id === state.key && "key"].filter(Boolean);
      place.textContent = state.order.indexOf(id);
      role.textContent = roles.join(", ");
      chip.classList.toggle("tl-is-query", id === state.query);
      chip.classList.toggle("tl-is-key", id === state.key);
      chip.setAttribute("aria-label", `${labels[id]} at ${state.order.indexOf(id)}${
        roles.length ? `, ${roles.join(" and ")}` : ""}`);
    });
    const [before, after] = [first, state.order].map((order) => wordScores(content, state, order));
    const dots = dotsLayout(before, after);
    rows.forEach(({ numbers, parts: [zero, way, was, at] }, i) => {
      const { from, to } = dots.rows[i], stays = Math.abs(after[i] - before[i]) < 0.0005;
      zero.style.left = `${100 * dots.zero}%`;
      was.style.left = `${100 * from}%`;
      at.style.left = `${100 * to}%`;
      way.style.cssText = `left:${100 * Math.min(from, to)}%;width:${100 * Math.abs(to - from)}%`;
      was.hidden = stays;
      numbers.textContent = stays ? `${fixed(after[i], 3)} stays`
        : `${fixed(before[i], 3)} → ${fixed(after[i], 3)}`;
    });
    note.textContent = `Ring: at first. Dot: now. The vectors of the words are the queries and keys; `
      + `ALiBi uses slope ${brief(slopes(state.heads)[state.head])} (head ${state.head} of ${state.heads}).`;
  } };
}

export const PICTURES = { waves: drawWaves, distance: drawDistance, hands: drawHands,
  slopes: drawSlopes, move: drawMove };
