// One head, or the difference of two, as a matrix: rows look, columns are looked at.

import { cellAt, cellSize, drawMatrix, moveCursor } from "./matrix.js";
import { h, legend, select } from "./parts.js";
import { visible } from "./tokens.js";

const LETTER = 7.3, LABEL = 12; // pixels a letter, letters a label

// Pixels of a cell and of the labels, and how many tokens share one label.
export function layout(width, data) {
  const letters = (tokens) => Math.min(LABEL, Math.max(...tokens.map((t) => visible(t).length)));
  const left = Math.max(52, Math.ceil(letters(data.rows) * LETTER) + 8);
  const top = Math.max(40, Math.ceil(letters(data.columns) * LETTER) + 8);
  const cell = Math.min(cellSize(data.columns.length, width - left - 4, 3, 34),
    cellSize(data.rows.length, 520, 3, 34));
  return { left, top, cell, every: Math.ceil(14 / cell) };
}

// Weights as colour positions in [0, 1]: as they are, as roots, or each row to its largest.
export function scaled(values, columns, scale) {
  if (scale === "plain") return values;
  if (scale === "root") return values.map(Math.sqrt);
  return values.map((x, i) => {
    const from = i - (i % columns);
    let most = 0;
    for (let j = from; j < from + columns; j++) most = Math.max(most, values[j]);
    return most > 0 ? x / most : 0;
  });
}

export function drawZoom(act, now) {
  const heading = h("h4", {});
  const canvas = h("canvas", { tabindex: 0, role: "application", onkeydown: onKey,
    onpointermove: (event) => point(cellAt(event, canvas, place.cell, ...size())),
    onpointerleave: () => point(null),
    onblur: () => point(null),
    onclick: (event) => act({ type: "choose", cell: cellAt(event, canvas, place.cell, ...size()) }),
  });
  const rowFrame = h("span", { class: "tl-frame tl-frame-row" });
  const columnFrame = h("span", { class: "tl-frame tl-frame-column" });
  const rows = h("div", { class: "tl-rows", "aria-hidden": "true" });
  const columns = h("div", { class: "tl-columns", "aria-hidden": "true" });
  const corner = h("div", { class: "tl-corner", "aria-hidden": "true" },
    h("span", { class: "tl-key-ink" }, "key →"), h("span", { class: "tl-query-ink" }, "query ↓"));
  const board = h("div", { class: "tl-board" }, corner, columns, rows, canvas, rowFrame, columnFrame);
  const scale = select("colour", [["plain", "weight"], ["root", "√ weight"],
    ["row", "weight ÷ row’s largest"]], "plain", (value) => act({ type: "set", values: { scale: value } }));
  const key = h("span");
  const element = h("section", { class: "tl-zoom" },
    h("div", { class: "tl-row" }, heading), board,
    h("div", { class: "tl-row" }, scale, key));
  let data, state, view, place = { cell: 1 }, width = 0, lit = [];

  const size = () => [data.rows.length, data.columns.length];

  function point(cell) {
    const last = now().point;
    if (cell?.row !== last?.row || cell?.column !== last?.column) act({ type: "point", cell });
  }

  function onKey(event) {
    const cell = now().point ?? now().chosen;
    const at = { row: cell?.row ?? 0, column: cell?.column ?? 0 };
    const to = moveCursor(at, event.key, ...size(), event.ctrlKey);
    if (to) act({ type: "point", cell: cell ? to : at });
    else if (event.key === "Enter" || event.key === " ") act({ type: "choose", cell: at });
    else if (event.key === "Escape") act({ type: "choose", cell: null });
    else return;
    event.preventDefault();
  }

  function fit() {
    place = layout(width, data);
    board.classList.toggle("tl-dense", place.cell < 8);
    board.style.setProperty("--tl-left", `${place.left}px`);
    board.style.setProperty("--tl-top", `${place.top}px`);
    const label = (along) => (token, i) => {
      const element = h("span", i % place.every ? { class: "tl-skip" } : {}, visible(token));
      element.style[along] = `${(i + 0.5) * place.cell - 8}px`;
      return element;
    };
    rows.replaceChildren(...data.rows.map(label("top")));
    columns.replaceChildren(...data.columns.map(label("left")));
    lit = [];
  }

  function paint() {
    const [count, across] = size();
    canvas.setAttribute("aria-label",
      `${view.name}: ${count} × ${across} weights; arrow keys move, Enter keeps, Escape lets go`);
    heading.textContent = view.name;
    board.classList.toggle("tl-waits", !view.values);
    if (!view.values) return;
    drawMatrix(canvas, {
      values: view.signed ? view.values.map((x) => x / view.limit)
        : scaled(view.values, across, state.scale),
      rows: count, columns: across, cell: place.cell, colour: view.colour, mask: data.mask,
    });
    key.replaceChildren(view.signed
      ? legend("difference", -view.limit, view.limit, (x) => view.colour(x / view.limit),
        (x) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(2))
      : legend("weight", 0, 1, (x) => view.colour(state.scale === "root" ? Math.sqrt(x) : x),
        (x) => (x && state.scale === "row" ? "row’s largest" : String(x))));
  }

  function mark() {
    const cell = state.point ?? state.chosen, [count, across] = size();
    const show = (frame, on, x, y, wide, high) => {
      frame.hidden = !on;
      if (on) frame.style.cssText = `width:${wide}px;height:${high}px;transform:translate(${x}px,${y}px)`;
    };
    show(rowFrame, cell && cell.row !== null, 0, cell?.row * place.cell, across * place.cell, place.cell);
    show(columnFrame, cell && cell.column !== null, cell?.column * place.cell, 0, place.cell,
      count * place.cell);
    lit.forEach((label) => label.classList.remove("tl-lit"));
    lit = [rows.children[cell?.row], columns.children[cell?.column]].filter(Boolean);
    lit.forEach((label) => label.classList.add("tl-lit"));
  }

  return {
    element,
    resize(wide) {
      if (!data || Math.abs(wide - width) < 1) return;
      width = wide;
      fit();
      paint();
      mark();
    },
    update(nextData, next, nextView) {
      const fresh = nextData !== data, redraw = fresh || nextView !== view || next.scale !== state.scale;
      data = nextData;
      state = next;
      view = nextView;
      if (fresh) {
        // A long text asks for more room, and gets a line of its own where there is too little.
        element.style.flexBasis = `${Math.min(620, Math.max(330, 60 + 8 * data.columns.length))}px`;
        width = element.clientWidth;
        fit();
      }
      if (redraw) paint();
      mark();
      scale.hidden = view.signed;
      scale.list.value = state.scale;
    },
  };
}
