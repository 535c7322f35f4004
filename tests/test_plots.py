import base64
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib.colors import same_color, to_rgb
from PIL import Image

from transformer_lab import plots

WEIGHTS = torch.tensor([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.5, 0.125, 0.375]])
CAUSAL = torch.ones(3, 3, dtype=torch.bool).tril()
X = [1, 10, 100]


def drawn_cells(picture):
    return picture.figure.axes[0].collections[0].get_array()


def texts(picture):
    return {text.get_text(): text for text in picture.figure.axes[0].texts}


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


KINDS = {
    "heatmap": lambda: plots.heatmap(WEIGHTS, title="Rows sum to one"),
    "lines": lambda: plots.lines(X, [[1, 2, 3]], ["a"], "It grows"),
    "bars": lambda: plots.bars(["a", "b"], [1, 2], "b is longer"),
    "scatter_fit": lambda: plots.scatter_fit(X, X, {"a": (X, X)}, "It fits"),
    "loss_curve": lambda: plots.loss_curve(X, [3, 2, 1], {"bigram": 2.5}, "It learns"),
    "decay_curves": lambda: plots.decay_curves(X, {"tanh": [1, 1e-9, 0]}, 1e-38, "It is gone"),
    "loss_curves": lambda: plots.loss_curves(X, {"a": [3, 2, 1]}, {"bigram": 2}, "It learns"),
    "stacked_bars": lambda: plots.stacked_bars(["a"], {"one": [1], "two": [2]}, "Two is more"),
    "knock_outs": lambda: plots.knock_outs(["no norm"], [[2, 3]], 1, "It is needed"),
}


def test_a_heatmap_draws_the_weights_and_leaves_masked_cells_out():
    cells = drawn_cells(plots.heatmap(WEIGHTS, mask=CAUSAL))
    assert np.array_equal(cells.mask, ~CAUSAL.numpy())
    assert np.array_equal(cells.filled(0), WEIGHTS.numpy())


def test_masked_cells_are_hatched_and_not_the_colour_of_zero():
    ax = plots.heatmap(WEIGHTS, mask=CAUSAL).figure.axes[0]
    assert ax.patch.get_hatch()
    zero = ax.collections[0].cmap(0.0)
    assert not same_color(ax.patch.get_facecolor(), zero)


def test_a_fully_masked_heatmap_is_drawn_without_numbers():
    picture = plots.heatmap(WEIGHTS, mask=torch.zeros(3, 3))
    assert drawn_cells(picture).mask.all()
    assert "9 cells are masked" in repr(picture)


@pytest.mark.parametrize("scale", [1.0, -3.0])
def test_a_signed_scale_is_centred_on_zero(scale):
    mesh = plots.heatmap(WEIGHTS * scale, signed=True).figure.axes[0].collections[0]
    assert mesh.get_clim() == (-abs(scale), abs(scale))
    assert same_color(mesh.cmap(0.5)[:3], "white") or min(mesh.cmap(0.5)[:3]) > 0.99


def test_an_unsigned_scale_contains_zero_and_is_drawn_beside():
    figure = plots.heatmap(WEIGHTS + 1).figure
    assert figure.axes[0].collections[0].get_clim() == (0, 2)
    assert len(figure.axes) == 2


@pytest.mark.parametrize(("size", "count"), [(8, 64), (9, 0)])
def test_numbers_stand_in_the_cells_up_to_eight_by_eight(size, count):
    assert len(texts(plots.heatmap(torch.arange(size * size).view(size, size)))) == count


@pytest.mark.parametrize("size", [3, 16, 17, 40, 100])
def test_an_axis_has_at_most_sixteen_labels_each_at_its_own_cell(size):
    words = [f"w{i}" for i in range(size)]
    ax = plots.heatmap(torch.zeros(size, size), words, words).figure.axes[0]
    for axis in (ax.xaxis, ax.yaxis):
        assert 1 < len(ticks(axis)) <= 16
        assert ticks(axis) == [f"w{int(place)}" for place in axis.get_ticklocs()]


