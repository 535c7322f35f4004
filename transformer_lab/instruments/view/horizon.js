// The gradient horizon: what is left of a gradient, lag by lag, and the unrolled graph it went
// through. `begin` and `reduce` are pure, and so is all of lags.js.

import { copy, csv, floats, h, linked, listen, readout, select, table, widget } from "./parts.js";
import { amount, ATTENTION, DECADES, FLOOR, FORGETFUL, glow, horizon, key, keptSettings, layout, listing,
  nearest, setting, settingLabel, settingTitle, spoken, summary } from "./lags.js";
import { decade, fitted, stroke, track } from "./strokes.js";

const SYNCED = ["cell", "gain", "forget_bias", "lag", "pins"];
const MOST_PINS = 4, PATIENCE = 2500; // ms until a silent kernel is no longer waited for

export function begin(get) {
  return { ...Object.fromEntries(SYNCED.map((name) => [name, get(name)])), whole: true,
    listed: false };
}

export const current = (state) => setting(state.cell, state.gain, state.forget_bias);

export const TRIES = {
  cells: { label: "Default cells side by side", change: () => ({ cell: "LSTM", gain: 1,
    pins: [["tanh", 1, 0], ["orthogonal tanh", 1, 0], ["GRU", 1, 0], [ATTENTION, 1, 0]] }) },
  bias: { label: "Forget bias 3", change: () => ({ cell: FORGETFUL, gain: 1, forget_bias: 3,
    pins: [["LSTM", 1, 0]] }) },
  explode: { label: "One that explodes", change: () => ({ cell: "orthogonal ReLU", gain: 2,
    pins: [["orthogonal tanh", 1, 0]] }) },
  under: { label: "One that underflows", change: () => ({ cell: "tanh", gain: 0.5,
    pins: [["tanh", 1, 0]] }) },
  reset: { label: "Start again", change: (start) =>
    Object.fromEntries(SYNCED.map((name) => [name, start[name]])) },
};

export function reduce(state, event) {
  switch (event.type) {
    case "set":
      return { ...state, ...event.values };
    case "lag":
      return { ...state, lag: Math.min(event.T - 1, Math.max(0, Math.round(event.to))) };
    case "pin": {
      const of = current(state), held = state.pins.some((pin) => key(pin) === key(of));
      return held || state.pins.length >= MOST_PINS ? state
        : { ...state, pins: [...state.pins, of] };
    }
    case "unpin":
      return { ...state, pins: state.pins.filter((_, i) => i !== event.index) };
    case "try":
      return { ...state, ...TRIES[event.name].change(event.start) };
    default:
      return state;
  }
}

