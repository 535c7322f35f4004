// Lines and marks of an SVG drawing that keeps its letters' size at any width.

const DRAWN = "http://www.w3.org/2000/svg";

export function stroke(tag, attributes = {}, ...children) {
  const element = document.createElementNS(DRAWN, tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null) continue;
    element.setAttribute(name, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
  }
  element.append(...children);
  return element;
}

// "M0,1L2,3": a line through pixels [x, y].
export const track = (points) => points.map(([x, y], i) =>
  `${i ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`).join("");

// Calls `draw(width)` with the width of `element` in CSS pixels, now and whenever it changes.
export function fitted(element, draw) {
  let last = 0;
  const look = () => {
    const width = Math.round(element.clientWidth);
    if (width && width !== last) draw(last = width);
  };
  const watch = new ResizeObserver(look);
  watch.observe(element);
  look();
  return () => watch.disconnect();
}

const lifted = (whole) =>
  [...String(whole)].map((c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[c])).join("");

// 10^whole as text: "1", "10⁻²⁰".
export const decade = (whole) => (whole === 0 ? "1" : `10${lifted(whole)}`);

// A number from its log10 with two digits: "0.17", "12", "5.1·10⁻¹²"; as in horizon_still.py.
export function ten(log) {
  if (log >= -3 && log < 3) {
    const number = 10 ** log;
    return number.toFixed(Math.max(0, 1 - Math.floor(Math.log10(number) + 1e-9)));
  }
  let whole = Math.floor(log), front = (10 ** (log - whole)).toFixed(1);
  if (front === "10.0") [whole, front] = [whole + 1, "1.0"];
  return `${front}·${decade(whole)}`;
}

// The same places, moved so that neighbours stand at least `gap` apart, from `low` to `high`.
export function apart(places, gap, low, high) {
  const order = places.map((_, i) => i).sort((a, b) => places[a] - places[b]), found = [...places];
  let at = low;
  for (const i of order) { found[i] = Math.max(at, places[i]); at = found[i] + gap; }
  at = high;
  for (const i of order.reverse()) { found[i] = Math.min(found[i], at); at = found[i] - gap; }
  return found;
}