def test_tokens_are_drawn_as_text_with_visible_spaces_and_never_as_markup():
    tokens = [" on\n", "🙂", "$x_{"]
    picture = plots.heatmap(WEIGHTS, tokens, tokens)
    assert ticks(picture.figure.axes[0].yaxis) == ["␣on↵", "□", "$x_{"]
    assert picture.png()


def test_what_cannot_be_seen_in_a_token_is_written_out_and_an_empty_label_stays_empty():
    drawn = ticks(plots.heatmap(WEIGHTS, ["\r\n", "\u00a0a", ""]).figure.axes[0].yaxis)
    assert drawn == ["↵", "U+00A0a", ""]


def test_a_sentence_as_a_label_keeps_its_spaces_and_is_cut_where_it_is_long():
    rows = ["a sentence", "word " * 20, "x" * 20]
    drawn = ticks(plots.heatmap(WEIGHTS, rows).figure.axes[0].yaxis)
    assert drawn == ["a sentence", "word " * 7 + "…", "x" * 13 + "…"]


def test_the_first_row_of_a_heatmap_is_on_top():
    bottom, top = plots.heatmap(WEIGHTS).figure.axes[0].get_ylim()
    assert top < bottom


def test_lines_draw_what_they_are_given_and_name_each_curve_at_its_end():
    picture = plots.lines(X, [[1, 2, 3], torch.tensor([3.0, 2.0, 2.9])], ["up", "down"])
    ax = picture.figure.axes[0]
    assert [list(line.get_ydata()) for line in ax.lines] == [[1, 2, 3], pytest.approx([3, 2, 2.9])]
    assert list(texts(picture)) == ["up", "down"]
    assert ax.get_legend() is None


def test_names_at_the_lines_do_not_meet_and_keep_their_order():
    ends = [1.0, 1.001, 1.002, 5.0]
    picture = plots.lines([0, 1], [[0, end] for end in ends], list("abcd"))
    heights = [text.get_position()[1] for text in picture.figure.axes[0].texts]
    assert np.all(np.diff(heights) > 0.06)


@pytest.mark.parametrize("color", plots.CYCLE)
def test_names_have_the_contrast_that_reading_needs(color):
    rgb = np.array(to_rgb(plots._ink(color)))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


def test_an_interval_is_shaded_between_low_and_high():
    picture = plots.lines(X, [[1, 2, 3]], ["a"], low=[[0, 1, 2]], high=[[2, 3, 5]])
    heights = picture.figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 5)


def test_the_guide_is_the_power_law_through_the_first_point():
    picture = plots.lines(X, [[2, 6, 20]], ["a"], log="xy", guide=0.5)
    assert picture.figure.axes[0].lines[1].get_ydata() == pytest.approx([2, 2 * 10**0.5, 20])
    assert "slope 0.5" in texts(picture)


@pytest.mark.parametrize("log", ["", "x", "y", "xy"])
def test_log_names_the_logarithmic_axes(log):
    ax = plots.lines(X, [[1, 2, 3]], ["a"], log=log).figure.axes[0]
    assert (ax.get_xscale() == "log", ax.get_yscale() == "log") == ("x" in log, "y" in log)


def test_bars_have_the_lengths_and_the_names_given_from_the_top_down():
    ax = plots.bars(["one", "two"], [0.5, 2]).figure.axes[0]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 2]
    assert ticks(ax.yaxis) == ["one", "two"]
    assert ax.yaxis_inverted()


