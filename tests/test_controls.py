"""Figure with controls without a browser: what is drawn, when, and what an error leaves."""

import asyncio
import io
import json
import re
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import ipywidgets
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest
import seaborn as sns
import traitlets
from PIL import Image

from transformer_lab.instruments import controls_read
from transformer_lab.instruments.controls import FigureControls

ROOT = Path(__file__).parent.parent
X = np.linspace(0, 1, 11)


def wave(ax, k=2, gain=1.0, shape="sine", dots=False):
    y = gain * (np.sin if shape == "sine" else np.cos)(k * X)
    ax.plot(X, y, label="signal")
    if dots:
        ax.scatter(X, y, label="dots")
    ax.set(title=f"{shape} of {k}x", xlabel="x", ylabel="y")


def shown(**changes):
    given = {"k": (1, 9), "gain": (0.0, 2.0), "shape": ["sine", "cosine"], "dots": False}
    return FigureControls(wave, **{**given, **changes})


def pixels(one):
    return np.asarray(Image.open(io.BytesIO(one.image.value)).convert("RGB"))


def test_each_kind_of_control_is_known_by_what_is_given():
    one = shown(gain=(0.0, 2.0, 0.25))
    kinds = {control["name"]: control for control in one.controls}
    assert [control["kind"] for control in one.controls] == ["range", "range", "choice", "switch"]
    assert (kinds["k"]["low"], kinds["k"]["high"], kinds["k"]["step"]) == (1, 9, 1)
    assert kinds["gain"]["step"] == 0.25
    assert shown().controls[1]["step"] == 0.02
    assert one.values == {"k": 2, "gain": 1.0, "shape": "sine", "dots": False}


def test_a_control_begins_at_the_default_else_in_the_middle_the_first_or_as_given():
    calls = []

    def draw(ax, a, b, c, d, e=99, f=4):
        calls.append((a, b, c, d, e, f))

    FigureControls(draw, a=(0, 10), b=(0.0, 1.0), c=["x", "y"], d=True, e=(1, 3))
    assert calls == [(5, 0.5, "x", True, 2, 4)]
    assert [type(value) for value in calls[0]] == [int, float, str, bool, int, int]


def test_a_change_calls_draw_once_on_fresh_axes_of_the_same_figure():
    seen = []

    def draw(ax, k):
        assert not ax.lines
        seen.append((ax.figure, k))
        ax.plot([0, k])

    one = FigureControls(draw, k=(1, 9))
    first = bytes(one.image.value)
    one.values = {"k": 7}
    assert [k for _, k in seen] == [5, 7]
    assert seen[0][0] is seen[1][0]
    assert isinstance(one.image, ipywidgets.Image)
    assert first.startswith(b"\x89PNG")
    assert one.image.value != first
    assert plt.get_fignums() == []
    one.values = {"k": 7}
    assert len(seen) == 2


@pytest.mark.parametrize("name", ["figure", "fig"])
def test_a_first_parameter_named_figure_gets_the_empty_figure(name):
    code = f"def draw({name}, n=2):\n    assert not {name}.axes\n    {name}.subplots(1, n)"
    exec(code, space := {})
    one = FigureControls(space["draw"], n=(1, 4))
    one.values = {"n": 3}
    assert one.error is None
    assert len(one._kept.axes) == 3


def test_only_what_is_set_changes():
    one = shown()
    one.values = {"k": 3}
    one.values = {"dots": True}
    assert one.values == {"k": 3, "gain": 1.0, "shape": "sine", "dots": True}
    one.values = {"gain": 1}  # as the browser sends 1.0
    assert type(one.values["gain"]) is float


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"k": 10}, "k = 10; expected a whole number from 1 to 9"),
        ({"k": 2.5}, "k = 2.5; expected a whole number"),
        ({"k": True}, "k = True; expected a whole number"),
        ({"gain": "high"}, "gain = 'high'; expected a number from 0 to 2"),
        ({"gain": float("nan")}, "gain = nan; expected a number"),
        ({"shape": "square"}, r"shape = 'square'; expected one of \['sine', 'cosine'\]"),
        ({"dots": 1}, "dots = 1; expected True or False"),
        ({"size": 1}, r"values has no \['size'\]; expected \['k', 'gain', 'shape', 'dots'\]"),
    ],
)
def test_a_value_that_no_control_can_have_is_refused_by_name(values, words):
    one = shown()
    with pytest.raises(ValueError, match=words):
        one.values = values
    assert one.values["k"] == 2


