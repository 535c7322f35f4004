"""files.py: what is there is whole, the old or the new."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from transformer_lab.files import write


def test_a_file_is_replaced_and_nothing_else_appears(tmp_path: Path) -> None:
    for content in (b"first, and longer", b"second"):
        write(tmp_path / "a.json", content)
        assert (tmp_path / "a.json").read_bytes() == content
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, failure: BaseException
) -> None:
    write(tmp_path / "a.json", b"old")

    def fail(*arguments: object) -> None:
        raise failure

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(failure)):
        write(tmp_path / "a.json", b"new")
    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_write_in_the_middle_of_another_disturbs_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace: Callable[..., None] = os.replace

    def meanwhile(*paths: Path) -> None:
        monkeypatch.setattr(os, "replace", replace)
        write(tmp_path / "a.json", b"from another notebook")
        assert (tmp_path / "a.json").read_bytes() == b"from another notebook"
        replace(*paths)

    monkeypatch.setattr(os, "replace", meanwhile)
    write(tmp_path / "a.json", b"ours")
    assert (tmp_path / "a.json").read_bytes() == b"ours"
    assert os.listdir(tmp_path) == ["a.json"]