@pytest.mark.parametrize(
    ("values", "printed"),
    [
        ([0.3514, 0.11, -0.0558], ["0.351", "0.110", "-0.056"]),
        ([124_439_808, 7], ["124,439,808", "7"]),
        ([0.25, 7e-18], ["0.25", "7e-18"]),
        ([1234.5, 0.0], ["1,234", "0"]),
        ([0.0], ["0"]),
    ],
)
def test_the_numbers_at_bars_have_the_same_decimals_and_none_reads_as_zero(values, printed):
    names = [f"b{i}" for i in range(len(values))]
    assert list(texts(plots.bars(names, values))) == printed


def test_bars_show_the_interval():
    ax = plots.bars(["a", "b"], [1, 2], low=[0.5, 1], high=[1, 4]).figure.axes[0]
    ends = [list(map(tuple, path)) for path in ax.collections[0].get_segments()]
    assert ends == [[(0.5, 0), (1, 0)], [(1, 1), (4, 1)]]


def test_a_fit_draws_the_dots_and_the_named_curves():
    picture = plots.scatter_fit(X, [3, 1, 2], {"mean": ([0, 50], [2, 2.5])})
    ax = picture.figure.axes[0]
    assert ax.collections[0].get_offsets().tolist() == [[1, 3], [10, 1], [100, 2]]
    assert ax.lines[0].get_xydata().tolist() == [[0, 2], [50, 2.5]]
    assert list(texts(picture)) == ["mean"]


def test_a_loss_curve_is_bold_and_its_baselines_thin_grey_and_named():
    picture = plots.loss_curve(X, [4, 2, 1], {"bigram": 2.5})
    ours, baseline = picture.figure.axes[0].lines
    assert list(ours.get_ydata()) == [4, 2, 1]
    assert set(baseline.get_ydata()) == {2.5}
    assert ours.get_linewidth() > 2 * baseline.get_linewidth()
    assert same_color(baseline.get_color(), plots.QUIET)
    assert set(texts(picture)) == {"this model", "bigram"}


def test_decay_is_drawn_down_to_a_floor_that_has_a_name():
    picture = plots.decay_curves(X, {"tanh": [1, 1e-9, 0], "LSTM": [1, 0.1, 0.01]}, 1e-38)
    ax = picture.figure.axes[0]
    tanh, lstm, floor = ax.lines
    assert ax.get_yscale() == "log"
    assert list(tanh.get_ydata()) == pytest.approx([1, 1e-9, 1e-38])
    assert list(lstm.get_ydata()) == pytest.approx([1, 0.1, 0.01])
    assert set(floor.get_ydata()) == {1e-38}
    assert set(texts(picture)) == {"tanh", "LSTM", "too small for float32"}
    assert repr(picture).endswith("Floor: 1e-38, too small for float32.")


def test_several_runs_are_their_geometric_mean_and_the_range_between_them():
    picture = plots.decay_curves(X, {"a": [[1, 1e-2, 1e-4], [1, 1e-4, 1e-8]]}, 1e-20)
    ax = picture.figure.axes[0]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([1, 1e-3, 1e-6])
    heights = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == pytest.approx((1e-8, 1))


def test_losses_of_several_models_have_their_mean_range_and_baselines():
    runs = {"ours": torch.tensor([[4.0, 2.0, 1.0], [2.0, 2.0, 3.0]]), "theirs": [4, 3, 3]}
    picture = plots.loss_curves(X, runs, {"bigram": 2.5})
    ours, theirs, baseline = picture.figure.axes[0].lines
    assert list(ours.get_ydata()) == [3, 2, 2]
    assert list(theirs.get_ydata()) == [4, 3, 3]
    assert set(baseline.get_ydata()) == {2.5}
    assert len(picture.figure.axes[0].collections) == 1  # one run has no range
    assert set(texts(picture)) == {"ours", "theirs", "bigram"}
    assert "Baselines: bigram 2.5." in repr(picture)


