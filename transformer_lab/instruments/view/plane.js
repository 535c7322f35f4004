// A plane with arrows or points that can be dragged. Everything but `drawPlane` is pure.

const NAMESPACE = "http://www.w3.org/2000/svg";
const SIDE = 300, REACH = 26, HEAD = 11; // units of the drawing: width, grip, arrowhead
const ROUND = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];

// How far the axes reach so that these numbers fit: 1, 1.2, 1.5, 2, … 8, 10, 12, …
export function reach(numbers) {
  const most = 1.25 * Math.max(0, ...numbers.map(Math.abs));
  if (most === 0) return 1;
  const ten = 10 ** Math.floor(Math.log10(most));
  return Number((ten * ROUND.find((x) => x * ten >= most * (1 - 1e-9))).toPrecision(3));
}

// The reach kept while numbers still fit and do not get lost in it.
export function room(numbers, now) {
  const need = reach(numbers);
  return now >= need && now <= 3 * need ? now : need;
}

// frame: {left, right, bottom, top} in the numbers' own units.
export function toPixels([x, y], { left, right, bottom, top }) {
  return [(SIDE * (x - left)) / (right - left), (SIDE * (top - y)) / (top - bottom)];
}
export function fromPixels([x, y], { left, right, bottom, top }) {
  return [left + (x / SIDE) * (right - left), top - (y / SIDE) * (top - bottom)];
}

// The corners of the convex hull, in order around it (Andrew's monotone chain).
export function hull(points) {
  const sorted = [...points].sort((a, b) => a[0] - b[0] || a[1] - b[1])
    .filter((p, i, all) => !i || p[0] !== all[i - 1][0] || p[1] !== all[i - 1][1]);
  if (sorted.length < 3) return sorted;
  const turn = (a, b, c) => (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
  const half = (list) => list.reduce((chain, p) => {
    while (chain.length > 1 && turn(chain.at(-2), chain.at(-1), p) <= 0) chain.pop();
    return [...chain, p];
  }, []).slice(0, -1);
  return [...half(sorted), ...half(sorted.reverse())];
}

// Tips that lie together share one label: lists of indices.
export function groups(pixels, near = 12) {
  const found = [];
  pixels.forEach((p, i) => {
    const home = found.find((group) => Math.hypot(p[0] - pixels[group[0]][0],
      p[1] - pixels[group[0]][1]) < near);
    if (home) home.push(i);
    else found.push([i]);
  });
  return found;
}

// The index of the tip under a pointer, or -1; the chosen one wins where several lie together.
export function grab(pixels, at, chosen) {
  const far = pixels.map((p) => Math.hypot(p[0] - at[0], p[1] - at[1]));
  const least = Math.min(...far);
  if (least > REACH) return -1;
  return far[chosen] - least < 4 ? chosen : far.indexOf(least);
}

// An arrow's shaft and head in pixels; a very short one is only its head's point.
export function arrow([x0, y0], [x1, y1], width) {
  const long = Math.hypot(x1 - x0, y1 - y0), head = Math.min(HEAD + width, long);
  const [u, v] = long ? [(x1 - x0) / long, (y1 - y0) / long] : [0, 0];
  const wide = head * 0.42, [x, y] = [x1 - u * head, y1 - v * head];
  return {
    shaft: [x0, y0, x1 - 0.8 * u * head, y1 - 0.8 * v * head],
    head: [[x1, y1], [x - v * wide, y + u * wide], [x + v * wide, y - u * wide]],
  };
}

const clipped = (name) => (name.length > 12 ? `${name.slice(0, 11)}…` : name);

// Where a label of this width starts: beyond its tip, seen from the origin, and inside the plane;
// above its tip where the tips stand side by side.
export function beside([x, y], origin, width, above) {
  const [dx, dy] = [x - origin[0], y - origin[1]], long = Math.hypot(dx, dy);
  const [u, v] = long && !above ? [dx / long, dy / long] : [0, above && dy > 0 ? 1 : -1];
  const kept = (z, low, high) => Math.max(low, Math.min(high, z));
  return [kept(x + 17 * u + (width / 2) * (u - 1), 2, SIDE - width - 2),
    kept(y + (above ? 25 : 21) * v + 4, 12, SIDE - 4)];
}

function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NAMESPACE, tag);
  set(element, attributes);
  element.append(...children);
  return element;
}
function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    const text = typeof value === "number" ? String(Math.round(value * 100) / 100) : value;
    if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  }
}
const path = (points) => points.map((p) => p.map((x) => x.toFixed(2)).join(",")).join(" ");