def takes_all(ax, **values):
    ax.plot([0, values["k"]])


@pytest.mark.parametrize(
    ("draw", "controls", "error", "words"),
    [
        (wave, {}, ValueError, r"wave needs a control, as FigureControls\(wave, k=\(1, 9\)\)"),
        ("wave", {"k": (1, 9)}, TypeError, "draw must be a function, not 'wave'"),
        (wave, {"K": (1, 9)}, ValueError, "wave has no parameter 'K'; it takes"),
        (lambda: 1, {"k": (1, 9)}, ValueError, "takes no axes"),
        (lambda ax, k, n: 1, {"k": (1, 9)}, ValueError, "needs 'n': give it a control"),
        (wave, {"k": (9, 1)}, ValueError, r"k = \(9, 1\); expected low < high"),
        (wave, {"k": (1, 9, 0)}, ValueError, "a step that fits between"),
        (wave, {"k": (1, float("inf"))}, ValueError, r"expected \(low, high\)"),
        (wave, {"k": (1, 2, 3, 4)}, ValueError, r"expected \(low, high\)"),
        (wave, {"shape": ["sine"]}, ValueError, "expected two or more different"),
        (wave, {"shape": ["sine", None]}, ValueError, "texts or numbers"),
        (wave, {"k": 3}, TypeError, r"k = 3; expected \(low, high\), a list of choices, True"),
        (wave, {"k": (1, 9), "figsize": (4, 48)}, ValueError, "from 1 to 12 inches"),
    ],
)
def test_controls_that_draw_cannot_take_are_refused_by_name(draw, controls, error, words):
    with pytest.raises(error, match=words):
        FigureControls(draw, **controls)


def test_a_function_that_takes_everything_takes_any_control():
    assert FigureControls(takes_all, k=(1, 3)).values == {"k": 2}


def bad(ax, n=2):
    ax.plot([0, 1])
    ax.set_title(f"{1 / (n - 3):.2f}")


def test_an_error_is_a_sentence_and_the_old_picture_stays():
    one = FigureControls(bad, n=(0, 5))
    before, still = one.image.value, one.picture()
    one.values = {"n": 3}
    assert one.message == (
        "bad stopped in line 3: ZeroDivisionError: division by zero. The picture still shows n = 2."
    )
    assert isinstance(one.error, ZeroDivisionError)
    assert one.image.value == before
    assert one.picture() == still
    assert one.describe().startswith(one.message)
    one.values = {"n": 4}
    assert (one.message, one.error) == ("", None)
    assert one.image.value != before


def test_an_error_at_the_first_draw_is_a_sentence_too_and_there_is_no_picture_yet():
    one = FigureControls(bad, n=[3, 4])
    assert one.describe() == "bad stopped in line 3: ZeroDivisionError: division by zero."
    assert one.picture() is None
    data, _ = one._repr_mimebundle_()
    assert "image/png" not in data
    assert one.image.value == b""
    assert '"image":{"$bytes":""}' in one.to_html()
    one.values = {"n": 4}
    assert one.picture() is not None


def test_an_error_in_alt_or_deep_inside_is_placed():
    def deep(ax, n=1):
        ax.plot([1, 2], [1, 2, 3])

    one = FigureControls(deep, n=(0, 2))
    assert one.message.startswith(
        "deep stopped in line 2: ValueError: x and y must have same first"
    )
    two = FigureControls(bad, n=(0, 2), alt=lambda n: missing)  # noqa: F821
    assert two.message == "alt stopped in line 1: NameError: name 'missing' is not defined."


def test_drawing_with_pyplot_beside_the_axes_is_explained():
    def astray(ax, n=1):
        plt.figure()
        plt.plot([1, 2])

    one = FigureControls(astray, n=(0, 2))
    assert one.message == ("astray opened a figure of its own; draw on the axes that it is given.")
    assert plt.get_fignums() == []


def test_an_interrupt_is_not_swallowed():
    def draw(ax, n=1):
        if n == 2:
            raise KeyboardInterrupt

    one = FigureControls(draw, n=(0, 2))
    with pytest.raises(KeyboardInterrupt):
        one.values = {"n": 2}


