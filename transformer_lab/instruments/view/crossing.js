// Cross-attention as a small table in colour: a row per piece, a column per source word, the known
// alignment framed. Everything but `drawCrossing` is pure.

import { cividis, moveCursor } from "./matrix.js";
import { h } from "./parts.js";
import { visible } from "./tokens.js";

// "mean" -> [null, null], "1" -> [1, null], "1.2" -> [1, 2]: a layer and a head.
export function headOf(attention) {
  const [layer, head] = attention === "mean" ? [] : attention.split(".").map(Number);
  return [layer ?? null, head ?? null];
}

export function headTitle(attention) {
  const [layer, head] = headOf(attention);
  if (layer === null) return "mean of all heads";
  return head === null ? `layer ${layer}, mean of its heads` : `layer ${layer}, head ${head}`;
}

// The choices of the select.
export function headChoices(layers, heads) {
  const all = ["mean"];
  for (let l = 0; l < layers; l++) {
    if (layers > 1) all.push(`${l}`);
    if (heads > 1) for (let i = 0; i < heads; i++) all.push(`${l}.${i}`);
  }
  return all.map((key) => [key, headTitle(key)]);
}

// One row (S) of weights (…, L, H, S): of one head, or the mean of a layer's or of all.
export function picked(weights, row, attention, layers, heads, S) {
  const [layer, head] = headOf(attention), out = new Float64Array(S);
  let count = 0;
  for (let l = layer ?? 0; l <= (layer ?? layers - 1); l++) {
    for (let i = head ?? 0; i <= (head ?? heads - 1); i++) {
      const from = ((row * layers + l) * heads + i) * S;
      for (let s = 0; s < S; s++) out[s] += weights[from + s];
      count += 1;
    }
  }
  return out.map((x) => x / count);
}

export function peak(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

// rows: [{weights or null, truth}] -> how many that have a truth have their largest weight there.
export function agreed(rows) {
  const known = rows.filter((row) => row.weights && row.truth >= 0);
  return { there: known.filter((row) => peak(row.weights) === row.truth).length,
    places: known.length };
}

// ".71", "1.0"; "" for what rounds to nothing.
export function brisk(x) {
  if (x < 0.005) return "";
  return x >= 0.995 ? x.toFixed(1) : x.toFixed(2).slice(1);
}

// Black or white, whichever reads better on this colour.
export function inkOn([r, g, b]) {
  const [x, y, z] = [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * x + 0.7152 * y + 0.0722 * z > 0.179 ? "#000" : "#fff";
}

// The words for a cell of the table.
export function cellSentence(rows, names, { row, column }) {
  const { weights, truth, label, due = label } = rows[row] ?? {};
  if (!weights) return "This piece is not written yet.";
  const known = truth === column ? `, which “${due}” translates` : "";
  const there = truth >= 0 && truth !== column ? ` “${due}” translates ${names[truth]}.` : "";
  return `Before it writes “${visible(label)}”, ${weights[column].toFixed(3)} of its attention is on `
    + `${names[column]}${known}.${there}`;
}

// `act({type: "cell", cell})` hears where the cursor goes, `act({type: "row", row})` of Enter.
// Two keys may come within one frame: `cursor()` gives the cell as it is now.
export function drawCrossing(act, label, cursor) {
  const element = h("div", { class: "tl-cross", tabindex: 0, role: "application",
    "aria-label": `${label}: arrow keys move the cursor, its words stand above` });
  const legend = h("p", { class: "tl-quiet tl-cross-legend" });
  let now = null, cells = [], made = "";

  element.addEventListener("keydown", (event) => {
    if (!now || event.altKey || event.metaKey) return;
    const { rows, source } = now, cell = cursor();
    if (event.key === "Enter" && cell) return act({ type: "row", row: cell.row });
    if (event.key === "Escape") return act({ type: "cell", cell: null });
    const start = cell ?? { row: Math.max(0, rows.findIndex((row) => row.current)), column: 0 };
    const to = moveCursor(start, event.key, rows.length, source.length, event.ctrlKey);
    if (!to) return;
    act({ type: "cell", cell: cell ? to : start });
    event.preventDefault();
  });
  element.addEventListener("click", (event) => {
    const at = cells.findIndex((cell) => cell.box === event.target);
    if (at >= 0) act({ type: "cell", cell: cells[at].place });
  });

  function make({ rows, source }) {
    const wanted = JSON.stringify([rows.length, source]);
    if (made === wanted) return;
    made = wanted;
    element.style.setProperty("--tl-words", source.length);
    element.classList.toggle("tl-cross-small", source.length > 10);
    cells = [];
    const hidden = { "aria-hidden": "true" };
    const head = [h("span", hidden), ...source.map((word) => h("span",
      { class: "tl-cross-word tl-key-ink", title: word }, visible(word))), h("span", hidden)];
    const body = rows.flatMap((_, row) => {
      const boxes = source.map((_, column) => {
        const box = h("span", { class: "tl-cross-cell" });
        cells.push({ box, place: { row, column } });
        return box;
      });
      return [h("span", { class: "tl-cross-piece tl-token" }), ...boxes,
        h("span", { class: "tl-cross-verdict" })];
    });
    element.replaceChildren(...head, ...body);
  }

  // rows: [{label, weights or null, truth, current}]; source: its words; cell: the cursor or null.
  function update(next) {
    now = next;
    make(next);
    const { rows, source, cell } = next, across = source.length + 2;
    const known = rows.some((row) => row.truth >= 0);
    rows.forEach((row, t) => {
      const from = (t + 1) * across, name = element.children[from];
      name.textContent = row.label === "" ? "" : visible(row.label);
      name.classList.toggle("tl-now", Boolean(row.current));
      const best = row.weights ? peak(row.weights) : -1;
      element.children[from + across - 1].textContent = !row.weights || row.truth < 0 ? ""
        : best === row.truth ? "✓" : "✗";
      for (let s = 0; s < source.length; s++) {
        const { box } = cells[t * source.length + s], weight = row.weights?.[s];
        const colour = row.weights ? cividis(weight) : null;
        box.style.background = colour ? `rgb(${colour.join(" ")})` : "";
        box.style.color = colour ? inkOn(colour) : "";
        const text = colour ? brisk(weight) : "";
        if (box.textContent !== text) box.textContent = text;
        box.classList.toggle("tl-true", row.truth === s && Boolean(colour));
        box.classList.toggle("tl-empty", !colour);
        box.classList.toggle("tl-cursor", cell?.row === t && cell?.column === s);
      }
    });
    legend.textContent = "A row shows where it looks before it writes that piece."
      + (known ? " Frame: the word that the piece translates. ✓ the largest weight is there, ✗ it"
        + " is not. A piece without a frame has no partner." : "");
  }
  return { element, legend, update };
}
