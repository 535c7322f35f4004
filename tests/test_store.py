"""The learner's records: atomic, separate, and never in the way of a lesson."""

import json
import multiprocessing
import os
import time

import pytest

from transformer_lab import store


@pytest.fixture
def home():
    return store.home()


def test_a_record_is_read_as_it_was_written():
    assert store.load("progress", "softmax") == {}
    store.save("progress", "softmax", tries=1, note="κ, ⚑")
    store.save("progress", "softmax", tries=2)
    assert store.load("progress", "softmax") == {"tries": 2, "note": "κ, ⚑"}


def test_all_records_of_a_kind_come_by_name(home):
    store.save("progress", "b", tries=2)
    (home / "progress" / "A copy.json").write_text("not ours")
    store.save("progress", "a", tries=1)
    store.save("predictions", "c", answer="x")
    assert store.load_all("progress") == {"a": {"tries": 1}, "b": {"tries": 2}}


def test_a_record_can_be_forgotten_twice():
    store.save("progress", "a", tries=1)
    store.forget("progress", "a")
    store.forget("progress", "a")
    assert store.load_all("progress") == {}


def test_without_the_setting_the_folder_is_the_users_own(monkeypatch):
    monkeypatch.delenv("TRANSFORMER_LAB_HOME")
    assert store.home().name == "transformer-lab"


@pytest.mark.parametrize(
    "damage", ["", "{", "[1]", "null", '{"version": 2, "tries": 1}', '{"tries": 1}', "\udcff"]
)
def test_a_damaged_record_is_set_aside_and_said_so(home, damage):
    path = home / "progress" / "a.json"
    store.save("progress", "a", tries=1)
    path.write_bytes(damage.encode("utf-8", "surrogateescape"))
    with pytest.warns(UserWarning, match=r"made no sense .* set aside as .*a\.broken"):
        assert store.load("progress", "a") == {}
    assert path.with_suffix(".broken").read_bytes() == damage.encode("utf-8", "surrogateescape")
    store.save("progress", "a", tries=5)
    assert store.load("progress", "a") == {"tries": 5}


def test_a_crash_while_writing_leaves_the_old_record_and_no_litter(home, monkeypatch):
    store.save("progress", "a", tries=1)

    def crash(*paths):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        store.save("progress", "a", tries=2)
    assert store.load("progress", "a") == {"tries": 1}
    assert [path.name for path in (home / "progress").iterdir()] == ["a.json"]


def test_a_folder_that_cannot_be_written_gives_a_warning_only(home):
    home.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="was not saved.* The lesson goes on without it"):
        store.save("progress", "a", tries=1)


def test_a_record_that_cannot_be_read_is_not_overwritten(home):
    (home / "progress" / "a.json").mkdir(parents=True)
    with pytest.warns(UserWarning, match="could not be read.* The lesson goes on without it"):
        assert store.load("progress", "a") == {}
    with pytest.warns(UserWarning, match="was not saved"):
        store.save("progress", "a", tries=1)
    assert (home / "progress" / "a.json").is_dir()


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", "a.json", "-a", 3])
def test_a_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(ValueError, match="expected lower-case words"):
        store.save("progress", name, tries=1)


def _write(name):
    for tries in range(20):
        store.save("progress", name, tries=tries)


def test_two_notebooks_at_once_keep_both_their_records(home):
    fork = multiprocessing.get_context("spawn")
    names = ["a", "b", "b"]
    writers = [fork.Process(target=_write, args=(name,)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert store.load_all("progress") == {"a": {"tries": 19}, "b": {"tries": 19}}
    assert json.loads((home / "progress" / "a.json").read_text())["version"] == store.VERSION


def _write_fields(letter: str) -> None:
    read = store._read

    def slow(path):
        record = read(path)
        time.sleep(0.005)  # in which the other one would write
        return record

    store._read = slow
    for number in range(60):
        store.save("progress", "one", **{f"{letter}{number}": number})


def test_two_notebooks_that_change_one_record_lose_no_change(home):
    spawn = multiprocessing.get_context("spawn")
    writers = [spawn.Process(target=_write_fields, args=(letter,)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert len(store.load("progress", "one")) == 120
    assert [path.name for path in (home / "progress").iterdir()] == ["one.json"]


def test_a_lock_that_a_crash_left_does_not_stop_the_lesson(home):
    store.save("progress", "one", tries=1)
    (home / "progress" / ".one.json.lock").touch()
    store.save("progress", "one", hints=2)
    assert store.load("progress", "one") == {"tries": 1, "hints": 2}
    assert [path.name for path in (home / "progress").iterdir()] == ["one.json"]
