"""Live training without a browser: the same run as `train`, in pieces, and safe to interrupt."""

import asyncio
import json
import re
import struct

import pytest
import torch
from small_translator import TASK, untrained

from transformer_lab.instruments import live, snapshots
from transformer_lab.instruments.live import LiveTraining
from transformer_lab.training import train

SETTINGS = {"rate": 1e-2, "warmup": 5}


def training(model=None, steps=12, **changes):
    changes = {"every": 4, "batch": 8, "held_out": 5, **SETTINGS, **changes}
    return LiveTraining(model or untrained(), TASK, steps, **changes)


def weights(model):
    return [p.detach().clone() for p in model.parameters()]


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def trained_by_the_package(steps, total=12, **changes):
    model = untrained(**changes)
    for step in train(model, TASK.batches(8, 0), total, **SETTINGS):
        if step.index == steps:
            break
    return weights(model)


class Interrupted:
    """Batches that fail after some."""

    def __init__(self, after, error):
        self.after, self.error = after, error

    def __call__(self, size, seed=0):
        batches = type(TASK).batches(TASK, size, seed)
        for _ in range(self.after):
            yield next(batches)
        raise self.error


async def until(condition, seconds=30):
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it took too long")


def test_run_gives_the_weights_that_train_gives():
    one = training().run()
    assert same(weights(one.model), trained_by_the_package(12))
    assert (one.status, one.step) == ("finished", 12)
    assert one.loss == pytest.approx(one._losses[-1])


def test_running_in_parts_gives_the_same_weights_to_the_last_bit():
    one = training()
    one.run(5)
    assert (one.status, one.step) == ("paused", 5)
    one.run(3).run()
    assert same(weights(one.model), trained_by_the_package(12))


def test_on_an_event_loop_it_gives_the_same_weights_and_lets_others_in():
    one, others = training(), []

    async def notebook():
        one.start()
        while one.status == "running":
            others.append(one.step)
            await asyncio.sleep(0)

    asyncio.run(notebook())
    assert one.status == "finished"
    assert len(others) > 1
    assert same(weights(one.model), trained_by_the_package(12))


def test_pause_waits_and_start_goes_on(monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 0.0001)  # one step at a time
    one = training()

    async def notebook():
        one.start()
        await until(lambda: one.step >= 3)
        one.pause()
        at = one.step
        await asyncio.sleep(0.1)
        assert (one.status, one.step, one.seconds) == ("paused", at, 0)
        one.start()
        await until(lambda: one.status == "finished")

    asyncio.run(notebook())
    assert same(weights(one.model), trained_by_the_package(12))


def test_stop_keeps_what_was_learned_and_restart_gives_the_same_course_again(monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 0.0001)
    one = training()
    first = weights(one.model)

    async def notebook():
        one.start()
        await until(lambda: one.step == 5)
        one.stop()
        one.start()
        await asyncio.sleep(0.05)

    asyncio.run(notebook())
    assert (one.status, one.step) == ("stopped", 5)
    assert one.message == "Stopped. The model is as after step 5."
    assert same(weights(one.model), trained_by_the_package(5))
    assert one.history["steps"] == [0, 4, 5]
    one.restart()
    assert (one.status, one.step, one.loss, one.history["steps"]) == ("ready", 0, None, [0])
    assert same(weights(one.model), first)
    assert same(weights(one.run().model), trained_by_the_package(12))


def test_restart_while_it_runs_leaves_one_training(monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 0.0001)
    one = training()

    async def notebook():
        one.start()
        await until(lambda: one.step >= 2)
        one.restart()
        one.start()
        await until(lambda: one.status == "finished")
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert len(running) <= 1

    asyncio.run(notebook())
    assert same(weights(one.model), trained_by_the_package(12))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more numbers")])
def test_an_error_or_interrupt_leaves_the_last_good_step(monkeypatch, error):
    monkeypatch.setattr(TASK, "batches", Interrupted(7, error), raising=False)
    one = training()
    with pytest.raises(type(error)):
        one.run()
    monkeypatch.undo()
    assert (one.status, one.step) == ("failed", 7)
    assert one.message.endswith("The model is as after step 7.")
    assert same(weights(one.model), trained_by_the_package(7))


def test_an_interrupt_in_the_middle_of_an_update_is_undone(monkeypatch):
    real, calls = torch.optim.AdamW.step, []

    def torn(self, *args, **kwargs):
        calls.append(None)
        result = real(self, *args, **kwargs)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(torch.optim.AdamW, "step", torn)
    one = training()
    with pytest.raises(KeyboardInterrupt):
        one.run()
    monkeypatch.undo()
    assert one.message == "Interrupted. The model is as after step 3."
    assert same(weights(one.model), trained_by_the_package(3))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no more numbers")])
