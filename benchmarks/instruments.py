"""Every instrument, from an event to the painted frame that answers it; peers; loads and sizes.

    python benchmarks/instruments.py [NAME ...]

24 real interactions each, by Chromium's own input, in one JupyterLab notebook that holds them all;
NAME picks instruments by class. The median and p95 stand beside the machine's load: compare each
with "click a head" of the same run. The known attention viewers are measured beside our exported
page, on the same attention, where TRANSFORMER_LAB_PEERS names a folder that has them:

    pip install --no-deps --target DIR bertviz circuitsvis
    npm install --prefix DIR d3@5.7.0 jquery@2 requirejs@2
"""

import importlib.metadata
import math
import os
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import Browser, Locator, Page, Route, TimeoutError, sync_playwright

from transformer_lab.instruments import export
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.instruments.base import VIEW

# The rig and the examples are the tests' own; tests/ is no package.
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "browser"))
from gallery import EXAMPLES, classes
from rigs import FLAGS, Lab, executable, jupyterlab

ROOT = Path(__file__).resolve().parents[1]
TIMES, TOKENS = 24, 32
HAND, PYTHON, MANY = (34, 100), (120, None), (None, 60)  # ms: median, p95
PEERS = "TRANSFORMER_LAB_PEERS"
SCRIPTS = {  # what BertViz loads from elsewhere, and where npm puts it
    "require.min.js": "requirejs/require.js",
    "d3.min.js": "d3/dist/d3.min.js",
    "jquery.min.js": "jquery/dist/jquery.min.js",
}
SETUP = f"""
import sys
sys.path.append({str(ROOT / "tests")!r})
import numpy as np
from gallery import EXAMPLES
from transformer_lab.instruments.attention import AttentionExplorer
from transformer_lab.instruments.builder import BlockBuilder
from transformer_lab.instruments.horizon import GradientHorizon
def explorer(layers, T):
    rows = np.random.default_rng(0).dirichlet(np.full(T, .3), (layers, 12, T))
    return AttentionExplorer(list(rows), [f"token{{i}}" for i in range(T)])
"""
# The event's own time, then the first task after a painted frame in which the page had answered:
# anything below `root` changed, or, with `read`, what it reads there is new and not null.
WATCH = """([root, type, read]) => {
  const get = read ? eval(read) : null, before = get?.(root), channel = new MessageChannel();
  let began = null, answered = false;
  const seen = new MutationObserver(() => {
    if (began === null) return;
    const now = get?.(root);
    answered ||= !get || (now !== null && now !== before);
  });
  seen.observe(root, { subtree: true, childList: true, characterData: true, attributes: true });
  window.taken = null;
  const turn = window.turn = (window.turn ?? 0) + 1;
  const frame = () => requestAnimationFrame(() => channel.port2.postMessage(0));
  channel.port1.onmessage = () => {
    if (turn !== window.turn) return seen.disconnect(); // nobody waits any more
    if (!answered) return frame();
    window.taken = performance.now() - began;
    seen.disconnect();
  };
  addEventListener(type, (event) => { began = event.timeStamp; frame(); },
    { capture: true, once: true });
}"""


class Action(NamedTuple):
    """What a learner does: `do(page, root, turn)`, and what counts as the answer."""

    name: str
    event: str
    do: Callable[[Page, Locator, int], object]
    read: str = ""  # a JavaScript function of the instrument's root; null: no answer yet
    budget: tuple[float | None, float | None] = HAND
    focus: str = ""  # gets the focus first
    rest: int = 60  # ms from one answer to the next turn