def test_changes_that_come_together_are_drawn_once_with_the_last_values():
    calls = []

    def draw(ax, k=1):
        calls.append(k)
        ax.plot([0, k])

    async def play():
        one = FigureControls(draw, k=(0, 9))
        for k in (2, 3, 4):
            one.values = {"k": k}
        assert calls == [1]
        await asyncio.sleep(0.1)
        assert calls == [1, 4]
        quick = bytes(one.image.value)
        await asyncio.sleep(0.6)  # the hand rests: laid out again, not drawn again
        assert calls == [1, 4]
        assert one._rest is None
        one.values = {"k": 5}
        assert "k = 5" in repr(one)  # whoever asks does not get the picture before
        assert calls == [1, 4, 5]
        return quick

    assert asyncio.run(play()).startswith(b"\x89PNG")


def test_a_quick_redraw_is_laid_out_as_a_slow_one_once_the_hand_rests():
    def draw(figure, n=1):
        ax = figure.subplots()
        shown = ax.imshow(np.eye(4) * 10.0**n, cmap="cividis")
        figure.colorbar(shown, ax=ax, label="weight")
        ax.set_title("a\n" * n)

    async def play(one):
        one.values = {"n": 4}
        await asyncio.sleep(0.1)
        assert one._rest is not None
        assert len(one._kept.axes) == 2
        one._settle()
        return pixels(one)

    fast, slow = FigureControls(draw, n=(1, 5)), FigureControls(draw, n=(1, 5))
    slow.values = {"n": 4}
    difference = abs(asyncio.run(play(fast)).astype(int) - pixels(slow))
    assert (difference.max(-1) > 40).mean() < 0.02


def labels(axis):
    return [text.get_text() for text in axis.get_majorticklabels() if text.get_text()]


