"""Shared by all tests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import Phase, settings

# No `explain` phase: it traces every call, and Python 3.11's interpreter has been seen to spin for
# ever in a traced call, in a process that had interrupted code before (the exercises' time bound).
settings.register_profile(
    "lab",
    deadline=None,
    derandomize=True,  # CI fails for what was changed, not by luck
    phases=[phase for phase in Phase if phase is not Phase.explain],
)
settings.load_profile("lab")


@pytest.fixture(autouse=True)
def _seed_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same random numbers for each test, and never the learner's own answers."""
    torch.manual_seed(0)
    monkeypatch.setenv("TRANSFORMER_LAB_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def _no_loop_of_another_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Playwright's event loop stays marked as running, also in tests that open no browser."""
    running = asyncio._get_running_loop()
    if running is None or request.node.get_closest_marker("browser"):
        yield
        return
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)