def middle(one: Locator, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    """A place in an element that is brought into view, in pixels of the window."""
    one.scroll_into_view_if_needed()
    box = one.bounding_box()
    assert box
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def click(css: str, among: int = 1) -> Callable[[Page, Locator, int], object]:
    """Clicks the first of these elements, or one after another of the first `among`."""
    return lambda page, root, turn: page.mouse.click(*middle(root.locator(css).nth(turn % among)))


def keys(*names: str) -> Callable[[Page, Locator, int], object]:
    """Presses one key after another."""
    return lambda page, root, turn: page.keyboard.press(names[turn % len(names)])


def hover(css: str, across: int) -> Callable[[Page, Locator, int], object]:
    """Moves the pointer from cell to cell of the first 32 × 32 of across × across."""

    def move(page: Page, root: Locator, turn: int) -> None:
        board = root.locator(css)
        board.evaluate("(e) => e.scrollIntoView({ block: 'start', inline: 'start' })")
        x, y = (7 * turn + 3) % 32, (5 * turn + 1) % 32
        page.mouse.move(*middle(board, (x + 0.5) / across, (y + 0.5) / across))

    return move


def layers(page: Page, root: Locator, turn: int) -> None:
    """To and fro along the layers; at each end a switch, so that no stack was measured before."""
    back, at = divmod(turn, 7)
    if back and not at:
        root.locator("input[type=checkbox]").nth(back - 1).click()
        page.wait_for_timeout(1000)
        root.locator(LAYERS).focus()
    page.keyboard.press(("ArrowRight", "ArrowLeft")[back % 2])


LAYERS = "[aria-label=layers]"
# the radio button that the arrow keys leave: the chosen one, at first any
CHOSEN = "input:checked, fieldset:not(:has(:checked)) input"
AGAIN = ("ArrowRight", "ArrowRight", "ArrowLeft")
BACK = ("ArrowLeft", "ArrowRight")  # for what begins at its end
TEXT = "(root) => root.querySelector('{}').textContent"
SETTLED = "(root) => {{ const t = root.querySelector('{}').textContent; return {} ? t : null; }}"
MEASURED = (
    "(root) => { const e = root.querySelector('.tl-chart'), t = e.getAttribute('aria-valuetext'); "
    "return t === 'Measuring.' ? null : e.getAttribute('aria-valuemax') + t; }"
)
HEADS, BOARD = ".tl-head", ".tl-board canvas"
# the instrument: (its code, or "" for the gallery's example; what is done to it)
PLAN: dict[str, tuple[str, list[Action]]] = {
    "AttentionExplorer": (
        f"explorer(6, {TOKENS})",
        [
            Action("click a head", "click", click(HEADS, 72)),
            Action("hover a cell", "pointermove", hover(BOARD, TOKENS)),
            Action("arrow key", "keydown", keys("ArrowRight", "ArrowDown"), focus=BOARD),
        ],
    ),
    "AttentionExplorer, 128 tokens": (
        "explorer(1, 128)",
        [Action("hover a cell, 12 heads", "pointermove", hover(BOARD, 128), budget=MANY)],
    ),
    "AttentionBench": (
        "",
        [Action("arrow key", "keydown", keys("ArrowUp", "ArrowDown"), focus="svg")],
    ),
    "HeadDesk": (
        "",
        [
            Action("click a token", "click", click(".tl-word", 8)),
            Action(
                "silence a head",
                "keydown",
                keys("Enter"),
                SETTLED.format(".tl-outcome", "!t.includes('…')"),
                PYTHON,
                HEADS,
            ),
        ],
    ),
    "AttentionStepper": (
        "",
        [
            Action("open a stage", "click", click(".tl-tile", 12)),
            Action("turn the scale", "keydown", keys(*AGAIN), focus="input[type=range] >> nth=-1"),
        ],
    ),
    "CodeLens": (
        "",
        # not the small pictures of the stages
        [Action("arrow key", "keydown", keys(*BACK), focus=".tl-cells[tabindex]")],
    ),
    "MaskPainter": (
        "",
        [
            Action("paint a cell", "keydown", keys(" "), focus=".tl-paint-board"),
            Action("layers", "keydown", keys(*AGAIN[1:]), focus="input[type=range] >> nth=-1"),
        ],
    ),
    "GradientHorizon": (
        "GradientHorizon('LSTM + forget bias', 0.5, 0.3)",  # no kept curve has this bias
        [
            Action("lag", "keydown", keys(*AGAIN), focus="[aria-label=lag]"),
            Action(
                "gain",
                "keydown",
                keys("ArrowRight"),
                TEXT.format(".tl-readout"),
                PYTHON,
                "[aria-label=gain]",
            ),
        ],
    ),
    "Race": (
        "",
        [
            Action("T, known", "keydown", keys(*AGAIN[1:]), focus="[aria-label='T, tokens']"),
            Action(
                "measure again",
                "click",
                click("button:text('Measure again')"),
                SETTLED.format(".tl-readout", "t.includes('Measured')"),
                PYTHON,
            ),
        ],
    ),
    "TemperatureDial": (
        "",
        [Action("temperature", "keydown", keys(*AGAIN), focus="[aria-label=temperature]")],
    ),
    "FigureControls": (
        "",
        [
            Action(
                "height",
                "keydown",
                keys("ArrowRight"),
                "(root) => root.querySelector('img').src",
                PYTHON,
                "input[type=range] >> nth=0",
                600,  # the hand rests, and the axes are laid out anew: a picture more
            )
        ],
    ),
    "ModelDesigner": (
        "",
        [Action("layers", "keydown", keys(*AGAIN), focus="[aria-label='layers, slider']")],
    ),
    "BlockBuilder": (
        "BlockBuilder(depth=1)",
        [
            Action("layers", "keydown", layers, MEASURED, PYTHON, LAYERS),
            Action("place on the chart", "keydown", keys(*BACK), focus=".tl-chart"),
        ],
    ),
    "PositionExplorer": (
        "",
        [
            Action("base", "keydown", keys(*AGAIN), focus="[aria-label=base]"),
            Action("arrow key", "keydown", keys(*AGAIN), focus="canvas"),
        ],
    ),
    "Translator": (
        "",
        [
            Action("next piece, start", "click", click(".tl-main")),
            Action(
                "another number",
                "click",
                lambda page, root, turn: page.mouse.click(
                    *middle(root.get_by_role("button", name=("21", "42")[turn % 2], exact=True))
                ),
                TEXT.format(".tl-readout"),
                PYTHON,
            ),
        ],
    ),
    "LiveTraining": (
        "",
        [Action("look back", "keydown", keys(*BACK), focus=".tl-time input")],
    ),
    "Predict": ("", [Action("choose", "keydown", keys("ArrowDown"), focus=CHOSEN)]),
}


def measure(page: Page, root: Locator, action: Action) -> list[float]:
    """Milliseconds of each of the interactions; infinite where no answer came."""
    root.scroll_into_view_if_needed()
    taken: list[float] = []
    for turn in range(TIMES + 1):  # the first one warms up
        if action.focus:
            root.locator(action.focus).first.focus()
        page.evaluate(WATCH, [root.element_handle(), action.event, action.read])
        action.do(page, root, turn)
        try:
            page.wait_for_function("() => window.taken !== null", timeout=20_000)
        except TimeoutError:
            page.evaluate("() => { window.turn += 1; }")
            return [math.inf] * TIMES
        taken.append(page.evaluate("window.taken"))
        page.wait_for_timeout(action.rest)
    return taken[1:]


def tell(name: str, taken: list[float], budget: tuple[float | None, float | None]) -> bool:
    """One line; True where a figure is over its budget."""
    found = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
    over = any(most is not None and x > most for x, most in zip(found, budget, strict=True))
    words = " / ".join("–" if most is None else f"{most:g}" for most in budget)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{name:52} {found[0]:8.1f} {found[1]:8.1f} {words:>10} {load:6.1f}", end="")
    print("  over" if over else "", flush=True)
    return over


def latencies(browser: Browser, names: list[str]) -> bool:
    """The table of all instruments in one notebook."""
    over = False
    print(
        f"{'event to painted frame, JupyterLab':52} {'median':>8} {'p95 ms':>8} "
        f"{'budget':>10} {'load':>6}"
    )
    codes = [PLAN[name][0] or f"EXAMPLES[{name!r}]()" for name in names]
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home,
        jupyterlab(Path(home)) as server,
    ):
        lab = Lab(browser, server, "bench.ipynb", [SETUP, *codes])
        outputs = lab.page.locator(".jp-Notebook .jp-CodeCell")
        for place, name in enumerate(names, 1):
            root = outputs.nth(place).locator(".tl").first
            root.wait_for()
            for action in PLAN[name][1]:
                over |= tell(
                    f"{name}: {action.name}", measure(lab.page, root, action), action.budget
                )
    return over


