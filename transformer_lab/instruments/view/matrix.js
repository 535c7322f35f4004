// Numbers to colours, colours to canvas, keys to cursor. Everything but `drawMatrix` is pure.

// The 256 colours of cividis (Nunez, Anderton and Renslow 2018), as in matplotlib.
const CIVIDIS = Uint8Array.from(atob(
  "ACJNACNPACNQACRSACVUACZVACZXACdZAChbAChcACleACpgACpiACtkACxmACxnAC1pAC5rAC9tAC9vADBwADBwAD" +
  "FwADFwBDJwCDNwCzNwDjRwETVvFDZvFjZvGDdvGjhvHDhuHTluHzpuITtuIjtuJDxuJT1tJz1tKD5tKj9tKz9tLEBt" +
  "LkFsL0JsMEJsMUNsMkRsNERsNUVsNkZsN0ZsOEdsOUhsOkhrO0lrPUprPktrP0trQExrQU1rQk1rQ05rRE9rRU9rRl" +
  "BrR1FrSFFrSVJrSlNrS1RsTFRsTVVsTlZsTlZsT1dsUFhsUVhsUllsU1psVFpsVVttVlxtV11tWF1tWV5tWV9tWl9t" +
  "W2BuXGFuXWFuXmJuX2NuYGRuYWRvYWVvYmZvY2ZvZGdvZWhwZmlwZ2lwaGpwaGtxaWtxamxxa21xbG1ybW5ybm9ybn" +
  "Bzb3BzcHFzcXJzcnN0c3N0dHR1dHV1dXV1dnZ2d3d2eHh2eXh3eXl3enp3e3t3fHt4fXx4fn14f314gH54gX94goB4" +
  "g4B4hIF4hYJ4hYN4hoN4h4R4iIV4iYZ4ioZ4i4d4jIh4jYl4jol4j4p3kIt3kYx3kox3k413lI53lY93lo93l5B2mJ" +
  "F2mZJ2mpN2m5N2nJR2nZV1npZ1n5Z1oJd1oZh0opl0o5p0pJp0pZtzppxzp51zqJ5zqZ5yqp9yq6ByrKFxraJxrqJx" +
  "r6NwsKRwsaVwsqZvs6ZvtKdvtahutqlut6ptuKttuattuqxsu61svK5rva9rvrBqv7BqwbFpwrJpw7NoxLRoxbVnxr" +
  "Vnx7ZmyLdlybhlyrlky7pkzLtjzbxizrxiz71h0L5g0r9g08Bf1MFe1cJe1sNd18Nc2MRb2cVa2sZa28dZ3MhY3slX" +
  "38pW4MtV4cxU4sxT481S5M5R5c9Q5tBP6NFO6dJN6tNM69RL7NVK7dZI7tdH79hG8dlE8tpD89pC9NtA9dw/9t09+N" +
  "47+d86+uA4++E2/eI0/eMz/eU0/eY2/ec3",
), (c) => c.charCodeAt(0));

// Blue, white, burnt orange: the ends are equally dark, so that +x and -x look equally strong.
const NEGATIVE = [0, 114, 178], POSITIVE = [204, 102, 0];

const clamp = (x, low, high) => Math.min(high, Math.max(low, x));

// [0, 1] -> [r, g, b], rounded to the nearest of the 256 colours.
export function cividis(x) {
  const i = 3 * Math.round(255 * clamp(x, 0, 1));
  return [CIVIDIS[i], CIVIDIS[i + 1], CIVIDIS[i + 2]];
}

// [-1, 1] -> [r, g, b]: 0 is white.
export function diverging(x) {
  const end = x < 0 ? NEGATIVE : POSITIVE, t = clamp(Math.abs(x), 0, 1);
  return end.map((c) => Math.round(255 + (c - 255) * t));
}

// One RGBA pixel per value; cells with mask 0 are transparent and get their hatch when drawn.
export function pixels(values, colour, mask) {
  const out = new Uint8ClampedArray(4 * values.length);
  for (let i = 0; i < values.length; i++) {
    if (mask && !mask[i]) continue;
    out.set(colour(values[i]), 4 * i);
    out[4 * i + 3] = 255;
  }
  return out;
}

// The largest whole-pixel cell between `min` and `max` with which `columns` fit in `width`.
export function cellSize(columns, width, min = 3, max = 30) {
  return clamp(Math.floor(width / Math.max(1, columns)), min, max);
}

// Where the cursor {row, column} goes for a key; null if the key does not move it.
export function moveCursor(cursor, key, rows, columns, control = false) {
  const to = (row, column) => ({
    row: clamp(row, 0, rows - 1), column: clamp(column, 0, columns - 1),
  });
  const { row, column } = cursor;
  switch (key) {
    case "ArrowUp": return to(row - 1, column);
    case "ArrowDown": return to(row + 1, column);
    case "ArrowLeft": return to(row, column - 1);
    case "ArrowRight": return to(row, column + 1);
    case "Home": return to(control ? 0 : row, 0);
    case "End": return to(control ? rows - 1 : row, columns - 1);
    case "PageUp": return to(0, column);
    case "PageDown": return to(rows - 1, column);
    default: return null;
  }
}

// The cell under a pointer, or null: `event` is over `element`, whose cells are `cell` CSS pixels.
export function cellAt(event, element, cell, rows, columns) {
  const box = element.getBoundingClientRect();
  const row = Math.floor((event.clientY - box.top) / cell);
  const column = Math.floor((event.clientX - box.left) / cell);
  return row < 0 || column < 0 || row >= rows || column >= columns ? null : { row, column };
}

// Draws rows x columns values, row by row, `cell` CSS pixels each and sharp on any screen.
// A cell with mask 0 is hatched in `hatch` on nothing: it is not the colour of zero.
export function drawMatrix(canvas, { values, rows, columns, cell, colour, mask, hatch = "#888" }) {
  const scale = Math.max(1, Math.round(cell * (globalThis.devicePixelRatio || 1)));
  canvas.width = Math.max(1, columns * scale);
  canvas.height = Math.max(1, rows * scale);
  canvas.style.width = `${columns * cell}px`;
  canvas.style.height = `${rows * cell}px`;
  const context = canvas.getContext("2d");
  if (!rows || !columns) return;
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  small.getContext("2d").putImageData(
    new ImageData(pixels(values, colour, mask), columns, rows), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (mask) drawHatch(context, mask, rows, columns, scale, hatch);
}

function drawHatch(context, mask, rows, columns, scale, colour) {
  context.strokeStyle = colour;
  context.globalAlpha = 0.55;
  context.lineWidth = Math.max(1, scale / 14);
  context.beginPath();
  for (let i = 0; i < rows * columns; i++) {
    if (mask[i]) continue;
    const x = (i % columns) * scale, y = Math.floor(i / columns) * scale;
    for (const part of scale >= 12 ? [0.5, 1, 1.5] : [1]) {
      const a = Math.max(0, part - 1) * scale, b = Math.min(1, part) * scale;
      context.moveTo(x + a, y + b);
      context.lineTo(x + b, y + a);
    }
  }
  context.stroke();
  context.globalAlpha = 1;
}
