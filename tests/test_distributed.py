"""distributed.py: two processes with half of each batch are one process with all of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import parallel_run
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from transformer_lab import distributed


@pytest.fixture
def of_three(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "world", lambda: 3)
    monkeypatch.setattr(distributed, "rank", lambda: 1)


def test_alone_everything_is_handed_back() -> None:
    batch = object()
    assert distributed.share(batch) is batch
    assert (distributed.rank(), distributed.world()) == (0, 1)
    assert distributed.add_up([], 1.5, 2.0) == [1.5, 2.0]
    assert distributed.gather(torch.arange(3)).tolist() == [[0, 1, 2]]
    assert distributed.here().type in ("cpu", "cuda")


@pytest.mark.usefixtures("of_three")
def test_a_process_takes_its_rows_of_every_tensor() -> None:
    rows = torch.arange(6)
    given = {"a": rows, "b": [(rows[:, None], rows + 10)]}
    taken = distributed.share(given)
    assert taken["a"].tolist() == [2, 3]
    ((first, second),) = taken["b"]
    assert (first.tolist(), second.tolist()) == ([[2], [3]], [12, 13])


@pytest.mark.usefixtures("of_three")
@pytest.mark.parametrize(
    "batch",
    [torch.zeros(4, 2), torch.zeros(0, 2), (torch.zeros(3), torch.zeros(6)), ()],
    ids=["does not divide", "empty", "two sizes", "no tensor"],
)
def test_rows_that_cannot_be_shared_are_named(batch: object) -> None:
    with pytest.raises(ValueError, match="a multiple of the 3 processes"):
        distributed.share(batch)


@pytest.mark.usefixtures("of_three")
@pytest.mark.parametrize("batch", ["text", torch.tensor(1.0), (torch.zeros(3), 2)])
def test_a_batch_without_rows_is_named(batch: object) -> None:
    with pytest.raises(TypeError, match="batch must be a tensor with rows"):
        distributed.share(batch)


def steps(folder: Path, name: str, rank: int = 0) -> list[dict]:
    return json.loads((folder / f"{name}-{rank}.json").read_text())


def weights(folder: Path, name: str, rank: int = 0) -> dict[str, Tensor]:
    return load_file(folder / f"{name}-{rank}.safetensors")


def assert_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.skipif(sys.platform == "win32", reason="torchrun is not supported on Windows")
def test_two_processes_equal_one_and_resume_bit_equal(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*torchrun, "--nproc-per-node=2", parallel_run.__file__, str(two)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
    )
    parallel_run.main(one)
    for name, bound in (("float32", 1e-5), ("float64", 1e-12)):
        for alone, together in zip(steps(one, name), steps(two, name), strict=True):
            assert together == pytest.approx(alone, rel=0, abs=bound)
        expected, found = weights(one, name), weights(two, name)
        for key in expected:
            if name == "float64" or not key.endswith("key.bias"):
                # A key's bias moves no softmax. Its gradient is rounding alone, and AdamW turns
                # that into updates of full size where float32 leaves enough of it.
                torch.testing.assert_close(found[key], expected[key], rtol=0, atol=bound)
    for name in ("float32", "float64", "whole", "resumed"):
        assert_equal(weights(two, name), weights(two, name, rank=1))
        assert steps(two, name) == steps(two, name, rank=1)
    for folder in (one, two):
        assert_equal(weights(folder, "whole"), weights(folder, "resumed"))
        assert steps(folder, "resumed") == steps(folder, "whole")[2:]