def attention() -> tuple[Any, list[str]]:
    """12 heads of one layer, (12, T, T), and the tokens."""
    rows = np.random.default_rng(0).dirichlet(np.full(TOKENS, 0.3), (12, TOKENS))
    return rows.astype(np.float32), [f"token{i}" for i in range(TOKENS)]


def viewers(folder: Path) -> dict[str, tuple[str, str, list[Action]]]:
    """Name: (a page, its root, comparable actions), for ours and for the peers in the folder."""
    import torch

    sys.path.append(str(folder))
    # A backport of what Python has; CircuitsVis asks for it by its old name.
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    from bertviz import head_view
    from circuitsvis.attention import attention_heads

    rows, tokens = attention()
    bertviz = head_view([torch.from_numpy(rows)[None]], tokens, html_action="return").data
    circuits = attention_heads(attention=rows, tokens=tokens).local_src
    bare = "<!doctype html><meta charset='utf-8'><body>{}".format
    boxes, left = "rect[width='20']", "#left text"
    return {
        "ours": (
            AttentionExplorer([rows], tokens).to_html(),
            ".tl",
            [
                Action("click a head", "click", click(HEADS, 12)),
                Action("hover a token", "pointermove", hover(BOARD, TOKENS)),
            ],
        ),
        "BertViz": (
            bare(bertviz),
            "body",
            [
                Action("toggle a head", "click", click(boxes, 2), budget=(None, None)),
                Action("hover a token", "pointerover", _over(left, 30), budget=(None, None)),
            ],
        ),
        "CircuitsVis": (
            bare(circuits),
            "body",
            [
                Action("hover a head", "pointerover", _over("h4", 12), budget=(None, None)),
            ],
        ),
    }