def test_no_axis_has_more_than_sixteen_labels_and_each_stands_at_its_own_place():
    def heat(ax, n=20):
        sns.heatmap(np.zeros((n, n)), ax=ax, cbar=False, xticklabels=1, yticklabels=1)
        ax.tick_params(axis="x", rotation=90)

    one = FigureControls(heat, n=(4, 64))
    for n in (4, 16, 20, 64):
        one.values = {"n": n}
        ax = one._kept.axes[0]
        for axis in (ax.xaxis, ax.yaxis):
            every = -(-n // 16)
            assert labels(axis) == [str(i) for i in range(0, n, every)]
            np.testing.assert_allclose(axis.get_majorticklocs(), np.arange(0, n, every) + 0.5)
        assert ax.get_xticklabels()[0].get_rotation() == 90


def test_ordinary_labels_are_left_alone():
    def plain(ax, kind="linear"):
        ax.plot(np.arange(1, 500.0), np.arange(1, 500.0))
        ax.set_yscale(kind)

    one = FigureControls(plain, kind=["linear", "log"])
    for kind in ("linear", "log"):
        one.values = {"kind": kind}
        assert 2 <= len(labels(one._kept.axes[0].xaxis)) <= 16
        assert one.error is None


def test_the_words_quote_values_and_what_is_drawn():
    assert repr(shown()) == (
        "sine of 2x. k = 2, gain = 1, shape = sine, dots = off. 1 line, from 0 to 1."
    )
    dotted = shown(dots=True)
    dotted.values = {"k": 9, "gain": 0.5, "dots": True, "shape": "cosine"}
    assert repr(dotted) == (
        "cosine of 9x. k = 9, gain = 0.5, shape = cosine, dots = on. "
        "1 line and 1 group of points, from −0.456 to 0.5."
    )
    named = shown(title="A wave?", alt=lambda k, **others: f"It turns {k} times.")
    assert repr(named).startswith("A wave? k = 2")
    assert repr(named).endswith("It turns 2 times.")


@pytest.mark.parametrize(
    ("draw", "words", "size"),
    [
        (lambda ax, n: None, "Nothing is drawn yet.", 0),
        (lambda ax, n: ax.axhline(1), "Nothing is drawn yet.", 0),
        (lambda ax, n: ax.plot([1, np.nan]), "1 line, from 1 to 1.", 2),
        (lambda ax, n: ax.bar(["a", "b"], [1, -2]), "1 group of bars, from −2 to 1.", 2),
        (lambda ax, n: ax.imshow([[1, 2], [3, 4]]), "2 × 2 cells, from 1 to 4.", 2),
        (lambda ax, n: ax.plot(np.arange(9999)), "1 line, from 0 to 10,000.", 400),
        (lambda ax, n: ax.imshow(np.zeros((500, 100))), "500 × 100 cells, from 0 to 0.", 63),
        (lambda ax, n: ax.imshow(np.zeros((4, 4, 3))), "Nothing is drawn yet.", 0),
    ],
)
def test_what_is_drawn_is_read_back_as_words_and_as_a_table(draw, words, size):
    one = FigureControls(draw, n=(1, 2))
    assert one.message == ""
    assert one.words.endswith(words)
    table = one.table
    assert len(table.get("rows", [])) == size
    assert len(table.get("values", [])) == size * len(table.get("columns", []))
    json.dumps(table, allow_nan=False)


def test_the_table_holds_the_numbers_of_the_lines():
    table = shown().table
    assert table["columns"] == ["x", "y"]
    assert table["rows"] == ["signal"] * 11
    np.testing.assert_allclose(table["values"][0::2], X, rtol=1e-5)
    np.testing.assert_allclose(table["values"][1::2], np.sin(2 * X), rtol=1e-5)


def test_the_last_bits_of_a_float_do_not_show():
    assert controls_read.number(0.1 + 0.2) == controls_read.number(0.3) == "0.3"
    assert controls_read.number(np.sin(np.pi), 1) == "0"
    assert controls_read.number(-1e-7, 1) == "−1e−07"
    assert controls_read.number(-12345) == "−12,300"
    assert controls_read.number(-0.0) == "0"


def test_the_still_is_small_and_the_style_is_the_courses_own():
    one = shown()
    png = one.picture()
    assert struct.unpack(">II", png[16:24]) == (700, 360)
    assert 3_000 < len(png) < 16_000
    assert png == shown().picture()
    assert one._kept.axes[0].lines[0].get_color() == "#0072B2"
    assert not one._kept.axes[0].spines["top"].get_visible()
    assert plt.rcParams["axes.spines.top"]


def test_the_bundle_has_words_picture_and_view_and_the_page_its_picture():
    one = shown()
    data, _ = one._repr_mimebundle_()
    assert data["text/plain"] == repr(one)
    assert 'alt="sine of 2x. k = 2' in data["text/html"]
    assert {"image/png", "application/vnd.jupyter.widget-view+json"} <= set(data)
    state = json.loads(re.search(r'application/json">(.*?)</script>', one.to_html())[1])
    assert "IPY_MODEL" not in json.dumps(state)
    assert state["image"]["$bytes"].startswith("iVBOR")
    assert one.to_html() == shown().to_html()


def test_a_question_hides_the_picture_until_it_is_answered():
    one = shown(predict=("More turns?", ["yes", "no"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "no"
    assert one.figure().startswith("<figure><img")


def test_the_browser_can_set_values_but_a_wrong_kind_of_picture_is_refused():
    one = shown()
    one.set_state({"values": {"k": 5, "gain": 2, "shape": "cosine", "dots": True}})
    assert one.values == {"k": 5, "gain": 2.0, "shape": "cosine", "dots": True}
    assert "cosine of 5x" in one.words
    with pytest.raises(traitlets.TraitError):
        one.image = b""


NOTEBOOK = [
    "import numpy as np\nfrom transformer_lab.instruments.controls import FigureControls",
    "def wave(ax, k=2):\n    ax.plot(np.sin(k * np.linspace(0, 6, 50)))\n\n"
    "one = FigureControls(wave, k=(1, 9))\none",
    "one.values = {'k': 4}\none",
    "one.error",
]


def test_strict_nbval_passes_and_a_notebook_without_a_kernel_keeps_its_picture(tmp_path):
    cells = [nbformat.v4.new_code_cell(code) for code in NOTEBOOK]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbclient.NotebookClient(notebook, timeout=120, store_widget_state=False).execute()
    first, second = (notebook.cells[i].outputs[0].data for i in (1, 2))
    assert first["text/plain"].startswith("Drawn by wave. k = 2. 1 line, from −")
    assert second["text/plain"].startswith("Drawn by wave. k = 4. 1 line")
    assert first["image/png"] != second["image/png"]
    assert "<img alt=" in first["text/html"]
    path = tmp_path / "one.ipynb"
    nbformat.write(notebook, path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider"]
    command += ["--nbval-sanitize-with", str(ROOT / "tests" / "nbval.cfg"), path.name]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stdout[-3000:]
