// A matrix as a grid of numbers on their colours: one tab stop, arrow keys move, each cell real
// text. Where there is no room for numbers, the colours stay.

import { cividis, diverging, moveCursor } from "./matrix.js";
import { h } from "./parts.js";

// A number in so many letters: as many of `places` decimals as fit.
export function fitted(x, letters, places = 2) {
  if (Number.isNaN(x)) return "NaN".slice(0, letters);
  if (Math.abs(x) === Infinity) return x < 0 ? "−∞" : "∞";
  for (let digits = places; digits >= 0; digits--) {
    const text = Math.abs(x).toFixed(digits), sign = x < 0 && Number(text) !== 0 ? "−" : "";
    for (const each of [text, text.replace(/^0\./, ".")]) {
      if (sign.length + each.length <= letters) return sign + each;
    }
  }
  return Math.abs(x).toExponential(0).replace("e+", "e").replace(/^/, x < 0 ? "−" : "");
}

// The colour of a number and the ink that reads best on it. Weights: [0, 1]; others: ±limit.
export function painted(x, limit) {
  const rgb = limit === null ? cividis(x) : diverging(limit ? x / limit : 0);
  const light = rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92
    : ((c + 0.055) / 1.055) ** 2.4)).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  return { ground: `rgb(${rgb.join(", ")})`,
    ink: light > 0.179 ? "rgb(0, 0, 0)" : "rgb(255, 255, 255)" };
}

// The largest size of finite numbers, at least the smallest that is worth a colour.
export const reachOf = (matrix) => Math.max(1e-9,
  ...matrix.flat().map(Math.abs).filter((x) => Number.isFinite(x)));

// drawCells(on): on.point(cell or null), on.choose(cell, moved by a key or not), on.key(event).
// Without `on` it is a picture. update({ values, rows, columns, size, ... }) draws.
export function drawCells(on = null) {
  const element = h("div", on ? { class: "tl-cells", tabindex: 0, role: "application",
    onkeydown: onKey, onclick: (event) => cellOf(event, (cell) => on.choose(cell, false)),
    onpointerover: (event) => event.pointerType === "mouse" && cellOf(event, on.point),
    onpointerleave: () => on.point(null) } : { class: "tl-cells", "aria-hidden": "true" });
  let spans = [], rowLabels = [], columnLabels = [], shape = "", drawn = null;

  function cellOf(event, use) {
    const i = spans.indexOf(event.target);
    if (i >= 0) use({ row: Math.floor(i / drawn.across), column: i % drawn.across });
  }
  function onKey(event) {
    if (event.altKey || event.metaKey) return;
    const now = drawn.cursor;
    const to = moveCursor(now, event.key, drawn.values.length, drawn.across, event.ctrlKey);
    if (to) {
      drawn.cursor = to; // the next key may come before the next frame
      on.choose(to, true);
    } else if (!on.key(event)) return;
    event.preventDefault();
  }
  function build({ values, rows, columns }) {
    const label = (side) => (text) => h("span", { class: `tl-cells-${side}`, "aria-hidden": "true" }, text);
    rowLabels = (rows ?? []).map(label("row"));
    columnLabels = (columns ?? []).map(label("column"));
    spans = values.flatMap((row) => row.map(() => h("span")));
    const across = values[0].length;
    element.replaceChildren(...(columns ? [h("span"), ...columnLabels] : []),
      ...values.flatMap((row, i) => [...(rows ? [rowLabels[i]] : []),
        ...spans.slice(i * across, (i + 1) * across)]));
    element.classList.toggle("tl-cells-named", Boolean(rows));
  }

  return {
    element,
    // values: rows of numbers or booleans. rows, columns: labels or null. size: pixels of a cell,
    // gutter: of the row labels. limit: of the colours, null for weights. lit: {row, column}.
    // mask: false where a cell is hatched. wrong: cells to mark. label: for a screen reader. editable: underlined.
    update(next) {
      const across = next.values[0].length;
      const key = JSON.stringify([next.values.length, across, next.rows, next.columns]);
      if (key !== shape) { build(next); shape = key; }
      drawn = { ...next, across, cursor: { row: next.cursor?.row ?? 0, column: next.cursor?.column ?? 0 } };
      const yes = typeof next.values[0][0] === "boolean";
      const { size, lit = {}, limit, places = limit === null ? 3 : 2 } = next;
      const letters = Math.floor((size - 3) / (size < 34 ? 6.1 : 7.3));
      element.style.setProperty("--tl-cell", `${size}px`);
      element.style.setProperty("--tl-across", across);
      element.style.setProperty("--tl-gutter", `${next.gutter ?? 0}px`);
      element.classList.toggle("tl-cells-small", size < 34);
      element.classList.toggle("tl-cells-bare", size < 20);
      element.classList.toggle("tl-cells-edit", Boolean(next.editable) && !yes);
      if (on) element.setAttribute("aria-label", next.label);
      const one = lit.row != null && lit.column != null;
      spans.forEach((span, i) => {
        const row = Math.floor(i / across), column = i % across, x = next.values[row][column];
        const none = x === -Infinity || x === false || next.mask?.[row][column] === false;
        const text = size < 20 ? "" : x === true ? "✓" : x === false ? "✕" : fitted(x, letters, places);
        if (span.textContent !== text) span.textContent = text;
        const looks = x === true ? { ground: "", ink: "" } : none || Number.isNaN(x)
          ? { ground: "", ink: "" } : painted(x, limit);
        if (span.style.backgroundColor !== looks.ground) span.style.backgroundColor = looks.ground;
        if (span.style.color !== looks.ink) span.style.color = looks.ink;
        const marks = [none ? "tl-none" : "", Number.isNaN(x) ? "tl-nan" : "",
          one && row === lit.row && column === lit.column ? "tl-one" : "",
          !one && row === lit.row ? "tl-of-row" : !one && column === lit.column ? "tl-of-column" : "",
          next.wrong?.[row]?.[column] ? "tl-wrong" : ""].filter(Boolean).join(" ");
        if (span.className !== marks) span.className = marks;
      });
      rowLabels.forEach((label, i) => label.classList.toggle("tl-lit", i === lit.row));
      columnLabels.forEach((label, i) => label.classList.toggle("tl-lit", i === lit.column));
    },
  };
}
