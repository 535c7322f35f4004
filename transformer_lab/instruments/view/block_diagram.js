// The diagram of a layer: drawn from the steps of its forward, a row for each line of code.

const ROW = 38, STREAM = 54, INNER = 166, HALF = 48; // pixels
const SPACE = "http://www.w3.org/2000/svg";

// The diagram of a list of steps: two columns, one for each variable of the code. `states` is the
// stream on the left, `x` what a part works on. Row 0 is the head of the function.
export function diagram(steps) {
  const middle = (row) => ROW * row + ROW / 2, boxes = [], adds = [], paths = [], tips = [];
  const end = ROW * (steps.length + 2);
  steps.forEach(({ kind, reads, writes }, i) => {
    const y = middle(i + 1), x = writes === "states" ? STREAM : INNER;
    if (kind === "add") {
      adds.push({ i, x: STREAM, y });
      paths.push(`M${INNER} ${middle(i) + 12}V${y}H${STREAM + 17}`);
      tips.push({ x: STREAM + 11, y, way: "left" });
      return;
    }
    if (reads !== writes) {
      paths.push(`M${STREAM} ${y}H${x - HALF - 6}`);
      tips.push({ x: x - HALF, y, way: "right" });
    } else if (x === INNER) {
      paths.push(`M${x} ${middle(i) + 12}V${y - 18}`);
      tips.push({ x, y: y - 12, way: "down" });
    }
    boxes.push({ i, x, y, kind });
  });
  tips.push({ x: STREAM, y: end, way: "down" });
  return { width: INNER + HALF + 8, height: end, boxes, adds, paths, tips,
    stream: `M${STREAM} 6V${end - 6}` };
}

// A shape or a text of a drawing.
export function shape(tag, properties = {}, ...children) {
  const element = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const POINTS = { down: [[0, 0], [-4.5, -8], [4.5, -8]], right: [[0, 0], [-8, -4.5], [-8, 4.5]],
  left: [[0, 0], [8, -4.5], [8, 4.5]] };

export function drawDiagram(steps, chosen, choose) {
  const drawn = diagram(steps);
  const tips = drawn.tips.map(({ x, y, way }) => shape("polygon", { class: "tl-tip",
    points: POINTS[way].map(([dx, dy]) => `${x + dx},${y + dy}`).join(" ") }));
  const pick = (i, name) => ({ class: `${name}${i === chosen ? " tl-on" : ""}`, onclick: () => choose(i) });
  const boxes = drawn.boxes.map(({ i, x, y, kind }) => shape("g", pick(i, `tl-box tl-is-${kind}`),
    shape("rect", { x: x - HALF, y: y - 12, width: 2 * HALF, height: 24 }),
    shape("rect", { x: x - HALF, y: y - 12, width: 6, height: 24, class: "tl-side-mark" }),
    shape("text", { x: x + 3, y: y + 4, "text-anchor": "middle" }, kind)));
  const adds = drawn.adds.map(({ i, x, y }) => shape("g", pick(i, "tl-box"),
    shape("circle", { cx: x, cy: y, r: 11 }),
    shape("path", { d: `M${x - 5} ${y}H${x + 5}M${x} ${y - 5}V${y + 5}` })));
  return shape("svg", { width: drawn.width, height: drawn.height, "aria-hidden": "true",
    viewBox: `0 0 ${drawn.width} ${drawn.height}` },
  shape("path", { d: drawn.stream, class: "tl-stream" }),
  ...drawn.paths.map((d) => shape("path", { d, class: "tl-flow" })), ...tips, ...boxes, ...adds);
}
