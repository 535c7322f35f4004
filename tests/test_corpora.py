"""corpora.py: the texts are what they should be, and what validates was not trained on."""

import os
import re
from itertools import islice
from pathlib import Path

import pooch
import pytest
import torch

from transformer_lab import corpora
from transformer_lab.corpora import corpus, train_validation, windows

SHARED = Path(__file__).resolve().parents[2] / "shared/data/tinyshakespeare.txt"


@pytest.fixture
def shakespeare() -> Path:
    path = Path(os.environ.get(corpora.VARIABLE) or SHARED)
    if not path.is_file():
        pytest.skip(f"{corpora.VARIABLE} names no file of tinyshakespeare")
    return path


def paragraphs(text: str) -> set[str]:
    return {" ".join(p.split()) for p in text.split("\n\n")}


def test_pydoc_is_the_default_and_the_same_each_time() -> None:
    text = corpus()
    assert text == corpus("pydoc")
    assert len(text) > 300_000
    assert 'The simple form, "assert expression", is equivalent to' in text


def test_pydoc_is_clean() -> None:
    text = corpus()
    assert len(set(text)) < 110
    assert not set(text) & set("“”‘’–—…\t\r")
    assert re.search(r" \n|\n{3}", text) is None
    assert not text.startswith((" ", "\n"))
    assert text.endswith("\n")


def test_what_validates_does_not_repeat_what_trains() -> None:
    train, validation = train_validation(corpus())
    again = {p for p in paragraphs(train) & paragraphs(validation) if len(p) >= 60}
    assert again == set()


def test_a_text_is_cut_by_position_without_overlap() -> None:
    assert train_validation("0123456789") == ("012345678", "9")
    assert train_validation(list(range(10)), share=0.5) == ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])
    train, validation = train_validation(torch.arange(1_115_394))
    assert len(train) == 1_003_854
    assert torch.equal(torch.cat([train, validation]), torch.arange(1_115_394))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, 0.95, float("nan")])
def test_a_share_that_leaves_an_empty_part_is_named(share: float) -> None:
    parts = "leave two parts of a text of length 10"
    said = parts if share == 0.95 else "be a number above 0 and below 1"
    with pytest.raises(ValueError, match=f"share must {said}, got {share}"):
        train_validation("0123456789", share)


def test_windows_are_stretches_of_the_text_from_every_place() -> None:
    batches = list(islice(windows(torch.arange(20, 30), T=4, size=8, seed=1), 40))
    for batch in batches:
        assert batch.shape == (8, 5)
        assert torch.equal(batch, batch[:, :1] + torch.arange(5))
    assert set(torch.cat(batches)[:, 0].tolist()) == set(range(20, 26))


def test_windows_are_seeded() -> None:
    first, again, other = (
        torch.stack(list(islice(windows(list(range(99)), 5, 4, seed), 3))) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_windows_do_not_touch_the_global_generator() -> None:
    before = torch.get_rng_state()
    next(windows(list(range(99)), 5, 4))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("ids", "T"),
    [(torch.arange(5), 5), (torch.zeros(2, 9, dtype=torch.long), 3), (torch.rand(9), 3), ([], 1)],
)
def test_a_text_that_has_no_windows_is_named(ids: torch.Tensor, T: int) -> None:
    with pytest.raises(ValueError, match=rf"N > T={T}, .* of shape"):
        windows(ids, T, 2)


def test_sizes_below_one_are_named() -> None:
    with pytest.raises(ValueError, match="T must be a whole number at least 1, got 0"):
        windows([1, 2, 3], 0, 2)
    with pytest.raises(ValueError, match="size must be a whole number at least 1, got 0"):
        windows([1, 2, 3], 1, 0)


def test_shakespeare_is_read_from_a_path_or_the_variable(
    shakespeare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = corpus("tinyshakespeare", path=shakespeare)
    assert len(text) == 1_115_394
    assert text.startswith("First Citizen:\nBefore we proceed any further")
    assert len(set(text)) == 65
    monkeypatch.setenv(corpora.VARIABLE, str(shakespeare))
    assert corpus("tinyshakespeare") == text


def test_without_a_file_the_ways_to_get_one_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(corpora.VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "retrieve", lambda *_, **__: pytest.fail("downloaded unasked"))
    with pytest.raises(FileNotFoundError, match=f"download=True.*path.*{corpora.VARIABLE}"):
        corpus("tinyshakespeare")


def test_a_file_that_is_missing_or_another_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file of tinyshakespeare at .*gone\.txt"):
        corpus("tinyshakespeare", tmp_path / "gone.txt")
    other = tmp_path / "other.txt"
    other.write_bytes(b"To be, or not to be\r\n")
    with pytest.raises(ValueError, match=r"other\.txt \(21 bytes\) is not tinyshakespeare: sha256"):
        corpus("tinyshakespeare", other)


def served(content: bytes):
    """A downloader for pooch that needs no network."""
    return lambda url, file, pooch: Path(file).write_bytes(content)


def test_the_download_is_pinned_and_kept(
    shakespeare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(corpora.VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    content = shakespeare.read_bytes()
    monkeypatch.setattr("pooch.core.choose_downloader", lambda *_, **__: served(content))
    assert corpus("tinyshakespeare", download=True) == content.decode()
    monkeypatch.setattr("pooch.core.choose_downloader", lambda *_, **__: pytest.fail("again"))
    assert corpus("tinyshakespeare", download=True) == content.decode()


def test_a_download_with_another_checksum_is_refused_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(corpora.VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    monkeypatch.setattr("pooch.core.choose_downloader", lambda *_, **__: served(b"To be"))
    with pytest.raises(ValueError, match=r"SHA256 hash of downloaded file .* does not match"):
        corpus("tinyshakespeare", download=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_unknown_names_and_needless_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name must be 'pydoc' or 'tinyshakespeare', got 'bible'"):
        corpus("bible")
    with pytest.raises(ValueError, match="'pydoc' comes with Python, got path=None, download=True"):
        corpus("pydoc", download=True)
