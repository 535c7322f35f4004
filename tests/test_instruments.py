"""What every instrument does without a browser: words, picture, page, and the joined module."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import traitlets
from gallery import EXAMPLES, classes

from transformer_lab.instruments import base, export, still, words
from transformer_lab.instruments.predict import Predict

ROOT = Path(__file__).parent.parent
NODE = shutil.which("node")
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


class Toy(base.Instrument):
    """The smallest instrument."""

    _esm = (
        "function render({ model, el }) { el.textContent = 'ready'; }\nexport default { render };"
    )
    _css = ".toy {}\n"
    content = traitlets.Dict().tag(sync=True)

    def describe(self):
        return 'One pixel, "<b>" beside it.'

    def picture(self):
        return PIXEL


def node(*arguments):
    return subprocess.run([NODE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed")


@needs_node
def test_the_browser_half_passes_its_own_tests():
    files = sorted(str(f) for f in (ROOT / "tests" / "view").glob("*.test.mjs"))
    done = node("--test", *files)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_node
def test_weights_have_the_colours_of_cividis_in_python_and_in_the_browser():
    script = (
        'import("./transformer_lab/instruments/view/matrix.js").then(({ cividis }) => console.log('
        "JSON.stringify(Array.from({ length: 256 }, (_, i) => cividis(i / 255)))))"
    )
    theirs = matplotlib.colormaps["cividis"](np.arange(256), bytes=True)[:, :3]
    np.testing.assert_array_equal(json.loads(node("-e", script).stdout), theirs)


@needs_node
def test_python_and_the_browser_make_tokens_visible_alike():
    tokens = [
        "",
        " a",
        "x\r\ny\n\t",
        "\u202e\u00a0\u2028",
        "👩\u200d🔬",
        "<b>",
        "猫",
        "<b>",
        "\u0301",
    ]
    script = (
        'import("./transformer_lab/instruments/view/tokens.js").then(({ names }) => '
        f"console.log(JSON.stringify(names({json.dumps(tokens)}))))"
    )
    assert json.loads(node("-e", script).stdout) == words.names(tokens)


@needs_node
def test_differences_have_the_same_colours_in_python_and_in_the_browser():
    script = (
        'import("./transformer_lab/instruments/view/matrix.js").then(({ diverging: colour }) => '
        "console.log(JSON.stringify(Array.from({ length: 101 }, (_, i) => colour(i / 50 - 1)))))"
    )
    ours = still.diverging(np.arange(101) / 50 - 1)
    assert abs(ours.astype(int) - json.loads(node("-e", script).stdout)).max() <= 1


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.js").write_text(text, encoding="utf-8")


@needs_node
def test_a_joined_module_runs_and_holds_every_file_once(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "VIEW", tmp_path)
    write(
        tmp_path,
        one="export const one = 1;\n",
        two='import { one } from "./one.js";\nexport function two() { return one + one; }\n',
        main='import {\n  one,\n} from "./one.js";\nimport { two } from "./two.js";\n'
        "export async function sum() { return one + two(); }\nexport default { sum };\n",
    )
    source = base.join("main.js")
    assert source.count("const one = 1") == 1
    assert "import" not in source
    (tmp_path / "joined.mjs").write_text(source, encoding="utf-8")
    run = f"import('{(tmp_path / 'joined.mjs').as_uri()}')"
    assert node("-e", f"{run}.then((m) => m.default.sum()).then(console.log)").stdout == "3\n"


def test_a_name_that_two_joined_files_use_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(base, "VIEW", tmp_path)
    write(tmp_path, one="const x = 1;\n", two='import {} from "./one.js";\nconst x = 2;\n')
    with pytest.raises(ValueError, match=r"two.js: the joined files use \['x'\] twice"):
        base.join("two.js")


def test_nothing_in_the_browser_is_left_to_chance():
    """What is random comes from Python or from a seed that is shown."""
    chance = re.compile(r"Math\.random|getRandomValues|randomUUID")
    assert [f.name for f in base.VIEW.glob("*.js") if chance.search(f.read_text("utf-8"))] == []


def test_no_module_is_larger_than_twenty_kilobytes():
    modules = list(base.VIEW.glob("*.js"))
    assert modules
    assert {f.name: f.stat().st_size for f in modules if f.stat().st_size > 20_000} == {}


SHEETS = [sheet for sheet in base.VIEW.glob("*.css") if sheet.stem != "base"]


def reached(sheet):
    """The first class of each selector: whatever carries it is reached by the sheet."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.DOTALL)
    heads = [head for head in re.findall(r"([^{};]*)\{", text) if "@" not in head]
    selectors = [selector for head in heads for selector in re.split(r",(?![^(]*\))", head)]
    assert selectors
    return {re.findall(r"\.tl-[\w-]+|$", selector)[0][1:] for selector in selectors}