// `take(index)`, `drag(index, point)`, `drop()` and `key(event)` hear what the hand does.
export function drawPlane(label, { take, drag, drop, key }) {
  const grid = s("g", { class: "tl-plane-grid" }), area = s("polygon", { class: "tl-hull" });
  const lines = s("g"), items = s("g"), ring = s("circle", { r: 13, class: "tl-ring" });
  const shade = s("g", { class: "tl-shadow" }, s("line"), s("line"));
  const output = s("g", { class: "tl-output" }, s("line"), s("circle", { r: 6.5 }), s("text", {}, "output"));
  const labels = s("g", { class: "tl-plane-names" }), grips = s("g");
  const element = s("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, class: "tl-plane", tabindex: "0",
    role: "application", "aria-label": label, "data-lm-suppress-shortcuts": "true" },
  grid, area, lines, shade, items, output, ring, labels, grips);
  let now = null, held = null;

  const inside = (event) => {
    const box = element.getBoundingClientRect();
    return [((event.clientX - box.left) * SIDE) / box.width,
      ((event.clientY - box.top) * SIDE) / box.height];
  };
  element.addEventListener("keydown", key);
  element.addEventListener("pointerdown", (event) => {
    const at = inside(event), index = now ? grab(now.tips, at, now.chosen) : -1;
    if (index < 0 || event.button) return;
    const tip = now.tips[index];
    held = { index, x: tip[0] - at[0], y: tip[1] - at[1] };
    element.setPointerCapture(event.pointerId);
    element.classList.add("tl-held");
    take(index);
  });
  element.addEventListener("pointermove", (event) => {
    const [x, y] = inside(event);
    if (!now) return;
    element.classList.toggle("tl-near", grab(now.tips, [x, y], -1) >= 0);
    if (!held) return;
    const kept = (z) => Math.min(SIDE, Math.max(0, z));
    drag(held.index, fromPixels([kept(x + held.x), kept(y + held.y)], now.frame));
  });
  for (const name of ["pointerup", "pointercancel"]) {
    element.addEventListener(name, () => {
      if (!held) return;
      held = null;
      element.classList.remove("tl-held");
      drop();
    });
  }

  // Light lines at round numbers, the axes, and a number at the last line of each.
  function rule(frame) {
    const same = now && Object.keys(frame).every((side) => frame[side] === now.frame[side]);
    if (same) return;
    grid.replaceChildren();
    const axis = (low, high, place, write) => {
      const step = ticks(high - low);
      const last = Math.floor(high / step - 1e-6), first = Math.ceil(low / step + 1e-6);
      for (let i = first; i <= last; i++) place(i * step, i ? "" : "tl-axis");
      for (const i of new Set([first, last])) if (i) write(i * step);
    };
    const [zeroX, zeroY] = toPixels([0, 0], frame);
    const words = (x) => String(Number(x.toPrecision(3))).replace("-", "−");
    if (!frame.slots) {
      axis(frame.left, frame.right, (x, name) => {
        const [at] = toPixels([x, 0], frame);
        grid.append(s("line", { x1: at, x2: at, y1: 0, y2: SIDE, class: name }));
      }, (x) => grid.append(s("text", { x: toPixels([x, 0], frame)[0], y: zeroY + 13,
        "text-anchor": "middle" }, words(x))));
    }
    axis(frame.bottom, frame.top, (y, name) => {
      const [, at] = toPixels([0, y], frame);
      grid.append(s("line", { y1: at, y2: at, x1: 0, x2: SIDE, class: name }));
    }, (y) => grid.append(s("text", { x: frame.slots ? 4 : zeroX + 5,
      y: toPixels([0, y], frame)[1] - 4 }, words(y))));
  }

  function nodes(parent, count, make) {
    while (parent.children.length < count) parent.append(make());
    while (parent.children.length > count) parent.lastChild.remove();
    return [...parent.children];
  }

  // What is drawn: frame; items [{name, at, role, width, kind: "arrow" | "point" | "slot"}]; the
  // index `chosen`, or -1; `hull` and `output` or null; `shadow` [from, to] or null.
  function update(view) {
    rule(view.frame);
    const px = (p) => toPixels(p, view.frame), origin = px([0, 0]);
    const tips = view.items.map((item) => px(item.at));
    now = { frame: view.frame, tips, chosen: view.chosen };
    nodes(items, tips.length, () => s("g", {}, s("line"), s("polygon"), s("rect")))
      .forEach((group, place) => {
        // The first item, the query, is drawn last: it stays visible on top of a key.
        const i = tips.length - 1 - place;
        const { role, width, kind } = view.items[i], [line, head, square] = group.children;
        set(group, { class: `tl-role-${role}` });
        if (kind === "arrow") {
          const { shaft: [x1, y1, x2, y2], head: corners } = arrow(origin, tips[i], width);
          set(line, { x1, y1, x2, y2, "stroke-width": width });
          set(head, { points: path(corners) });
        } else {
          const [x, y] = tips[i], zero = kind === "slot" ? origin[1] : y, half = 3.5 + width;
          set(line, { x1: x, x2: x, y1: zero, y2: y, "stroke-width": 2 });
          set(square, { x: x - half, y: y - half, width: 2 * half, height: 2 * half });
        }
      });
    const corners = (view.hull ?? []).map(px);
    set(area, { points: path(corners) });
    const out = view.output && px(view.output);
    output.style.display = out ? "" : "none";
    const pulls = out && !view.frame.slots ? tips : [];
    nodes(lines, pulls.length, () => s("line", { class: "tl-pull" })).forEach((line, i) =>
      set(line, { x1: tips[i][0], y1: tips[i][1], x2: out[0], y2: out[1],
        "stroke-width": 6 * view.weights[i] }));
    if (out) {
      const [line, ball, text] = output.children, right = out[0] < SIDE - 70;
      const low = out[1] < 20 || tips.some((tip) => Math.hypot(tip[0] - out[0], tip[1] - out[1]) < 12);
      set(line, { x1: 0, x2: view.frame.slots ? SIDE : 0, y1: out[1], y2: out[1] });
      set(ball, { cx: out[0], cy: out[1] });
      set(text, { x: out[0] + (right ? 11 : -11), y: out[1] + (low ? 18 : -8),
        "text-anchor": right ? "start" : "end" });
    }
    const tip = tips[view.chosen];
    ring.style.display = tip ? "" : "none";
    if (tip) set(ring, { cx: tip[0], cy: tip[1] });
    shade.style.display = view.shadow ? "" : "none";
    if (view.shadow) {
      const [from, to] = view.shadow.map(px), [fall, along] = shade.children;
      set(fall, { x1: from[0], y1: from[1], x2: to[0], y2: to[1] });
      set(along, { x1: origin[0], y1: origin[1], x2: to[0], y2: to[1] });
    }
    const together = groups(tips);
    nodes(labels, together.length, () => s("text")).forEach((text, i) => {
      const group = together[i];
      const words = group.slice(0, group.length > 3 ? 2 : 3).map((j) => view.items[j]);
      const more = group.length > words.length ? ` and ${group.length - words.length} more` : "";
      const letters = words.map(({ name }) => clipped(name)).join(", ").length + more.length;
      const [x, y] = beside(tips[group[0]], origin, 8 * letters, words[0].kind === "slot");
      set(text, { x, y });
      const wanted = words.map(({ name, role }) => `${role} ${name}`).join() + more;
      if (text.dataset.words === wanted) return;
      text.dataset.words = wanted;
      text.replaceChildren(...words.flatMap(({ name, role }, j) => [
        ...(j ? [s("tspan", {}, ", ")] : []),
        s("tspan", { class: `tl-role-${role}` }, clipped(name))]), more);
    });
    nodes(grips, tips.length, () => s("circle", { r: REACH, class: "tl-grip" }))
      .forEach((grip, i) => set(grip, { cx: tips[i][0], cy: tips[i][1] }));
  }
  return { element, update };
}

// A round distance between grid lines: about five lines across.
export function ticks(span) {
  const rough = span / 6, ten = 10 ** Math.floor(Math.log10(rough));
  return ten * [1, 2, 5, 10].find((x) => x * ten >= rough);
}