@pytest.mark.parametrize("share", [False, True])
def test_stacked_bars_lay_their_parts_end_to_end(share):
    parts = {"embedding": [1, 4], "layers": [3, 0], "norms": [4, 4]}
    picture = plots.stacked_bars(["a", "b"], parts, share=share)
    ax, whole = picture.figure.axes[0], 8 if share else 1
    drawn = [(bar.get_x() * whole, bar.get_width() * whole) for bar in ax.patches]
    assert drawn == [(0, 1), (0, 4), (1, 3), (4, 0), (4, 4), (4, 4)]
    assert list(texts(picture)) == ["8", "embedding", "layers", "norms"]  # two totals of 8
    assert "a 8 (embedding 1, layers 3, norms 4); b 8" in repr(picture)


def test_names_of_thin_parts_keep_their_order_and_do_not_meet():
    parts = {"a long first name": [1], "second": [0.01], "third": [0.01], "rest": [3]}
    picture = plots.stacked_bars(["x"], parts)
    ax = picture.figure.axes[0]
    picture.png()
    boxes = [texts(picture)[name].get_window_extent() for name in parts]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))
    assert boxes[0].x0 >= ax.get_window_extent().x0 - 1


def test_a_knock_out_shows_mean_range_every_run_and_the_whole_model():
    picture = plots.knock_outs(["no norm", "no residual"], [[1, 3], [4, 4]], 0.5)
    ax = picture.figure.axes[0]
    assert [bar.get_width() for bar in ax.patches] == [2, 4]
    ends = [list(map(tuple, path)) for path in ax.collections[0].get_segments()]
    assert ends == [[(1, 0), (3, 0)], [(4, 1), (4, 1)]]
    dots = [list(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[1, 3], [4, 4]]
    assert [0.5, 0.5] in [list(line.get_xdata()) for line in ax.lines]
    assert "nothing removed 0.5" in texts(picture)
    assert repr(picture).endswith("nothing removed: 0.5.")


@pytest.mark.parametrize("draw", KINDS.values(), ids=KINDS)
def test_a_picture_has_a_title_words_and_an_image_with_alt_text(draw):
    picture = draw()
    assert picture.figure.get_suptitle() == picture.title
    bundle = picture._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert bundle["text/plain"] == repr(picture)
    assert repr(picture).startswith(f"{picture.title}. ")
    attributes = {}
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, found: attributes.update(dict(found))
    parser.feed(bundle["text/html"])
    assert attributes["alt"] == repr(picture)
    data = base64.b64decode(attributes["src"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(data)).width == 7 * 144


@pytest.mark.parametrize("draw", KINDS.values(), ids=KINDS)
def test_the_same_numbers_give_the_same_bytes_in_under_40_kb(draw):
    first, second = draw().png(), draw().png()
    assert first == second
    assert len(first) < 40_000
    assert Image.open(io.BytesIO(first)).info == {}


def test_the_readers_own_settings_neither_change_the_look_nor_are_changed():
    before = plots.lines(X, [X], ["a"], "title").png()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "figure.dpi": 30}):
        assert plots.lines(X, [X], ["a"], "title").png() == before
        assert matplotlib.rcParams["font.size"] == 30


def test_pyplot_does_not_know_the_figure_and_so_cannot_show_it_twice():
    import matplotlib.pyplot as plt

    assert all(draw().figure for draw in KINDS.values())
    assert plt.get_fignums() == []


def test_markup_in_a_title_or_a_token_is_escaped_in_html():
    tokens = ['<b>"', "b", "c"]
    html = plots.heatmap(WEIGHTS, tokens, tokens, "a < b")._repr_mimebundle_()["text/html"]
    assert re.findall(r"<\w+", html) == ["<img"]


def test_given_alt_text_replaces_the_one_made_from_the_numbers():
    assert repr(plots.bars(["a"], [1], "Is it one?", alt="It is.")) == "Is it one? It is."


def test_the_words_made_from_the_numbers_quote_them_in_short():
    picture = plots.lines([0, 100], [[1.0, 1234.5], [0.5, 7e-18]], ["up", "down"], ylabel="loss")
    story = "up goes from 1 to 1,234; down goes from 0.5 to 7e-18."
    assert repr(picture) == f"Curves of loss (0 to 100): {story}"


