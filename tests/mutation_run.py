"""Which small changes to the core's code do the tests not notice?

    python tests/mutation_run.py masks attention positions layers counting
    python tests/mutation_run.py counting --every 12      (a sample: each twelfth change)

Every change of mutants.py to a module's file, one at a time, each tried in a forked process on the
tests named below until one fails. Prints what survives, and the share that was killed. A change
that dies takes some two seconds, one that survives a minute: two hours for all five. Five minutes
of work without an end count as killed. Linux and macOS only.
"""

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PACKAGE = HERE.parent / "transformer_lab"
SECONDS = 300
FIRST = "masks attention positions layers config"  # seconds; most changes end here
THEN = "models properties bad_input parity counting decoding recording"


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module of the package from a changed tree."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name, self.tree = name, tree

    def find_spec(self, name, path, target=None):
        if name != self.name:
            return None
        file = PACKAGE / f"{name.partition('.')[2]}.py"
        return importlib.util.spec_from_file_location(name, file, loader=self)

    def exec_module(self, module):
        exec(compile(self.tree, module.__file__, "exec"), module.__dict__)


class Brief:
    """A failing example is enough: nobody reads the smallest one."""

    def pytest_configure(self) -> None:
        from hypothesis import Phase, settings

        short = [Phase.explicit, Phase.generate]
        settings.register_profile("brief", settings.get_profile("lab"), phases=short)
        settings.load_profile("brief")


def tree_of(module: str) -> ast.Module:
    """Its code without annotations, which nothing reads."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("object", ast.Load())
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            every = [*node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
            for argument in filter(None, every):
                argument.annotation = None
    return ast.fix_missing_locations(tree)


def killed(module: str, tree: ast.Module) -> bool:
    """Whether a test fails on this tree."""
    first = dict.fromkeys([module, *FIRST.split()])
    return fails(module, tree, first) or fails(module, tree, set(THEN.split()) - first.keys())


def fails(module: str, tree: ast.Module, names: Iterable[str]) -> bool:
    """The same for some test files, in a process of its own."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] != 0
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of its own work, whatever else is running
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.meta_path.insert(0, Changed(f"transformer_lab.{module}", tree))
    files = [str(HERE / f"test_{name}.py") for name in names]
    # Libraries that are loaded already are not rewritten, which does not matter here.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning", "-p", "no:cacheprovider"]
    quiet += ["-p", "no:nbval"]  # four seconds of imports
    os._exit(pytest.main(["-x", "-q", *quiet, *files], plugins=[Brief()]) != 0)


def main(modules: list[str], every: int) -> None:
    sys.path.insert(0, str(HERE))
    import hypothesis.strategies  # noqa: F401  loaded here once for all children, like the others
    import torch
    import transformers
    from mutants import changed_trees

    with contextlib.suppress(AttributeError):
        _ = transformers.BertModel, transformers.GPT2LMHeadModel, transformers.LlamaForCausalLM
    torch.set_num_threads(1)
    for module in modules:
        start, alive, total = time.monotonic(), [], 0
        if killed(module, tree_of(module)):
            raise SystemExit(f"{module}: the tests fail without any change")
        for text, tree in islice(changed_trees(tree_of(module), set()), 0, None, every):
            try:
                compile(tree, module, "exec")
            except (SyntaxError, ValueError, TypeError):
                continue
            total += 1
            if total % 50 == 0:
                print(f"  … {total}", flush=True)
            if not killed(module, tree):
                alive.append(text)
                print(f"  {module}: {text[:180]}", flush=True)
        minutes = (time.monotonic() - start) / 60
        share = 1 - len(alive) / total
        print(f"{module}: {total - len(alive)} of {total} killed ({share:.1%}), {minutes:.0f} min")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("modules", nargs="+")
    parser.add_argument("--every", type=int, default=1, metavar="N")
    asked = parser.parse_args()
    main(asked.modules, asked.every)
