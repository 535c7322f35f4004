// One table of cells with its positions at the edges: to paint in, or to read.

import { moveCursor } from "./matrix.js";
import { h } from "./parts.js";

// The cell {row, column} that a point of the screen lies in, or null; `first` and `last` are the
// boxes of the first and the last cell.
export function cellUnder(x, y, first, last, rows, columns) {
  const row = Math.floor(((y - first.top) * rows) / (last.bottom - first.top));
  const column = Math.floor(((x - first.left) * columns) / (last.right - first.left));
  return row < 0 || column < 0 || row >= rows || column >= columns ? null : { row, column };
}

// Every cell that a stroke from one cell to another passes, so that a fast hand leaves no gaps.
export function stroke(from, to) {
  const steps = Math.max(Math.abs(to.row - from.row), Math.abs(to.column - from.column), 1);
  return Array.from({ length: steps }, (_, i) => ({
    row: Math.round(from.row + ((to.row - from.row) * (i + 1)) / steps),
    column: Math.round(from.column + ((to.column - from.column) * (i + 1)) / steps),
  }));
}

// Black or white, whichever can be read better on this colour.
export function inkOn(rgb) {
  const [r, g, b] = rgb.map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}

// `hear(event)` gets { type: "point" | "press" | "paint" | "drop" | "move" | "toggle", … }; a grid
// that is not to be painted sends no more than "point" and "move". `now()` is where the cursor is:
// keys may come faster than frames.
export function drawGrid(title, label, hear, now) {
  const caption = h("figcaption", {}, ...title);
  const board = h("div", { class: "tl-paint-board", role: label ? "application" : "img",
    tabindex: label ? 0 : undefined });
  const element = h("figure", { class: label ? "tl-paint-hand" : null }, caption, board);
  let cells = [], tops = [], sides = [], size = [0, 0], shape = "", down = false;

  const under = (event) => cells.length && cellUnder(event.clientX, event.clientY,
    cells[0].getBoundingClientRect(), cells.at(-1).getBoundingClientRect(), ...size);
  board.addEventListener("pointerdown", (event) => {
    const cell = under(event);
    if (!cell || event.button) return;
    if (!label) return hear({ type: "move", cell });
    event.preventDefault();
    board.focus({ preventScroll: true });
    board.setPointerCapture(event.pointerId);
    down = true;
    hear({ type: "press", cell });
  });
  board.addEventListener("pointermove", (event) => {
    const cell = under(event);
    if (down && cell) hear({ type: "paint", cell });
    else if (!down) hear({ type: "point", cell });
  });
  for (const name of ["pointerup", "pointercancel"]) {
    board.addEventListener(name, () => {
      if (down) hear({ type: "drop" });
      down = false;
    });
  }
  board.addEventListener("pointerleave", () => hear({ type: "point", cell: null }));
  if (label) {
    board.addEventListener("focus", () => down || hear({ type: "focus" }));
    board.addEventListener("keydown", (event) => {
      if (event.altKey || event.metaKey) return;
      const at = now(), start = { row: 0, column: 0 };
      const to = moveCursor(at ?? start, event.key, ...size, event.ctrlKey);
      if (to) hear({ type: event.shiftKey && at ? "sweep" : "move", cell: at ? to : start });
      else if (event.key === " " || event.key === "Enter") hear({ type: "toggle" });
      else return;
      event.preventDefault();
    });
  }

  function build(view) {
    const cut = (text) => (text.length > 8 ? `${text.slice(0, 7)}…` : text);
    tops = view.columns.map((text) => h("span", { class: "tl-paint-top" }, h("span", {}, cut(text))));
    cells = [];
    sides = view.rows.map((text) => h("span", { class: "tl-paint-side" }, cut(text)));
    const lines = view.rows.flatMap((_, t) => [sides[t], ...view.columns.map(() => {
      cells.push(h("span", { class: "tl-paint-cell" }));
      return cells.at(-1);
    })]);
    board.replaceChildren(h("span"), ...tops, ...lines);
    for (const child of board.children) child.setAttribute("aria-hidden", "true");
    board.classList.toggle("tl-paint-words", view.columns.some((text) => text.length > 2));
    board.classList.toggle("tl-paint-dense", view.columns.length > 8);
    element.style.setProperty("--tl-s", view.columns.length);
    cells.forEach((cell) => { cell.drawn = ""; });
  }

  return {
    element, board, focus: () => board.focus(),
    update(view) {
      const labels = JSON.stringify([view.rows, view.columns]), { cursor } = view;
      size = [view.rows.length, view.columns.length];
      if (labels !== shape) build(view);
      shape = labels;
      board.setAttribute("aria-label", view.label);
      element.classList.toggle("tl-paint-now", Boolean(view.now));
      view.cells.forEach(({ kind, text = "", fill }, i) => {
        const lit = cursor && Math.floor(i / size[1]) === cursor.row && i % size[1] === cursor.column;
        const all = `tl-paint-cell tl-paint-${kind}${lit ? " tl-paint-lit" : ""}`;
        const drawn = `${all}/${text}/${fill}`;
        if (cells[i].drawn === drawn) return;
        Object.assign(cells[i], { drawn, className: all });
        if (cells[i].textContent !== text) cells[i].textContent = text;
        cells[i].style.background = fill ? `rgb(${fill.join(" ")})` : "";
        cells[i].style.color = fill ? inkOn(fill) : "";
      });
      tops.forEach((top, s) => {
        top.classList.toggle("tl-paint-lit", s === cursor?.column);
        top.classList.toggle("tl-paint-pad", s >= (view.real ?? size[1]));
      });
      sides.forEach((side, t) => {
        side.classList.toggle("tl-paint-lit", t === cursor?.row);
        side.classList.toggle("tl-paint-empty", Boolean(view.empty?.includes(t)));
      });
    },
  };
}