def test_tensors_that_need_a_gradient_and_half_precision_are_drawn():
    weights = WEIGHTS.to(torch.bfloat16).requires_grad_()
    assert drawn_cells(plots.heatmap(weights)).tolist() == WEIGHTS.tolist()


@pytest.mark.parametrize(
    ("draw", "complaint"),
    [
        (lambda: plots.heatmap([1, 2]), "weights has shape"),
        (lambda: plots.heatmap(torch.zeros(0, 3)), "weights has shape"),
        (lambda: plots.heatmap([[1, float("nan")]]), "weights holds numbers that are not finite"),
        (lambda: plots.heatmap([[1, 2], [3]]), "weights holds what is not a number"),
        (lambda: plots.heatmap(WEIGHTS, ["a"]), "rows has 1 labels; expected 3"),
        (lambda: plots.heatmap(WEIGHTS, columns=["a"]), "columns has 1 labels; expected 3"),
        (lambda: plots.heatmap(WEIGHTS, mask=CAUSAL[:2]), "mask has shape"),
        (lambda: plots.lines(X, [[1, 2]], ["a"]), r"ys\[0\] has 2 entries; expected 3"),
        (lambda: plots.lines(X, [X], ["a", "b"]), "names has 2 entries; expected 1"),
        (lambda: plots.lines(X, [X], ["a"], low=[X]), "high has 0 entries; expected 1"),
        (lambda: plots.lines(X, [X], ["a"], log="z"), "log = 'z'"),
        (lambda: plots.lines(X, [X], ["a"], log="y", guide=1), "guide = 1"),
        (lambda: plots.lines(X, [[1, 0, 1]], ["a"], log="y"), r"ys\[0\] holds 0; a log axis"),
        (lambda: plots.lines([0, 1], [[1, 1]], ["a"], log="x"), "x holds 0; a log axis"),
        (lambda: plots.bars(["a", "b"], [1]), "names has 2 labels; expected 1"),
        (lambda: plots.bars(["a"], [1], low=[0]), "low and high come together"),
        (lambda: plots.bars(["a"], [1], low=[2], high=[3]), "low <= values <= high"),
        (lambda: plots.scatter_fit(X, [1], {}), "y has 1 entries"),
        (lambda: plots.scatter_fit(X, X, {"a": (X, [1])}), r"curves\['a'\] y has 1"),
        (lambda: plots.loss_curve(X, ["a", "b", "c"]), "losses holds what is not a number"),
        (lambda: plots.decay_curves(X, {"a": [1, 1]}, 1), r"runs\['a'\] has 2 entries a run"),
        (lambda: plots.decay_curves(X, {"a": [1, 1, -1]}, 1), r"runs\['a'\] holds -1"),
        (lambda: plots.decay_curves(X, {"a": X}, 0), "floor = 0; expected a number above 0"),
        (lambda: plots.loss_curves(X, {"a": [[1], [2]]}), r"runs\['a'\] has 1 entries a run"),
        (lambda: plots.stacked_bars(["a"], {"b": [-1]}), r"parts\['b'\] must hold 1 numbers"),
        (lambda: plots.stacked_bars(["a"], {"b": [0]}), "every bar needs a part above 0"),
        (lambda: plots.knock_outs(["a"], [1], 1), "runs has shape"),
        (lambda: plots.knock_outs(["a"], [[1], [2]], 1), "runs has 2 rows; expected 1"),
    ],
)
def test_input_that_makes_no_figure_is_refused_by_name(draw, complaint):
    with pytest.raises((ValueError, TypeError), match=complaint):
        draw()


def test_importing_the_plots_loads_neither_pandas_nor_torch():
    code = "import sys, transformer_lab.plots; print({'pandas', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
