"""One self-contained page: modules inlined, data as base64, no network and no kernel.

The page gives each view a small stand-in for the Jupyter model: get, set, on, off, save_changes
and send work within the page; `model.get("offline")` is true, so that a view can say what needs
a kernel.
"""

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

RUNTIME = """
function revive(value) {
  if (Array.isArray(value)) return value.map(revive);
  if (value === null || typeof value !== "object") return value;
  if (typeof value.$bytes === "string") {
    const text = atob(value.$bytes), bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new DataView(bytes.buffer);
  }
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, revive(v)]));
}
function standIn(state) {
  const heard = new Map();
  const tell = (name, ...rest) => [...(heard.get(name) ?? [])].forEach((f) => f(...rest));
  return {
    get: (name) => state[name],
    set(name, value) {
      if (JSON.stringify(state[name]) === JSON.stringify(value)) return;
      state[name] = value;
      tell(`change:${name}`, this, value);
      tell("change", this);
    },
    on(name, f) { heard.set(name, [...(heard.get(name) ?? []), f]); },
    off(name, f) { heard.set(name, (heard.get(name) ?? []).filter((g) => f && g !== f)); },
    save_changes() {},
    send() {},
  };
}
for (const place of document.querySelectorAll(`[data-part="${part}"]`)) {
  const state = revive(JSON.parse(place.querySelector("script").textContent));
  place.replaceChildren();
  instrument.render({ model: standIn({ ...state, offline: true }), el: place });
}
"""
STYLE = """
:root { color-scheme: light dark; background: Canvas; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; font: 14px/1.5 system-ui, sans-serif; }
"""


class Part(NamedTuple):
    """One instrument of a page: its module and style, its state, and words for want of a script."""

    module: str
    style: str
    state: Mapping[str, Any]
    words: str


def plain(value: Any) -> Any:
    """Bytes at any depth become {"$bytes": base64}."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def embedded(parts: Sequence[Part]) -> tuple[list[str], str, str]:
    """What a page needs for some instruments: a section for each, all styles, all scripts.

    Equal modules are carried once. The scripts go behind the sections.
    """
    modules = list(dict.fromkeys(part.module for part in parts))
    styles = dict.fromkeys(part.style for part in parts)
    sections, scripts = [], []
    for part in parts:
        # "<" is escaped so that no token can end the script element.
        state = json.dumps(plain(part.state), separators=(",", ":")).replace("<", "\\u003c")
        sections.append(
            f'<section data-part="{modules.index(part.module)}">'
            f'<script type="application/json">{state}</script>'
            f"<noscript>{html.escape(part.words)}</noscript></section>"
        )
    for index, module in enumerate(modules):
        if "export default" not in module or "</script" in module:
            raise ValueError(f"module {index} must export a default and never close a script")
        code = module.replace("export default", "const instrument =", 1)
        run = f'{{ const part = "{index}";{RUNTIME}}}'
        scripts.append(f'<script type="module">{code}{run}</script>')
    return sections, "".join(styles), "\n".join(scripts)


def page(title: str, parts: Sequence[Part]) -> str:
    """The whole HTML page for one or more instruments."""
    sections, style, scripts = embedded(parts)
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            # An empty icon: without it a browser asks the server for one.
            f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>',
            f"<style>{STYLE}{style}</style></head><body>",
            *sections,
            scripts,
            "</body></html>\n",
        ]
    )