def _over(css: str, among: int) -> Callable[[Page, Locator, int], object]:
    """Moves the pointer to one after another, the second first: the first may be chosen already."""
    return lambda page, root, turn: page.mouse.move(
        *middle(root.locator(css).nth((turn + 1) % among))
    )


def beside_peers(browser: Browser, folder: Path) -> bool:
    """Ours and theirs, as pages, on the same attention."""
    over = False
    print(f"\n{f'one layer, 12 heads × {TOKENS} tokens, as a page':52} {'median':>8} {'p95 ms':>8}")

    def local(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[-1].removesuffix(".js") + ".js"
        if name in SCRIPTS:
            script = folder / "node_modules" / SCRIPTS[name]
            route.fulfill(path=script, content_type="text/javascript")
        else:
            route.abort()

    for name, (source, root, actions) in viewers(folder).items():
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.route(lambda url: url.startswith("https:"), local)
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "page.html")
            path.write_text(source, encoding="utf-8")
            page.goto(path.as_uri())
        page.wait_for_timeout(3000)
        for action in actions:
            taken = measure(page, page.locator(root).first, action)
            over |= tell(f"{name}: {action.name}", taken, action.budget)
        page.close()
    return over


def loading(browser: Browser) -> bool:
    """From navigation to the painted frame in which ten instruments stand on one page."""
    names = [name for name in EXAMPLES if "," not in name and name != "Predict"][:10]
    parts = [EXAMPLES[name]().page_part() for name in names]
    ready = "() => [...document.querySelectorAll('section')].every((e) => e.children.length)"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ten.html").write_text(export.page("Ten", parts), encoding="utf-8")
        quiet = partial(_Quiet, directory=folder)
        with ThreadingHTTPServer(("127.0.0.1", 0), quiet) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            taken = []
            for _ in range(5):
                page = browser.new_page()
                page.goto(f"http://127.0.0.1:{server.server_port}/ten.html")
                page.wait_for_function(ready)
                taken.append(
                    page.evaluate(
                        "() => new Promise((f) => requestAnimationFrame(() => "
                        "setTimeout(() => f(performance.now()))))"
                    )
                )
                page.close()
            server.shutdown()
        size = Path(folder, "ten.html").stat().st_size / 1e3
    print(f"\na page with {len(names)} instruments, {size:.0f} kB, from a local server")
    return tell("navigation to painted frame", taken, (2000, None))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Says nothing."""


def sizes() -> bool:
    """What is sent and kept, in kB, where it has a budget."""
    rows = np.random.default_rng(0).dirichlet(np.full(TOKENS, 0.3), (6, 12, TOKENS))
    explorer = AttentionExplorer(list(rows), [f"token{i}" for i in range(TOKENS)])
    sent = sum(len(v) for v in explorer.content.values() if isinstance(v, bytes))
    modules = {path.name: path.stat().st_size / 1e3 for path in VIEW.glob("*.js")}
    lessons = {
        path.name: path.stat().st_size / 1e3 for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
    }
    largest, longest = (max(kept, key=lambda name: kept[name]) for kept in (modules, lessons))
    found = [
        (
            "explorer, 6 × 12 heads: sent at first",
            (sent + len(explorer._esm + explorer._css)) / 1e3,
            1000,
        ),
        ("  to_html(layer=0)", len(explorer.to_html(layer=0).encode()) / 1e3, 400),
        ("  to_html()", len(explorer.to_html().encode()) / 1e3, 1200),
        ("  picture()", len(explorer.picture()) / 1e3, 15),
        (f"largest of {len(modules)} modules: {largest}", modules[largest], 20),
        (f"largest of {len(lessons)} lessons: {longest}", lessons[longest], 500),
    ]
    print(f"\n{'':52} {'kB':>8} {'budget':>8}")
    for name, size, budget in found:
        print(f"{name:52} {size:8.1f} {budget:8.0f}{'  over' if size > budget else ''}")
    return any(size > budget for _, size, budget in found)


def main(wanted: list[str]) -> int:
    """Print all tables; 1 if a figure is over its budget."""
    if (path := executable()) is None:
        print("No Chromium on PATH; name one in TRANSFORMER_LAB_CHROMIUM.")
        return 1
    plain = {name.partition(",")[0] for name in PLAN}
    if missing := {cls.__name__ for cls in classes()} - plain:
        print(f"No measurement is planned for {', '.join(sorted(missing))}.")
        return 1
    names = [name for name in PLAN if not wanted or name.partition(",")[0] in wanted]
    folder = Path(os.environ.get(PEERS, "")) if os.environ.get(PEERS) else None
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        over = latencies(browser, names)
        if folder is not None and (folder / "bertviz").exists():
            over |= beside_peers(browser, folder)
        else:
            print(f"\nNo peers: {PEERS} names no folder with them; {Path(__file__).name} says how.")
        over |= loading(browser)
        browser.close()
    return int(sizes() or over)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