function draw(model, el) {
  const start = model.get("start"), { T } = start, offline = Boolean(model.get("offline"));
  const curves = new Map(), kept = keptSettings(start), seeds = start.seeds;
  const stored = floats(model.get("grid"));
  kept.forEach((of, i) => curves.set(key(of), summary(stored.subarray(i * seeds * T, (i + 1) * seeds * T), T)));
  const take = () => {
    const { of, logs } = model.get("measured"), numbers = floats(logs);
    of.forEach((one, i) => curves.set(key(one), summary(numbers.subarray(i * seeds * T, (i + 1) * seeds * T), T)));
  };
  take();
  let state = begin((name) => model.get(name)), waiting = false, width = 0, silent = offline;
  let last = null, timer = null;

  function act(event) {
    state = reduce(state, event);
    const news = SYNCED.filter((name) =>
      JSON.stringify(model.get(name)) !== JSON.stringify(state[name]));
    news.forEach((name) => model.set(name, state[name]));
    if (news.length) model.save_changes();
    if (news.includes("lag")) link.tell(T - 1 - state.lag);
    later();
  }
  function later() {
    if (!waiting) requestAnimationFrame(show);
    waiting = true;
  }
  // The curve of a setting; the nearest kept one where nobody can measure it.
  function find(of) {
    const exact = curves.get(key(of));
    if (exact) return { of, asked: of, ...exact };
    if (!silent) return null;
    const near = nearest(of, start);
    return { of: near, asked: of, ...curves.get(key(near)) };
  }

  const cells = select("cell", start.cells.map((cell) => [cell, cell]), state.cell,
    (cell) => act({ type: "set", values: { cell } }));
  const dial = (label, name, low, high, step, hint) => {
    const range = h("input", { type: "range", min: low, max: high, step, "aria-label": label,
      oninput: () => act({ type: "set", values: { [name]: Number(range.value) } }) });
    const number = h("b", { class: "tl-number" });
    const note = h("span", { class: "tl-quiet" }, hint);
    return { range, number, note, element: h("label", { class: "tl-turn" },
      h("span", { class: "tl-row" }, label, number), range, note) };
  };
  const gain = dial("gain", "gain", 0.5, 2, 0.05, "multiplies the recurrent matrices");
  const bias = dial("forget bias", "forget_bias", 0, 5, 0.25, "");
  const far = h("input", { type: "range", min: 0, max: T - 1, step: 1, "aria-label": "lag",
    oninput: () => act({ type: "lag", to: Number(far.value), T }) });
  far.dir = "rtl"; // lag 0 is at the right, as in the drawing
  // Right is later, so a smaller lag, in this direction as well as in the drawing.
  const lagText = h("b", { class: "tl-number" });
  const lagRow = h("label", { class: "tl-lag" }, h("span", {}, "lag ", lagText), far);
  const pin = h("button", { type: "button", onclick: () => act({ type: "pin" }) }, "Pin this curve");
  const pins = h("span", { class: "tl-row", role: "group", "aria-label": "pinned curves" });
  const fit = h("button", { type: "button",
    onclick: () => act({ type: "set", values: { whole: !state.whole } }) }, "Fit the axis to the curves");
  const tries = Object.entries(TRIES).map(([name, { label }]) => h("button", { type: "button",
    onclick: () => act({ type: "try", name, start }) }, label));
  const said = readout(), note = h("p", { class: "tl-quiet tl-status", role: "status" });
  const drawing = h("div", { class: "tl-far" });
  const shelf = h("div"), copied = h("span", { class: "tl-quiet", role: "status" });
  const list = h("button", { type: "button", "aria-expanded": "false",
    onclick: () => act({ type: "set", values: { listed: !state.listed } }) }, "Show as table");
  const full = (log) => (log <= FLOOR ? "0" : (10 ** log).toPrecision(6));
  const csvButton = h("button", { type: "button", async onclick() {
    const { rows, columns, values } = listing(showing(), T);
    copied.textContent = await copy(csv(rows, columns, values, full)) ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  const stops = Array.from({ length: 13 }, (_, i) => `rgb(${glow(2 * i - DECADES).join(" ")})`);
  const bar = h("span", { class: "tl-bar" });
  bar.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const scale = h("span", { class: "tl-legend" }, "brightness",
    h("span", { class: "tl-number" }, decade(-DECADES)), bar,
    h("span", { class: "tl-number" }, decade(DECADES)), "orange is 1, × is an exact 0");

  el.append(h("div", { class: "tl-horizon" }, start.title ? h("h3", {}, start.title) : null,
    h("div", { class: "tl-turns" }, h("div", { class: "tl-turn tl-which" }, cells,
      h("span", { class: "tl-quiet" }, `width ${start.width}, ${T} steps, ${seeds} seeds`)),
    gain.element, bias.element),
    h("div", { class: "tl-row", role: "group", "aria-label": "settings to try" },
      h("span", { class: "tl-quiet" }, "Try"), ...tries),
    h("div", { class: "tl-row" }, pin, pins),
    said.element, note, drawing,
    lagRow,
    h("div", { class: "tl-row" }, scale),
    h("div", { class: "tl-row" }, fit, list, csvButton, copied), shelf));

  function showing() {
    const now = find(current(state)) ?? last;
    const others = state.pins.map((of) => find(of)).filter((one) => one && key(one.of) !== key(now.of));
    return [now, ...others];
  }
  function wait(missing) {
    if (!missing) { clearTimeout(timer); timer = null; return; }
    timer ??= setTimeout(() => { timer = null; silent = true; later(); }, PATIENCE);
  }

  function show() {
    waiting = false;
    const asked = current(state), now = find(asked);
    wait(!now || state.pins.some((of) => !find(of)));
    last = now ?? last ?? { of: nearest(asked, start), ...curves.get(key(nearest(asked, start))) };
    const all = showing();
    cells.list.value = state.cell;
    const turn = (one, value, off) => {
      if (Number(one.range.value) !== value) one.range.value = value;
      one.number.textContent = off ? "–" : String(value);
      one.range.disabled = off;
    };
    turn(gain, state.gain, state.cell === ATTENTION);
    gain.note.textContent = state.cell === ATTENTION ? "attention has no recurrent matrix"
      : "multiplies the recurrent matrices";
    turn(bias, state.forget_bias, state.cell !== FORGETFUL);
    bias.note.textContent = state.cell === FORGETFUL ? "large means: keep the memory"
      : `only for “${FORGETFUL}”`;
    far.value = state.lag;
    far.setAttribute("aria-valuetext", `${state.lag} steps back`);
    lagText.textContent = String(state.lag);
    const held = state.pins.some((of) => key(of) === key(asked));
    pin.disabled = held || state.pins.length >= MOST_PINS;
    pin.textContent = held ? "Pinned" : state.pins.length >= MOST_PINS ? "Four are pinned: remove one"
      : "Pin this curve";
    const names = state.pins.map(settingLabel).join();
    if (pins.dataset.names !== names) {
      const had = [...pins.children].indexOf(document.activeElement);
      pins.dataset.names = names;
      pins.replaceChildren(...state.pins.map((of, index) => h("button", { type: "button",
        "aria-label": `Remove ${settingTitle(of)}`, onclick: () => act({ type: "unpin", index }) },
      `${settingLabel(of)} ×`)));
      if (had >= 0) (pins.children[Math.min(had, pins.children.length - 1)] ?? pin).focus();
    }
    fit.textContent = state.whole ? "Fit the axis to the curves" : "Show the axis down to float32’s end";
    list.setAttribute("aria-expanded", String(state.listed));
    list.textContent = state.listed ? "Hide the table" : "Show as table";
    const replaced = all.filter((one) => one.asked && key(one.of) !== key(one.asked));
    note.textContent = !now ? "Measuring this setting…"
      : replaced.length ? `No kernel to measure ${replaced.map((one) => settingTitle(one.asked)).join(" and ")
      }: the nearest kept setting is shown, ${replaced.map((one) => settingTitle(one.of)).join(" and ")}.` : "";
    said.say(spoken(all[0], state.lag, T));
    if (width) {
      const view = layout(all, state, width, T);
      drawing.replaceChildren(drawn(all, state, view, T));
      // The slider's thumb, 16 pixels wide, stands below the lag of the drawing.
      lagRow.style.gridTemplateColumns = `${view.left - 18}px 1fr ${width - view.right - 18}px`;
    }
    if (state.listed) {
      const { rows, columns, values } = listing(all, T);
      shelf.replaceChildren(table("Gradient norm relative to lag 0, over the seeds", rows, columns,
        values, (log) => amount(log)));
    } else shelf.replaceChildren();
  }

  const reach = (event) => {
    const box = drawing.getBoundingClientRect(), view = layout(showing(), state, width, T);
    const share = (event.clientX - box.left - view.left) / (view.right - view.left);
    act({ type: "lag", to: (T - 1) * (1 - share), T });
  };
  drawing.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    drawing.setPointerCapture(event.pointerId);
    reach(event);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (drawing.hasPointerCapture(event.pointerId)) reach(event);
  });

  const link = linked(model, (index) => {
    if (index < T && T - 1 - index !== state.lag) {
      state = reduce(state, { type: "lag", to: T - 1 - index, T });
      model.set("lag", state.lag);
      model.save_changes();
      later();
    }
  });
  const stop = listen(model, {
    "change:measured": () => { take(); silent = offline; later(); },
    ...Object.fromEntries(SYNCED.map((name) => [`change:${name}`, () => {
      if (JSON.stringify(model.get(name)) === JSON.stringify(state[name])) return;
      state = reduce(state, { type: "set", values: { [name]: model.get(name) } });
      later();
    }])),
  });
  const rest = fitted(drawing, (found) => { width = found; show(); });
  show();
  return () => { stop(); rest(); link.stop(); clearTimeout(timer); };
}

// The curves above, one glowing row for each below, and a line through all of them at the lag.
function drawn(shown, state, view, T) {
  const { width, x, y, left, right, head, tall, rows, dot } = view;
  const text = (at, place, words, name, anchor = "start") =>
    stroke("text", { x: at, y: place, class: name, "text-anchor": anchor }, words);
  const svg = stroke("svg", { width, height: view.height, viewBox: `0 0 ${width} ${view.height}`,
    role: "img", "aria-label": `The gradient by lag: ${shown.map(({ of }) => settingTitle(of)).join("; ")}` });
  for (const tick of view.ticks) {
    svg.append(stroke("line", { x1: left, x2: right, y1: y(tick), y2: y(tick),
      class: tick === 0 ? "tl-one" : "tl-grid" }),
    text(right + 7, y(tick) + 4, decade(tick), "tl-label"));
  }
  for (const lag of view.lags) svg.append(text(x(lag), head + tall + 16, String(lag), "tl-label", "middle"));
  svg.append(text(left - 10, head + tall + 16, "steps back", "tl-label", "end"),
    text(width, 11, "gradient, relative to lag 0", "tl-label", "end"),
    text(left - 8, view.height - 3, "step 1", "tl-label"),
    text(right + 8, view.height - 3, `step ${T}: the output`, "tl-label", "end"));
  if (view.floor !== null) {
    svg.append(stroke("line", { x1: left, x2: right, y1: view.floor, y2: view.floor, class: "tl-floor" }),
      text(right - 4, view.floor - 5, "float32 ends at 1.4·10⁻⁴⁵: below it, ▾, exactly 0", "tl-floor-text", "end"));
  }
  view.curves.forEach((_, back) => {
    const i = view.curves.length - 1 - back, curve = view.curves[i], role = i ? "tl-pinned" : "tl-chosen";
    svg.append(stroke("path", { d: `${track(curve.band)}Z`, class: `tl-spread ${role}` }),
      stroke("path", { d: track(curve.points), class: `tl-curve ${role}` }),
      stroke("path", { d: curve.gone.map(([a, b]) => `M${a - 2.5},${b}h5l-2.5,5z`).join(""), class: `tl-gone ${role}` }),
      text(left - 10, view.ends[i] + 4, curve.label, `tl-end ${role}`, "end"));
  });
  svg.append(stroke("line", { x1: x(state.lag), x2: x(state.lag), y1: head, y2: head + tall, class: "tl-cut" }));
  shown.forEach(({ of, middle }, i) => svg.append(row(rows[i], of, middle, i)));
  return svg;

  function row({ top, high, node, fan }, of, middle, i) {
    const group = stroke("g", {}), colour = (log) => `rgb(${(glow(log) ?? glow(-DECADES)).join(" ")})`;
    group.append(stroke("rect", { x: left - 8, width: right - left + 16, y: top, height: high, rx: 4, class: "tl-night" }));
    const steps = fan ? [...new Set([...view.lags.slice(1), T - 1, state.lag])].filter(Boolean) : [];
    for (const lag of steps) {
      const middleX = (x(lag) + x(0)) / 2, rise = 2 * (8 + (27 * lag) / T);
      group.append(stroke("path", { d: `M${x(lag)},${node}Q${middleX},${node - rise} ${x(0)},${node}`,
        fill: "none", stroke: colour(middle[lag]), "stroke-width": lag === state.lag ? 2.5 : 0.8 }));
    }
    if (!fan) {
      for (let lag = 1; lag < T; lag++) {
        group.append(stroke("line", { x1: x(lag), x2: x(lag - 1), y1: node, y2: node, stroke: colour(middle[lag]),
          "stroke-width": lag <= state.lag ? 2.5 : 1 }));
      }
    }
    const lost = [];
    for (let lag = 0; lag < T; lag++) {
      if (middle[lag] <= FLOOR) lost.push(`M${x(lag) - 2},${node - 2}l4,4m0,-4l-4,4`);
      else group.append(stroke("circle", { cx: x(lag), cy: node, r: dot, fill: colour(middle[lag]) }));
    }
    if (lost.length) group.append(stroke("path", { d: lost.join(""), class: "tl-lost" }));
    const at = x(state.lag), words = amount(middle[state.lag]), half = 3.7 * words.length;
    group.append(stroke("circle", { cx: at, cy: node, r: 6, class: "tl-here" }),
      text(Math.min(right - half + 8, Math.max(left + half - 8, at)), top - 5, words, "tl-size", "middle"),
      text(left - 14, node + 4, settingLabel(of), `tl-end ${i ? "tl-pinned" : "tl-chosen"}`, "end"));
    const edge = horizon(middle);
    if (edge !== null && !fan) {
      group.append(stroke("path", { d: `M${x(edge) + 0.5},${top}v${high}`, class: "tl-edge" }));
      if (i === 0 && Math.abs(x(edge) - at) > half + 62) {
        group.append(text(Math.min(right + 8, x(edge) + 50), top - 5, "under 1/1000 ◂", "tl-label", "end"));
      }
    }
    return group;
  }
}

export default widget(draw);
