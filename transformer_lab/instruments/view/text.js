// The text itself: above each token how much the chosen one looks at it, below how much each
// looks at the chosen one, and arcs where the text fits on one line.

import { moveCursor } from "./matrix.js";
import { h, reword } from "./parts.js";
import { visible } from "./tokens.js";

const SVG = "http://www.w3.org/2000/svg";
const LEAST = 0.02; // a fainter arc is noise to the eye; its number is still printed from 0.005

// ".41", "1.0", "" for what rounds to nothing; with a sign where it is a difference.
export function short(x, signed = false) {
  const size = Math.abs(x);
  if (size < 0.005) return "";
  const digits = size >= 0.995 ? size.toFixed(1) : size.toFixed(2).slice(1);
  return (signed ? (x < 0 ? "−" : "+") : "") + digits;
}

// Where the chosen row looks and who looks at it: arrays over columns and rows, or null.
export function looks(data, view, cell) {
  const across = data.columns.length;
  if (!cell || !view.values) return { out: null, into: null };
  const looked = data.self ? cell.row ?? cell.column : cell.column;
  return {
    out: cell.row === null ? null : view.values.subarray(cell.row * across, (cell.row + 1) * across),
    into: looked === null ? null
      : Float32Array.from(data.rows, (_, t) => view.values[t * across + looked]),
  };
}

// Half an ellipse from x0 to x1 on the line y, up (-1) or down (+1).
export function arc(x0, x1, y, direction, most) {
  const wide = Math.abs(x1 - x0) / 2, high = Math.min(most, 10 + wide * 0.5);
  const sweep = (x1 > x0) === (direction < 0) ? 1 : 0;
  return `M${x0} ${y}A${wide} ${high} 0 0 ${sweep} ${x1} ${y}`;
}

// Weights may come anew for the same text.
export function sameTokens(one, two) {
  return JSON.stringify([one.rows, one.columns]) === JSON.stringify([two.rows, two.columns]);
}

export function drawText(act) {
  const place = h("div");
  const above = h("span", {}, "above: where the chosen token looks");
  const below = h("span", {}, "below: who looks at it"), signs = h("span");
  const element = h("div", { class: "tl-texts" },
    h("p", { class: "tl-quiet" }, above, " · ", below, signs), place);
  let data, state, view, lines = [];

  function line(tokens, side) {
    const arcs = document.createElementNS(SVG, "svg");
    arcs.setAttribute("aria-hidden", "true");
    const cells = tokens.map((token, i) => {
      const cell = side === "column" ? { row: null, column: i } : { row: i, column: null };
      return h("button", { type: "button", class: "tl-word", tabindex: -1,
        onpointerenter: () => act({ type: "point", cell }),
        onpointerleave: () => act({ type: "point", cell: null }),
        onfocus: () => act({ type: "point", cell }),
        onblur: () => act({ type: "point", cell: null }),
        onclick: () => act({ type: "choose", cell }),
      }, h("span", { class: "tl-up", "aria-hidden": "true" }), h("span", { class: "tl-token" }, visible(token)),
      h("span", { class: "tl-down", "aria-hidden": "true" }));
    });
    const names = side === "column" ? data.columnNames : data.rowNames;
    cells.forEach((cell, i) => cell.setAttribute("aria-label", names[i]));
    const words = h("div", { class: "tl-words", role: "group",
      "aria-label": side === "column" ? "tokens looked at" : "tokens: arrow keys move, Enter keeps",
      onkeydown(event) {
        const at = cells.indexOf(event.target.closest("button"));
        if (event.key === "Escape") return act({ type: "choose", cell: null });
        const turned = { ArrowUp: "ArrowLeft", ArrowDown: "ArrowRight" }[event.key] ?? event.key;
        const to = at < 0 ? null : moveCursor({ row: 0, column: at }, turned, 1, cells.length);
        if (!to) return;
        cells[to.column].focus();
        event.preventDefault();
      } }, ...cells);
    return { side, cells, words, arcs, element: h("div", { class: "tl-text" }, arcs, words), middles: null };
  }

  function measure() {
    for (const each of lines) {
      each.element.classList.remove("tl-one-line");
      const tops = new Set(each.cells.map((cell) => cell.offsetTop));
      const fits = data.self && tops.size === 1 && each.cells.length > 1;
      each.element.classList.toggle("tl-one-line", fits);
      each.middles = fits ? each.cells.map((cell) => cell.offsetLeft + cell.offsetWidth / 2) : null;
      const first = each.cells[0];
      each.top = first.offsetTop;
      each.bottom = first.offsetTop + first.offsetHeight;
    }
  }

  function number(span, value, masked, role) {
    const text = value === undefined ? "" : masked ? "–" : short(value, view.signed);
    reword(span, text);
    const colour = view.signed ? (value < 0 ? "--tl-less" : "--tl-more") : role;
    const ground = value === undefined || masked || !text ? ""
      : `color-mix(in srgb, var(${colour}) ${Math.round(8 + 42 * Math.min(1, Math.abs(value)))}%, transparent)`;
    if (span.ground !== ground) span.style.background = span.ground = ground;
  }

  function mark() {
    const cell = state.point ?? state.chosen, across = data.columns.length;
    above.className = view.signed ? "" : "tl-query-ink";
    below.className = view.signed ? "" : "tl-key-ink";
    reword(signs, view.signed ? ` · ${view.signs}` : "");
    const { out, into } = looks(data, view, cell);
    const looked = data.self ? cell?.row ?? cell?.column : cell?.column;
    for (const { side, cells, arcs, middles, top, bottom } of lines) {
      const stop = Math.max(0, (side === "column" ? state.chosen?.column : state.chosen?.row) ?? 0);
      cells.forEach((button, i) => {
        const query = side !== "column" && cell?.row === i, key = side !== "row" && cell?.column === i;
        button.classList.toggle("tl-is-query", query);
        button.classList.toggle("tl-is-key", key && !query);
        const turn = i === stop ? 0 : -1;
        if (button.tabIndex !== turn) button.tabIndex = turn;
        if (side !== "row") {
          number(button.firstChild, out?.[i], data.mask && out && !data.mask[cell.row * across + i], "--tl-query");
        }
        if (side !== "column") {
          number(button.lastChild, into?.[i], data.mask && into && !data.mask[i * across + looked], "--tl-key");
        }
      });
      arcs.replaceChildren();
      if (!middles || !cell) continue;
      const draw = (values, from, y, direction, role) => values?.forEach((value, i) => {
        if (Math.abs(value) < LEAST || i === from) return;
        const path = document.createElementNS(SVG, "path");
        path.setAttribute("d", arc(middles[from], middles[i], y, direction, 40));
        path.setAttribute("stroke-width", (0.5 + 4 * Math.abs(value)).toFixed(2));
        path.style.stroke = `var(${view.signed ? (value < 0 ? "--tl-less" : "--tl-more") : role})`;
        arcs.append(path);
      });
      draw(out, cell.row, top - 2, -1, "--tl-query");
      draw(into, looked, bottom + 2, 1, "--tl-key");
    }
  }

  return {
    element,
    resize() {
      if (!data) return;
      measure();
      mark();
    },
    update(nextData, next, nextView) {
      const fresh = nextData !== data && !(data && sameTokens(data, nextData));
      data = nextData;
      state = next;
      view = nextView;
      if (fresh) {
        lines = data.self ? [line(data.rows, "both")]
          : [line(data.rows, "row"), line(data.columns, "column")];
        place.replaceChildren(...lines.map((each) => each.element));
        measure();
      }
      mark();
    },
  };
}