@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.stem)
def test_a_sheet_reaches_only_instruments_that_bring_it(sheet):
    """All sheets of a page apply to all of it: a notebook shows several instruments."""
    foreign = {}
    for cls in classes():
        files = base._files(cls.module)
        if sheet.with_suffix(".js").name not in files:
            used = set(re.findall(r"tl-[\w-]+", "".join(files.values())))
            foreign[cls.__name__] = (reached(sheet) & used) | (reached(sheet) & {""})
    assert {name: found for name, found in foreign.items() if found} == {}


def test_nothing_moves_of_itself():
    """So there is nothing to stop for those who asked for less motion."""
    moves = re.compile(r"transition|animat|@keyframes|scroll-behavior|setInterval")
    files = [*base.VIEW.glob("*.css"), *base.VIEW.glob("*.js")]
    assert [f.name for f in files if moves.search(f.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_state_has_words_a_small_picture_and_a_small_load(name):
    one = EXAMPLES[name]()
    assert one.describe() == repr(one) == EXAMPLES[name]().describe()
    assert " at 0x" not in repr(one)
    assert isinstance(one, Predict) or re.search(r"\d|error", repr(one), re.IGNORECASE)
    picture = one.picture()
    assert picture is None or (picture[:4] == b"\x89PNG" and len(picture) <= 15_000)
    assert picture == one.picture()
    json_text = json.dumps(export.plain(one.page_part().state))
    assert len(json_text) <= 1_000_000


def test_an_instrument_leaves_words_and_a_picture_where_there_is_no_kernel():
    data, metadata = Toy()._repr_mimebundle_()
    assert data["text/plain"] == repr(Toy()) == 'One pixel, "<b>" beside it.'
    assert base64.b64decode(data["image/png"]) == PIXEL
    assert 'alt="One pixel, &quot;&lt;b&gt;&quot; beside it."' in data["text/html"]
    assert data["text/html"].endswith("beside it.</figcaption></figure>")
    assert "application/vnd.jupyter.widget-view+json" in data
    assert metadata == {}


def test_an_instrument_that_draws_nothing_leaves_its_words(monkeypatch):
    monkeypatch.setattr(Toy, "picture", lambda self: None)
    data, _ = Toy()._repr_mimebundle_()
    assert "image/png" not in data
    assert data["text/html"] == Toy().figure()
    assert "<img" not in data["text/html"]
    assert "One pixel" in data["text/html"]


def test_the_metadata_that_colab_needs_is_kept(monkeypatch):
    metadata = {"application/vnd.jupyter.widget-view+json": {"colab": {}}}

    def bundle(self, **kwargs):
        return {"text/plain": ""}, metadata

    monkeypatch.setattr(base.anywidget.AnyWidget, "_repr_mimebundle_", bundle)
    assert Toy()._repr_mimebundle_()[1] is metadata


def test_the_picture_stays_behind_a_fold_until_the_learner_answers_or_skips():
    toy = Toy(predict=("Which?", ["this", "that"]))
    assert toy.answer is None
    assert toy.figure().startswith("<figure><details><summary>Which?")
    assert toy.figure().endswith("</details></figure>")
    for answer in ("this", ""):
        toy.answer = answer
        assert toy.figure().startswith("<figure><img")


def test_a_question_needs_at_least_two_options():
    with pytest.raises(ValueError, match="predict needs a question and >= 2 options"):
        Toy(predict=("Which?", ["this"]))


def test_a_page_carries_its_bytes_and_asks_nobody_for_anything():
    toy = Toy(content={"name": "</script><b>", "numbers": b"\x00\xff"})
    page = toy.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert base64.b64decode(state["content"]["numbers"]["$bytes"]) == b"\x00\xff"
    assert state["content"]["name"] == "</script><b>"
    assert not [key for key in state if key.startswith("_") or key == "layout"]
    assert not re.findall(r"https?://|src=|@import|fetch\(", page)


def test_a_page_is_written_where_asked_with_the_state_asked_for(tmp_path):
    path = tmp_path / "toy.html"
    page = Toy().to_html(path, answer="this")
    assert path.read_text(encoding="utf-8") == page
    assert '"answer":"this"' in page


def test_two_instruments_of_a_kind_share_their_module_on_a_page():
    part = export.Part(Toy._esm, Toy._css, {}, "words")
    page = export.page("Two", [part, part])
    assert page.count("function render(") == 1
    assert page.count('data-part="0">') == 2


def test_a_module_that_could_end_its_own_script_is_refused():
    with pytest.raises(ValueError, match="never close a script"):
        export.page("", [export.Part("export default '</script>'", "", {}, "")])
