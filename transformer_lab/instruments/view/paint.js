// The state of the mask painter: what a hand, a rule, a size or Python does to the masks. Pure.

import { fits, hide, preset, RULES } from "./flow.js";
import { stroke } from "./grids.js";

export const SIDES = { mask: ["T", "S"], encoder: ["source", "source"], decoder: ["target", "target"],
  cross: ["target", "source"] };
export const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The view's state. grids: {part: {rule, base, from}}, where `rule` is "painted" after a hand has
// painted, `base` is the mask before padding is hidden and `from` the rule that new cells follow.
// cursor and point: {row, column} in the part in hand; brush: what the stroke under way paints.
export function begin(get) {
  const { rules, sizes, lengths, masks: given } = get("start"), masks = get("masks");
  const state = { part: get("part"), layers: get("layers"), sizes, cursor: null, point: null,
    brush: null, past: [] };
  if (!same(masks, given)) return loaded(state, masks);
  const sides = sidesOf(masks);
  const grids = Object.fromEntries(Object.entries(masks).map(([part, mask]) => {
    const rule = rules[part], base = rule === "painted" ? mask
      : preset(rule, mask.length, mask[0].length, sizes[rule]);
    return [part, { rule, base, from: rule === "painted" ? "none" : rule }];
  }));
  return { ...state, sides, lengths, grids, square: sides.T === sides.S };
}

const sidesOf = (masks) => (masks.mask ? { T: masks.mask.length, S: masks.mask[0].length }
  : { source: masks.encoder.length, target: masks.decoder.length });

function loaded(state, masks) {
  const sides = sidesOf(masks);
  const grids = Object.fromEntries(Object.entries(masks).map(([part, base]) =>
    [part, { rule: "painted", base, from: "none" }]));
  return settled({ ...state, sides, lengths: { ...sides }, grids, square: sides.T === sides.S });
}

// How many keys of this part are real.
export const real = (state, part) => state.lengths[SIDES[part][1]];

export function maskOf(state, part = state.part) {
  return hide(state.grids[part].base, real(state, part));
}

export function masksOf(state) {
  return Object.fromEntries(Object.keys(state.grids).map((part) => [part, maskOf(state, part)]));
}

function settled(state) {
  const [T, S] = SIDES[state.part].map((side) => state.sides[side]);
  const inside = (cell) => cell && { row: Math.min(cell.row, T - 1), column: Math.min(cell.column, S - 1) };
  return { ...state, cursor: inside(state.cursor), point: inside(state.point) };
}

function remembered(state) {
  const { grids, sides, lengths, sizes, square, past } = state;
  return { ...state, past: [...past.slice(-49), { grids, sides, lengths, sizes, square }] };
}

function painted(state, cells, value) {
  let { lengths, grids } = state;
  const { part } = state, side = SIDES[part][1], old = grids[part];
  let { base } = old;
  if (cells.some(({ column }) => column >= lengths[side])) {
    // A cell of padding is painted: the padding becomes part of the painting.
    grids = Object.fromEntries(Object.entries(grids).map(([name, one]) => [name,
      SIDES[name][1] === side ? { ...one, base: hide(one.base, lengths[side]), rule: "painted" } : one]));
    base = grids[part].base;
    lengths = { ...lengths, [side]: state.sides[side] };
  }
  const hit = new Set(cells.map(({ row, column }) => `${row} ${column}`));
  base = base.map((row, t) => row.map((may, s) => (hit.has(`${t} ${s}`) ? value : may)));
  return { ...state, lengths, grids: { ...grids, [part]: { ...old, rule: "painted", base } } };
}

function resized(state, sides) {
  const lengths = Object.fromEntries(Object.entries(sides).map(([side, n]) =>
    [side, state.lengths[side] === state.sides[side] ? n : Math.min(state.lengths[side], n)]));
  const grids = Object.fromEntries(Object.entries(state.grids).map(([part, { rule, base, from }]) => {
    const [T, S] = SIDES[part].map((side) => sides[side]);
    const follows = rule === "painted" ? from : rule;
    const fitting = fits(follows, T, S, part) ? follows : "all";
    const fresh = preset(fitting, T, S, state.sizes[fitting]);
    if (rule !== "painted") return [part, { rule: fitting, base: fresh, from: fitting }];
    return [part, { rule, from, base: fresh.map((row, t) => row.map((x, s) => base[t]?.[s] ?? x)) }];
  }));
  return settled({ ...state, sides, lengths, grids });
}

export function reduce(state, event) {
  switch (event.type) {
    case "part":
      return event.part === state.part ? state
        : { ...state, part: event.part, cursor: null, point: null, brush: null };
    case "rule": {
      const { part } = state, rule = event.rule === "padding" ? "all" : event.rule;
      const [row, key] = SIDES[part], [T, S] = [state.sides[row], state.sides[key]];
      if (!RULES[rule] || !fits(rule, T, S, part)) return state;
      const grid = { rule, from: rule, base: preset(rule, T, S, state.sizes[rule]) };
      const lengths = event.rule === "padding" && real(state, part) === S
        ? { ...state.lengths, [key]: Math.ceil((2 * S) / 3) } : state.lengths;
      return { ...remembered(state), lengths, grids: { ...state.grids, [part]: grid } };
    }
    case "size": {
      const sizes = { ...state.sizes, [event.rule]: event.to };
      const grids = Object.fromEntries(Object.entries(state.grids).map(([part, one]) =>
        [part, one.rule !== event.rule ? one
          : { ...one, base: preset(one.rule, one.base.length, one.base[0].length, event.to) }]));
      return { ...state, sizes, grids };
    }
    case "side": {
      const sides = { ...state.sides, [event.side]: event.to };
      if (state.square && event.side === "T") sides.S = event.to;
      return resized(state, sides);
    }
    case "square":
      return { ...resized(state, event.on ? { T: state.sides.T, S: state.sides.T } : state.sides),
        square: event.on };
    case "length":
      return { ...state, lengths: { ...state.lengths, [event.side]: event.to } };
    case "layers":
      return { ...state, layers: event.to };
    case "press": {
      const { row, column } = event.cell, brush = !maskOf(state)[row][column];
      return { ...painted(remembered(state), [event.cell], brush), brush, cursor: event.cell, point: null };
    }
    case "paint":
      if (state.brush === null || same(event.cell, state.cursor)) return state;
      return { ...painted(state, stroke(state.cursor, event.cell), state.brush), cursor: event.cell };
    case "drop":
      return { ...state, brush: null };
    case "move":
      return { ...state, cursor: event.cell, point: null };
    case "sweep": {
      const from = state.cursor ?? event.cell, value = maskOf(state)[from.row][from.column];
      return { ...painted(remembered(state), [event.cell], value), cursor: event.cell, point: null };
    }
    case "toggle": {
      const cursor = state.cursor ?? { row: 0, column: 0 };
      const value = !maskOf(state)[cursor.row][cursor.column];
      return { ...painted(remembered(state), [cursor], value), cursor, point: null };
    }
    case "point":
      return { ...state, point: event.cell };
    case "undo":
      return state.past.length
        ? settled({ ...state, ...state.past.at(-1), past: state.past.slice(0, -1) }) : state;
    case "reset": {
      const get = (name) => ({ start: event.start, masks: event.start.masks, part: state.part,
        layers: state.layers })[name];
      return settled({ ...begin(get), cursor: state.cursor, past: remembered(state).past });
    }
    case "masks":
      return same(event.masks, masksOf(state)) ? state : loaded(state, event.masks);
    default:
      return state;
  }
}
