"""Is this machine ready for the course? One line for each thing that a lesson needs."""

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path

GIB = 2**30
WIDGETS = ("anywidget", "ipywidgets", "jupyterlab", "jupyterlab_widgets")
SET_UP = "run `python3 course.py lab` again, or `pip install -e .` in your own environment"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what is there, and how to mend it ("" = nothing to mend)."""

    name: str
    found: str
    mend: str = ""
    required: bool = True


@dataclass(frozen=True)
class Report:
    """The doctor's lines. Shows as a table in a notebook and as text elsewhere."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True when nothing that a lesson requires is missing."""
        return not any(line.mend and line.required for line in self.findings)

    def __repr__(self) -> str:
        wide = max(len(line.name) for line in self.findings)
        lines = []
        for line in self.findings:
            lines.append(f"{status(line):<5}  {line.name:<{wide}}  {line.found}")
            if line.mend:
                lines.append(f"{'':<{wide + 9}}{line.mend}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{status(line)}</td><th scope='row' style='text-align:left'>"
            f"{escape(line.name)}</th><td style='text-align:left'>{escape(line.found)}"
            f"{'<br>' + escape(line.mend) if line.mend else ''}</td></tr>"
            for line in self.findings
        )
        head = "<tr><th scope='col'></th><th scope='col'>part</th><th scope='col'>found</th></tr>"
        return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def status(line: Finding) -> str:
    """ok, note (the course runs without) or mend (it does not)."""
    return "ok" if not line.mend else "mend" if line.required else "note"


def doctor() -> Report:
    """Look at this machine. A check that itself fails becomes a line to mend, not an error."""
    checks: tuple[Callable[[], Iterator[Finding]], ...]
    checks = (look_at_python, look_at_torch, look_at_widgets, look_at_machine, look_at_models)
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(check())
        except Exception as error:
            name = check.__name__.removeprefix("look_at_")
            findings.append(Finding(name, f"{type(error).__name__}: {error}", SET_UP))
    return Report(tuple(findings))


def look_at_python() -> Iterator[Finding]:
    """The interpreter, against the range in the package's metadata."""
    wanted = metadata.metadata("transformer-lab")["Requires-Python"]
    mend = "" if admits(wanted, platform.python_version()) else f"the course needs {wanted}"
    yield Finding("Python", f"{platform.python_version()} at {sys.executable}", mend)


def look_at_torch() -> Iterator[Finding]:
    """torch, its build, and whether two numbers can be added with it."""
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    mend = misfit("transformer-lab", "torch")
    if float(torch.ones(2).sum()) != 2.0:
        mend = f"torch cannot add: {SET_UP}"
    yield Finding("torch", f"{torch.__version__}, {build}", mend)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("cores", f"{cores}, torch uses {torch.get_num_threads()}")


def look_at_widgets() -> Iterator[Finding]:
    """The parts of a widget, which only work when their versions fit each other."""
    for name in WIDGETS:
        owner = "ipywidgets" if name == "jupyterlab_widgets" else "transformer-lab"
        yield Finding(name, version(name) or "missing", misfit(owner, name))


def look_at_machine() -> Iterator[Finding]:
    """Memory and disk: both advice, for a lesson needs about 1 GiB of each."""
    total, free = memory()
    mend = "" if free > GIB else "less than 1 GiB is free: close other programs or notebooks"
    yield Finding("memory", f"{free / GIB:.1f} of {total / GIB:.1f} GiB free", mend, required=False)
    free = shutil.disk_usage(Path.cwd()).free
    mend = "" if free > GIB else "less than 1 GiB is free: lessons may fail to save"
    yield Finding("disk", f"{free / GIB:.1f} GiB free", mend, required=False)


def look_at_models() -> Iterator[Finding]:
    """The real model of lesson 00; without it the course uses a small one of its own."""
    from transformer_lab.pretrained import find_pretrained

    try:
        yield Finding("MiniLM", f"found in {find_pretrained('minilm')}")
    except FileNotFoundError as error:
        yield Finding("MiniLM", "not found", str(error), required=False)


def version(name: str) -> str:
    """The installed version of a distribution, or ""."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def admits(specifier: str, installed: str) -> bool:
    """Whether a range such as ">=3.11,<3.15" admits a version."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(specifier).contains(installed, prereleases=True)


def misfit(owner: str, name: str) -> str:
    """How to mend `name` where its version is not the one that `owner` asks for, else ""."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    for line in metadata.requires(owner) or []:
        wanted = Requirement(line)
        if canonicalize_name(wanted.name) == canonicalize_name(name):
            if admits(str(wanted.specifier), version(name) or "0"):
                return ""
            return f"{owner} needs {name} {wanted.specifier}: {SET_UP}"
    return f"{owner} does not ask for {name}: {SET_UP}"


def memory() -> tuple[int, int]:
    """Bytes of memory, total and free, within the container's limit where there is one."""
    import psutil

    seen = psutil.virtual_memory()
    total, free = seen.total, seen.available
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    try:
        total = min(total, int(limit.read_text()))
        free = min(free, total - int(used.read_text()))
    except (OSError, ValueError):
        pass  # no limit here
    return total, free
