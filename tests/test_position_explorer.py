"""The position explorer without a browser: its numbers against torch, its words, its pictures."""

import json
import math
import random
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
import torch

from transformer_lab.instruments.position_explorer import SCHEMES, TABS, PositionExplorer
from transformer_lab.positions import alibi, alibi_slopes, rotary, sinusoidal

ROOT = Path(__file__).parent.parent
VIEW = "./transformer_lab/instruments/view"
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
EXPORTS = """
import("VIEW/position_sums.js").then((sums) => {
    const states = JSON.parse(require("fs").readFileSync(0, "utf8"));
    console.log(JSON.stringify(states.map(([state, content]) => (WORK))));
  });
"""


def browser(work, states):
    """What the expression `work` of each [state, content] gives in node."""
    script = EXPORTS.replace("VIEW", VIEW).replace("WORK", work)
    run = subprocess.run(
        ["node", "-e", script], cwd=ROOT, input=json.dumps(states),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def explorer(rng, tab=None):
    """A random explorer: any width and base, vectors of its own, words in any order."""
    count, length = rng.randint(2, 12), rng.randint(4, 128)
    d, heads = 2 * rng.randint(1, 6), rng.randint(1, 16)
    numbers = [[rng.gauss(0, 1) for _ in range(d)] for _ in range(count)]
    pick = rng.randrange
    return PositionExplorer(
        tokens=[rng.choice("abcd") for _ in range(count)], tab=tab or rng.choice(TABS),
        length=length, q=[rng.gauss(0, 1) for _ in range(d)], k=[rng.gauss(0, 1) for _ in range(d)],
        vectors=numbers, width=2 * rng.randint(2, 32), base=float(f"{10 ** rng.uniform(1, 6):.2g}"),
        position=pick(length), other=pick(length), cosine=rng.random() < 0.5, heads=heads,
        head=pick(heads), order=rng.sample(range(count), count), query=pick(count), key=pick(count),
    )  # fmt: skip


def sent(one, **extra):
    """[state, content] as the browser holds them."""
    names = [*one.content["start"], "tab"]
    return [{n: getattr(one, n) for n in names} | {"column": 0, "moved": None} | extra, one.content]


def near(found, expected):
    expected = torch.as_tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(
        torch.tensor(found, dtype=torch.float64), expected, rtol=1e-5, atol=1e-5
    )


@needs_node
def test_the_browser_calculates_as_the_package_does():
    rng = random.Random(0)
    every = [explorer(rng) for _ in range(120)]
    work = """{
      waves: sums.waveTable(content.length, state.width, state.base),
      alike: sums.likeness(state, content.length),
      q: sums.turned(content.q, state.position, state.base),
      k: sums.turned(content.k, state.other, state.base),
      score: sums.clocks(content, state).score,
      slopes: sums.slopes(state.heads),
      words: sums.wordScores(content, state, state.order),
    }"""
    for one, found in zip(every, browser(work, [sent(one) for one in every]), strict=True):
        waves = sinusoidal(one.length, one.width, one.base)
        near(found["waves"], waves)
        part = (waves if one.cosine else waves[:, ::2]).double()
        products = part @ part.T
        near([p["value"] for p in found["alike"]["curve"]], products[one.position])
        near([p["value"] for p in found["alike"]["curve"]], one.products())
        far = products.diagonal(abs(one.position - one.other))
        near([found["alike"]["least"], found["alike"]["most"]], [far.min(), far.max()])
        q, k = (torch.tensor(one.content[name])[None] for name in "qk")
        near(found["q"], rotary(q, one.position, one.base)[0])
        near(found["k"], rotary(k, one.other, one.base)[0])
        near(found["score"], one.hand_score())
        near(found["slopes"], alibi_slopes(one.heads))
        near(found["words"], list(one.scores().values()))


def test_the_scores_of_a_moved_word_are_those_of_the_package():
    one = PositionExplorer(tab="move", order=[3, 1, 0, 2, 5, 4], query=1, key=5, heads=4, head=1)
    x = torch.tensor(one.content["vectors"])
    standing, d = x[[3, 1, 0, 2, 5, 4]], x.shape[1]
    summed = standing + sinusoidal(6, d)
    turned = rotary(standing)
    expected = {
        "none": standing[1] @ standing[4],
        "sinusoidal": summed[1] @ summed[4],
        "rotary": turned[1] @ turned[4],
    }
    for name, product in expected.items():
        assert one.scores()[name] == pytest.approx(float(product) / d**0.5, abs=1e-5)
    bias = float(alibi(4, 6)[1, 1, 4])
    assert one.scores()["ALiBi"] == pytest.approx(one.scores()["none"] + bias, abs=1e-6)


def test_both_words_moved_alike_change_the_sinusoidal_score_only():
    one = PositionExplorer(tab="move", query=1, key=2)
    before = one.scores()
    one.order = [1, 2, 0, 3, 4, 5]
    changed = [name for name, score in one.scores().items() if abs(score - before[name]) > 1e-5]
    assert changed == ["sinusoidal"]
    one.order = [2, 0, 3, 1, 4, 5]
    changed = [name for name, score in one.scores().items() if abs(score - before[name]) > 1e-5]
    assert changed == list(SCHEMES[1:])


def test_moving_query_and_key_together_keeps_the_score():
    one = PositionExplorer(tab="hands", position=12, other=7)
    before = one.hand_score()
    one.position, one.other = 40, 35
    assert one.hand_score() == pytest.approx(before, abs=1e-5)
    one.other = 34
    assert abs(one.hand_score() - before) > 0.01


def number(text):
    return float(text.replace("−", "-").replace(",", "").rstrip("."))


@needs_node
def test_two_hundred_random_read_outs_are_torchs_numbers_at_the_precision_shown():
    rng = random.Random(1)
    every = [explorer(rng, tab=TABS[i % 5]) for i in range(200)]
    states = [
        sent(one, column=rng.randrange(one.width), moved=rng.choice([None, "both"]))
        for one in every
    ]
    for one, (state, _) in zip(every, states, strict=True):
        if state["moved"]:
            low, high = sorted((one.position, one.other))
            by = rng.randint(-low, one.length - 1 - high)
            state["moved"] = {
                "what": "both",
                "position": one.position + by,
                "other": one.other + by,
            }
    texts = browser("sums.told(state, content)", states)
    digits, seen = r"(−?[\d,]+\.\d+)", 0
    for one, (state, _), text in zip(every, states, texts, strict=True):
        if one.tab == "waves":
            exact = [sinusoidal(one.length, one.width, one.base)[one.position, state["column"]]]
            shown = re.findall(rf"\) = {digits}", text)
        elif one.tab == "distance":
            exact = [one.products()[one.other]]
            shown = re.findall(rf"PE\(\d+\) · PE\(\d+\) = {digits}", text)
        elif one.tab == "hands":
            exact, shown = [one.hand_score()], re.findall(rf"(?:stays|[Ss]core) {digits}", text)
        elif one.tab == "slopes":
            bias = alibi(one.heads, one.length)[one.head, one.position, one.other]
            exact, shown = [bias], re.findall(rf"distance \d+ is {digits}", text)
            factor = math.exp(bias)
            if factor >= 0.0005:
                exact.append(factor)
                shown += re.findall(rf"e\^\S+ = {digits}", text)
        else:
            score = one.scores()
            exact, shown = [], []
            if found := re.search(rf"it stays {digits}", text):
                exact, shown = [score["none"]], [found[1]]
            elif found := re.search(
                rf"only the (\w+) score changes, from {digits} to {digits}", text
            ):
                first = one.scores(range(len(one.tokens)))
                exact, shown = [first[found[1]], score[found[1]]], [found[2], found[3]]
        assert len(shown) == len(exact), text
        for said, true in zip(shown, exact, strict=True):
            assert abs(number(said) - float(true)) < 0.0005 + 1e-5, text
            seen += 1
    assert seen >= 200


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"tokens": ["a"]}, ValueError, "tokens has 1; expected 2 to 12"),
        ({"tokens": ["a"] * 13}, ValueError, "tokens has 13"),
        ({"tokens": [1, 2]}, TypeError, "tokens must hold strings, not 1"),
        ({"tab": "wave"}, ValueError, "tab = 'wave'; expected one of"),
        ({"tabs": ["hands"], "tab": "waves"}, ValueError, r"expected one of \['hands'\]"),
        ({"tabs": []}, ValueError, r"tabs = \[\]; expected some of"),
        ({"tabs": ["hands", "hands"]}, ValueError, "each once"),
        ({"length": 3}, ValueError, "length = 3; expected 4 to 128"),
        ({"length": "long"}, TypeError, "length must be a whole number, not 'long'"),
        ({"width": 31}, ValueError, "width = 31; expected an even number"),
        ({"width": 66}, ValueError, "width = 66; expected 4 to 64"),
        ({"base": 1}, ValueError, "base = 1; expected 10 to 1,000,000"),
        ({"base": float("nan")}, ValueError, "base = nan"),
        ({"base": True}, TypeError, "base must be a number, not True"),
        ({"position": 48}, ValueError, "position = 48; expected 0 to 47"),
        ({"position": 1.5}, TypeError, "position must be a whole number, not 1.5"),
        ({"position": float("nan")}, TypeError, "position must be a whole number, not nan"),
        ({"head": 8}, ValueError, "head = 8; expected 0 to 7"),
        ({"heads": 0}, ValueError, "heads = 0; expected 1 to 16"),
        ({"order": [0, 1, 2, 3, 4, 4]}, ValueError, "expected each of 0 to 5 once"),
        ({"query": 6}, ValueError, "query = 6; expected 0 to 5"),
        ({"q": [1.0, 2.0, 3.0]}, ValueError, r"q has shape \(3,\); expected \(d,\), an even d"),
        ({"q": [1.0, 2.0]}, ValueError, r"q has shape \(2,\) and k \(8,\); expected one d"),
        ({"q": [1.0, float("inf")]}, ValueError, "q must be finite"),
        ({"vectors": [[1.0, 2.0]]}, ValueError, r"vectors has shape \(1, 2\); expected \(6, d\)"),
        ({"widht": 8}, TypeError, "no argument widht"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        PositionExplorer(**changes)


def test_a_later_change_is_checked_like_the_first():
    one = PositionExplorer(length=20)
    for name, value in (("position", 20), ("width", 5), ("order", [0]), ("tab", "x"), ("base", 0)):
        with pytest.raises(ValueError, match=f"{name} = "):
            setattr(one, name, value)
    one.heads = 2
    one.head = 1
    one.heads = 1
    assert one.head == 0
    one.width = torch.tensor(8).item()
    assert (one.position, one.width, one.tab) == (12, 8, "waves")


WORDS = {
    "waves": "Sinusoidal positions, 48 × 32, base 10,000. Row 12 begins −0.54, 0.84, 0.45, 0.89. "
    "The fastest wave repeats every 6.28 positions, the slowest every 35,333.",
    "distance": "PE(12) · PE(7) = 11.78 at width 32, base 10,000. Any two positions 5 apart "
    "give it.",
    "hands": "A query at 12 and a key at 7, turned as rotary positions do, base 10,000: score "
    "3.26. Moved together they keep it.",
    "slopes": "ALiBi, 8 heads. Head 2 subtracts 0.125 a step, 0.625 at distance 5.",
    "move": "“dog” looks from 1 at “chased” at 2. Scores: none −1.26, sinusoidal 1.60, rotary "
    "−0.64, ALiBi −1.39.",
}


@pytest.mark.parametrize("tab", TABS)
def test_the_words_quote_the_numbers_of_the_open_tab(tab):
    assert repr(PositionExplorer(tab=tab)) == WORDS[tab]


def test_the_words_say_what_a_move_and_a_dropped_cosine_change():
    moved = repr(PositionExplorer(tab="move", order=[1, 2, 0, 3, 4, 5]))
    assert "“dog” looks from 0 at “chased” at 1" in moved
    assert "sinusoidal 1.60 → 1.46, rotary −0.64, ALiBi −1.39" in moved
    twice = repr(PositionExplorer(tab="move", query=3, key=0))
    assert "“the” (3) looks from 3 at “the” (0) at 0" in twice
    assert "Two positions 5 apart give between 0.00 and 4.21." in repr(
        PositionExplorer(tab="distance", cosine=False)
    )


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"length": 4, "width": 4, "base": 10, "heads": 1, "position": 3, "other": 0},
        {"length": 128, "width": 64, "base": 1e6, "heads": 16, "head": 0, "position": 127,
         "other": 0, "cosine": False, "tokens": ["<b>", "日本", "👩", "$x^2$", " ", "\n"] * 2,
         "q": [0.0, 0.0], "k": [0.0, 0.0], "order": list(range(11, -1, -1))},
    ],
    ids=["plain", "small", "large"],
)  # fmt: skip
def test_the_picture_is_small_and_the_same_twice(tab, changes):
    png = PositionExplorer(tab=tab, **changes).picture()
    assert png == PositionExplorer(tab=tab, **changes).picture()
    assert struct.unpack(">II", png[16:24])[0] == 700
    assert 2_000 < len(png) < 15_000


def test_the_page_carries_its_numbers_and_asks_nobody():
    one = PositionExplorer(tokens=["</script>", "b"], title="<b>", tabs=["move"])
    page = one.to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["content"]["tokens"][0] == "</script>"
    assert state["content"]["tabs"] == ["move"]
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_a_question_comes_first_and_its_answer_is_kept():
    one = PositionExplorer(tab="hands", predict=("Does it stay?", ["yes", "no"]))
    assert one.figure().startswith("<figure><details>")
    one.answer = "yes"
    assert one.figure().startswith("<figure><img")
