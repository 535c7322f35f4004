"""Who may import whom. A new module gets its row here before it passes."""

import ast
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "transformer_lab"
ALL_OF_THE_CORE = "core"

# room: (rooms that it may enter, libraries that it may use beside Python's own)
ROOMS = {
    "bounds": ("", ""),
    "checks": ("bounds", "torch"),
    "config": ("bounds", ""),
    "claims": ("", ""),
    "rnn": ("bounds checks config", "torch"),
    "masks": ("bounds checks", "torch"),
    "positions": ("bounds checks", "torch"),
    "cache": ("config", "torch"),
    "attention": ("bounds checks masks positions cache", "torch"),
    "layers": ("checks config masks positions cache attention", "torch"),
    "embedding": ("checks config positions layers", "torch"),
    "initialise": ("embedding layers", "torch"),
    "models": ("checks config masks cache layers embedding initialise", "torch"),
    "presets": ("config", ""),
    "counting": ("bounds config presets", "torch"),
    "skeleton": ("config models presets", "torch"),
    "bytepairs": ("checks", "torch"),
    "tokens": ("checks bytepairs", "torch tokenizers"),
    "corpora": ("bounds checks", "torch pooch"),
    "translation": ("bounds checks tokens", "torch num2words babel"),
    "tasks": ("bounds checks corpora tokens translation", "torch"),
    "step": ("attention cache embedding layers models positions", "torch"),
    "writer": ("checks cache models step", "torch"),
    "decoding": ("bounds checks models writer", "torch"),
    "sites": ("attention layers embedding", "torch"),
    "recording": ("masks positions cache attention layers embedding sites", "torch"),
    "families": ("models", ""),
    "renaming": ("config models families", "torch"),
    "pretrained": ("config", "pooch"),
    "checkpoints": ("config models tokens families renaming pretrained", "torch safetensors"),
    "schedules": ("bounds", ""),
    "distributed": ("", "torch"),
    "gradients": ("distributed", "torch"),
    "resuming": ("checkpoints distributed", "torch"),
    "training": ("bounds models schedules distributed gradients resuming", "torch"),
    "twins": ("config masks attention layers models", "torch"),
    "data": (
        "config initialise models tokens training checkpoints corpora",
        "torch tokenizers",
    ),
    # above: the core; no plotting, no widgets
    "look": ("", "matplotlib PIL"),
    "plots": ("look", "numpy matplotlib seaborn PIL"),
    "course_map": ("config presets counting look plots", "matplotlib"),
    "files": ("", ""),
    "store": ("files", "platformdirs"),
    "instruments": (
        "core look plots store",
        "torch numpy matplotlib PIL anywidget ipywidgets traitlets IPython",
    ),
    "exercises": ("core store", "torch psutil"),
    "doctor": ("core store", "torch packaging psutil"),
    "grading": ("exercises store files", "nbclient nbformat"),
    "lesson_page": ("instruments files", "nbclient nbconvert nbformat"),
    "cli": ("exercises instruments doctor grading lesson_page store files", "jupyterlab"),
    "__init__": ("", ""),
}
CORE = list(takewhile(lambda room: room != "look", ROOMS))
# What a reader needs to build, train and use a Transformer; the other rooms of the core hold data,
# counting, files of real models and what serves the tests.
TEXTBOOK = [
    *("bounds", "config", "checks", "masks", "positions", "cache", "attention", "layers"),
    *("embedding", "initialise", "models", "rnn", "recording", "sites", "writer", "decoding"),
    *("schedules", "training"),
]
HEAVY = {"matplotlib", "seaborn", "pandas", "ipywidgets", "anywidget", "IPython", "jupyterlab"}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(source: str) -> set[str]:
    """Dotted names of everything that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def forbidden(room: str, source: str) -> list[str]:
    """What a module of this room imports and may not."""
    if room not in ROOMS:
        return [f"{room} has no row in ROOMS"]
    rooms, libraries = (set(words.split()) for words in ROOMS[room])
    rooms |= {room} | (set(CORE) if ALL_OF_THE_CORE in rooms else set())
    complaints = []
    for name in sorted(imported(source)):
        top, _, rest = name.partition(".")
        if top == "transformer_lab":
            allowed = rest.split(".")[0] in rooms | {"__version__"}
        else:
            allowed = top in sys.stdlib_module_names | libraries
        if not allowed:
            complaints.append(f"{room} imports {name}")
    return complaints


def core_files() -> dict[str, list[str]]:
    paths = {room: PACKAGE / f"{room}.py" for room in CORE}
    return {
        room: [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        for room, path in paths.items()
        if path.exists()
    }


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_module_imports_only_what_its_room_allows(path):
    assert forbidden(room_of(path), path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("models", "import matplotlib.pyplot as plt"),
        ("models", "def f():\n    import ipywidgets"),
        ("masks", "from transformer_lab.models import TextEncoder"),
        ("masks", "from transformer_lab import models"),
        ("plots", "import transformer_lab.models"),
        ("exercises", "from transformer_lab.instruments.base import Instrument"),
        ("exercises", "from transformer_lab import instruments"),
        ("config", "import torch"),
        ("layers", "from .attention import attention"),
        ("cli", "import notebooks.build"),
        ("cli", "from transformer_lab import __version__, models"),
        ("a_new_module", ""),
    ],
)
def test_the_rule_sees_a_forbidden_import(room, source):
    assert len(forbidden(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("models", "import math\nimport torch.nn.functional as F\nfrom torch import nn"),
        ("models", "from transformer_lab import layers\nimport transformer_lab.config"),
        ("instruments", "from transformer_lab.instruments import wire"),
        ("exercises", "from transformer_lab import attention as package"),
    ],
)
def test_the_rule_lets_an_allowed_import_pass(room, source):
    assert forbidden(room, source) == []


def test_a_room_enters_only_rooms_listed_above_it():
    above = {ALL_OF_THE_CORE}
    for room, (rooms, _) in ROOMS.items():
        assert set(rooms.split()) <= above, room
        above.add(room)


def test_the_core_loads_neither_plots_nor_widgets():
    modules = [f"transformer_lab.{room}" for room in core_files()]
    code = f"import sys, {', '.join(modules)}; print(*sorted({HEAVY} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "transformer_lab.models" in modules
    assert run.stdout.strip() == ""


def test_the_core_can_be_read_in_an_afternoon():
    sizes = {room: len(lines) for room, lines in core_files().items()}
    assert {room: size for room, size in sizes.items() if size >= 200} == {}
    assert sum(sizes[room] for room in TEXTBOOK if room in sizes) <= 2000
