// A figure with controls: native controls here, the drawing in Python.
// Everything but `draw` is pure.

import { copy, csv, h, listen, readout, select, table, widget } from "./parts.js";
import { slider } from "./slider.js";

// The values with one changed; null where nothing changes.
export function reduce(values, { name, value }) {
  return values[name] === value ? null : { ...values, [name]: value };
}

// A range's number with as many places as its low end and its step have.
export function tidy(x, { low, high, step }) {
  const places = Math.max(...[low, step].map((number) => {
    const [digits, power] = String(number).split("e");
    return Math.max(0, (digits.split(".")[1] ?? "").length - Number(power ?? 0));
  }));
  return Math.min(high, Math.max(low, Number(x.toFixed(Math.min(20, places)))));
}

export const worded = (x) => String(Number(Number(x).toPrecision(6))).replace("-", "−");

// What stands below the picture: the error first, for it is the news.
export function sentence(words, message, offline) {
  if (message) return message;
  return offline ? `${words} This page has no Python: the picture stays as it is.` : words;
}

// Cells of a table: at most four digits; None is empty.
export const cellText = (x) => (x === null ? "" : String(Number(x.toPrecision(4))).replace("-", "−"));

function knob(control, act) {
  const { name, kind } = control, say = (value) => act({ name, value });
  if (kind === "range") {
    const { low, high, step } = control, read = (x) => tidy(x, control);
    return slider(name, { low, high, step, read, say: worded }, say);
  }
  if (kind === "choice") {
    const { options } = control;
    const element = select(name, options.map((text, i) => [String(i), String(text)]), "0",
      (i) => say(options[i]));
    element.list.setAttribute("aria-label", name);
    return { element, update(value) { element.list.value = String(options.indexOf(value)); } };
  }
  const box = h("input", { type: "checkbox", onchange: () => say(box.checked) });
  const element = h("label", { class: "tl-choice" }, box, h("span", {}, name));
  return { element, update(value) { box.checked = value; } };
}

// Calls `show` with the picture's bytes now and after every change, until the returned function is
// called. In a notebook the picture is a model of its own; on a page it is the bytes themselves.
function pictures(model, show) {
  const held = model.get("image");
  let stop = () => {}, over = false;
  if (typeof held !== "string") show(held);
  else {
    model.widget_manager.get_model(held.replace("IPY_MODEL_", "")).then((image) => {
      if (over) return;
      const draw = () => show(image.get("value"));
      stop = listen(image, { "change:value": draw });
      draw();
    });
  }
  return () => { over = true; stop(); };
}

function draw(model, el) {
  const controls = model.get("controls"), offline = Boolean(model.get("offline"));
  let values = model.get("values"), open = false, address = "";

  function act(event) {
    const next = reduce(values, event);
    if (!next) return;
    values = next;
    model.set("values", values);
    model.save_changes();
    show();
  }

  const knobs = controls.map((control) => knob(control, act));
  const frame = h("fieldset", { class: "tl-knobs-of", "aria-label": "controls" },
    ...knobs.map((one) => one.element));
  const picture = h("img", { class: "tl-drawn", alt: "" }), said = readout();
  const note = h("span", { class: "tl-quiet", role: "status" }), below = h("div");
  const again = h("button", { type: "button", onclick() {
    values = Object.fromEntries(controls.map(({ name, start }) => [name, start]));
    model.set("values", values);
    model.save_changes();
    show();
  } }, "Start again");
  const asRows = h("button", { type: "button", onclick() { open = !open; show(); } });
  const asText = h("button", { type: "button", async onclick() {
    const { rows, columns, values: cells } = model.get("table");
    const text = csv(rows, columns, cells, (x) => (x === null ? "" : String(x)));
    note.textContent = await copy(text) ? "Copied."
      : "The browser did not allow copying; select the table instead.";
  } }, "Copy as CSV");
  frame.disabled = again.disabled = offline;
  el.append(h("div", { class: "tl-controls" }, model.get("title") ? h("h3", {}, model.get("title")) : null,
    frame, picture, said.element,
    h("div", { class: "tl-row" }, again, asRows, asText, note), below));

  function show() {
    knobs.forEach((one, i) => one.update(values[controls[i].name]));
    const numbers = model.get("table"), known = Boolean(numbers?.rows?.length);
    picture.alt = model.get("words");
    said.say(sentence(model.get("words"), model.get("message"), offline));
    said.element.classList.toggle("tl-trouble", Boolean(model.get("message")));
    asRows.disabled = asText.disabled = !known;
    asRows.textContent = open ? "Hide the table" : "Show as table";
    asRows.setAttribute("aria-expanded", String(open));
    below.replaceChildren(...(open && known ? [table("The numbers of the picture", numbers.rows,
      numbers.columns, numbers.values, cellText)] : []));
  }
  const stopPictures = pictures(model, (bytes) => {
    picture.hidden = !bytes?.byteLength;
    const old = address;
    address = URL.createObjectURL(new Blob([bytes ?? ""], { type: "image/png" }));
    picture.src = address;
    if (old) URL.revokeObjectURL(old);
  });
  const stop = listen(model, {
    "change:values": () => { values = model.get("values"); show(); },
    "change:words": show, "change:message": show, "change:table": show,
  });
  show();
  return () => { stop(); stopPictures(); if (address) URL.revokeObjectURL(address); };
}

export default widget(draw);
