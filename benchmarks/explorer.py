"""The attention explorer in JupyterLab: from an event to the painted frame, and its sizes.

    python benchmarks/explorer.py

24 real clicks, hovers and arrow keys each, by Chromium's own input, on 6 × 12 heads × 32 tokens.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from transformer_lab.instruments.attention import AttentionExplorer

# The rig is the tests' own; tests/ is no package.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "browser"))
from rigs import FLAGS, Lab, executable, jupyterlab

TIMES, TOKENS = 24, 32
CELL = f"""
import numpy as np
from transformer_lab.instruments.attention import AttentionExplorer
rows = np.random.default_rng(0).dirichlet(np.full({TOKENS}, .3), (6, 12, {TOKENS}))
explorer = AttentionExplorer(list(rows), [f"token{{i}}" for i in range({TOKENS})])
explorer
"""
# The time of the event itself, then the first task after the frame that it led to was painted.
WATCH = """() => {
  window.taken = [];
  for (const type of ["click", "pointermove", "keydown"]) {
    addEventListener(type, (event) => requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = () => window.taken.push([type, performance.now() - event.timeStamp]);
      after.port2.postMessage(0);
    }), { capture: true });
  }
}"""


def interactions(lab: Lab) -> dict[str, list[float]]:
    """Milliseconds of each click on a head, hover over a cell, and arrow key in the matrix."""
    page, rng = lab.page, np.random.default_rng(1)
    page.wait_for_selector(".tl-head >> nth=71")
    lab.page.locator(".tl-board canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(2000)
    page.evaluate(WATCH)

    def measure(kind: str, act: Callable[[], object]) -> list[float]:
        taken = []
        for _ in range(TIMES):
            page.evaluate("() => { window.taken = []; }")
            act()
            page.wait_for_function(f"() => window.taken.some(([type]) => type === '{kind}')")
            taken.append(page.evaluate(f"window.taken.find(([t]) => t === '{kind}')[1]"))
            page.wait_for_timeout(60)
        return taken

    def middle(selector: str, across: int = 1) -> tuple[float, float]:
        """Of one of the elements, or of one cell of across × across in it."""
        one = page.locator(selector).nth(int(rng.integers(page.locator(selector).count())))
        box = one.bounding_box()
        assert box
        x, y = (rng.integers(0, across, 2) + 0.5) / across
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    canvas = ".tl-board canvas"
    click = measure("click", lambda: page.mouse.click(*middle(".tl-head")))
    hover = measure("pointermove", lambda: page.mouse.move(*middle(canvas, TOKENS)))
    page.locator(canvas).focus()
    keys = ["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowDown"]
    key = measure("keydown", lambda: page.keyboard.press(keys[int(rng.integers(4))]))
    return {"click a head": click, "hover a cell": hover, "arrow key": key}


def sizes() -> list[tuple[str, float, float]]:
    """What is sent at first, and the exported pages, in kB."""
    rows = np.random.default_rng(0).dirichlet(np.full(TOKENS, 0.3), (6, 12, TOKENS))
    explorer = AttentionExplorer(list(rows), [f"token{i}" for i in range(TOKENS)])
    sent = sum(len(v) for v in explorer.content.values() if isinstance(v, bytes))
    sent += len(explorer._esm) + len(explorer._css)
    return [
        ("sent at first: weights, scores, module", sent / 1e3, 1000),
        ("to_html(layer=0)", len(explorer.to_html(layer=0).encode()) / 1e3, 400),
        ("to_html()", len(explorer.to_html().encode()) / 1e3, 1200),
        ("picture()", len(explorer.picture()) / 1e3, 15),
    ]


def main() -> int:
    """Print both tables; 1 if a figure is over its budget."""
    if (path := executable()) is None:
        print("No Chromium on PATH; name one in TRANSFORMER_LAB_CHROMIUM.")
        return 1
    over = False
    print(
        f"{'event to painted frame, JupyterLab':40} {'median ms':>9} {'p95 ms':>7}  budget 34 / 100"
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=FLAGS)
        with jupyterlab(Path(home)) as server:
            for name, taken in interactions(Lab(browser, server, "bench.ipynb", [CELL])).items():
                median, late = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
                over |= median > 34 or late > 100
                print(f"{name:40} {median:9.1f} {late:7.1f}")
        browser.close()
    print(f"\n{f'6 × 12 heads × {TOKENS} tokens':40} {'kB':>9} {'budget':>7}")
    for name, size, budget in sizes():
        over |= size > budget
        print(f"{name:40} {size:9.1f} {budget:7.0f}")
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