def test_on_an_event_loop_nothing_is_raised_that_would_end_the_kernel(monkeypatch, error):
    monkeypatch.setattr(TASK, "batches", Interrupted(3, error), raising=False)
    one = training()

    async def notebook():
        one.start()
        await until(lambda: one.status != "running")
        return "alive"

    assert asyncio.run(notebook()) == "alive"
    assert one.status == "failed"


def test_a_loss_that_is_not_finite_is_said():
    one = training(rate=1e12, warmup=0, clip=1e30)
    with pytest.raises(FloatingPointError):
        one.run()
    assert "It failed: step" in one.message
    assert all(torch.isfinite(p).all() for p in one.model.parameters())


def test_the_notebooks_random_numbers_are_left_alone_and_do_not_matter():
    def course(disturb):
        one = training(untrained(dropout=0.2))
        torch.manual_seed(1 if disturb else 2)
        before = torch.get_rng_state()
        one.run(6)
        assert torch.equal(torch.get_rng_state(), before)
        torch.rand(3) if disturb else None
        return weights(one.run().model)

    assert same(course(True), course(False))


def test_one_model_is_trained_by_one_at_a_time(monkeypatch):
    monkeypatch.setattr(live, "CHUNK", 0.0001)
    model = untrained()
    first, second = training(model), training(model)

    async def notebook():
        first.start()
        await until(lambda: first.step >= 1)
        second.start()
        assert first.status == "stopped"
        second.stop()

    asyncio.run(notebook())


def test_start_without_a_loop_says_what_to_do():
    with pytest.raises(RuntimeError, match="use run"):
        training().start()


def test_the_buttons_of_the_view_are_heard():
    one = training()
    one._hear(one, {"do": "stop"}, [])
    assert one.status == "stopped"
    one._hear(one, {"do": "restart"}, [])
    assert one.status == "ready"
    one._hear(one, {"do": "format the disk"}, [])
    one._hear(one, "stop", [])
    assert one.status == "ready"


def test_the_share_right_is_that_of_whole_words():
    one = training(held_out=20)
    assert one.right == 0
    one = LiveTraining(
        untrained(), TASK, 120, batch=32, every=60, held_out=50, rate=1e-2, warmup=20
    )
    one.run()
    assert one.right > 0.5
    assert one.agreement[1] == 5
    assert one._looks[-1].wrote


def test_its_words_before_and_after():
    one = training()
    assert repr(one) == "Not started: 12 steps, 5 held-out numbers."
    words = re.fullmatch(
        r"Finished after 12 of 12 steps: the loss fell from \d to \d\.\d nats, about \d of 10 "
        r"held-out numbers are right\.",
        repr(one.run()),
    )
    assert words


def test_the_picture_is_small_and_drawn_at_every_time():
    one = training(title="A title")
    before = one.picture()
    one.run()
    for png in (before, one.picture()):
        assert struct.unpack(">II", png[16:24])[0] == 700
        assert 3_000 < len(png) < 15_000


def test_the_page_carries_the_course_and_asks_nobody():
    page = training(title="</script><b>").run().to_html()
    state = json.loads(re.search(r'application/json">(.*?)</script>', page)[1])
    assert state["history"]["steps"] == [0, 4, 8, 12]
    assert state["seconds"] == 0
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)|src=|@import|fetch\(", page)
    assert len(page) < 100_000


def test_looks_are_thinned_evenly_and_the_first_and_last_stay(monkeypatch):
    monkeypatch.setattr(snapshots, "MOST", 5)
    one = training(steps=40, every=2, held_out=1, batch=1)
    one.run()
    steps = one.history["steps"]
    assert steps == [0, 16, 32, 36, 40]


def test_the_example_is_a_held_out_number_whose_tens_and_units_cross():
    one = training()
    assert one.content["unseen"]
    assert -1 in one.content["aligned"][:-1]
    assert training(example=42).content["number"] == 42


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"steps": 0}, ValueError, "steps = 0; expected 1 or more"),
        ({"every": 1.5}, ValueError, "every = 1.5"),
        ({"batch": True}, ValueError, "batch = True"),
        ({"held_out": -1}, ValueError, "held_out = -1"),
        ({"example": 5000}, ValueError, "example = 5000; expected a number of the task"),
        ({"example": "x"}, ValueError, "example = 'x'"),
        ({"rate": -1}, ValueError, "rate must be a number above 0, got -1"),
        ({"model": torch.nn.Linear(2, 2)}, TypeError, "model must be an EncoderDecoder"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes, error, words):
    with pytest.raises(error, match=words):
        training(**changes)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True])
def test_run_needs_a_number_of_steps(steps):
    with pytest.raises(ValueError, match=r"steps = .*; expected 1 or more, or None"):
        training().run(steps)


def test_a_task_of_another_vocabulary_is_refused():
    from transformer_lab.tasks import NumberWords

    with pytest.raises(ValueError, match="the model's source vocabulary has"):
        LiveTraining(untrained(), NumberWords(20, 10, below=100), 5)
    with pytest.raises(TypeError, match="task must be NumberWords, got list"):
        LiveTraining(untrained(), [], 5)
