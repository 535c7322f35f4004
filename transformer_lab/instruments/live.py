"""Training that can be watched: a translator learns in the notebook while the kernel stays free."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

import torch
import traitlets

from transformer_lab.decoding import generate
from transformer_lab.instruments import live_still, wire
from transformer_lab.instruments.base import Instrument
from transformer_lab.instruments.crossing import hits, looks
from transformer_lab.instruments.reading import read_number
from transformer_lab.instruments.snapshots import Snapshot, snapshot, thinned
from transformer_lab.models import EncoderDecoder
from transformer_lab.training import Step, train
from transformer_lab.translation import NumberWords, german

CHUNK = 0.05  # seconds of training before the kernel may do something else
BREATH = 0.005  # seconds that it gets at least
BUSY = ("running", "paused")


class LiveTraining(Instrument):
    """Train an EncoderDecoder on a `NumberWords` task: loss, held-out numbers, attention forming.

    steps: updates in all. every: steps between two looks at the model. example: the number whose
    cross-attention is drawn. held_out: how many held-out numbers are translated at each look.
    More settings (rate, warmup, …) go to `training.train`.

    start(), pause() and stop() are the view's buttons: training runs in short pieces on the
    kernel's event loop, so cells run in between and never see a half-made step. run(n) trains n
    steps at once, without a loop. The same seed gives the same weights either way; the notebook's
    own random numbers are left alone. An error or interrupt leaves the model at its last good step.

    For a lesson: status ("ready", "running", "paused", "stopped", "finished" or "failed"), step,
    loss (of the last step, in nats), right (share of the held-out numbers at the last look).
    """

    module = "live.js"
    content = traitlets.Dict().tag(sync=True)
    history = traitlets.Dict().tag(sync=True)
    status = traitlets.Unicode("ready").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)
    loss = traitlets.Float(None, allow_none=True).tag(sync=True)
    right = traitlets.Float(0.0).tag(sync=True)
    seconds = traitlets.Float(0.0).tag(sync=True)  # left, while it runs
    message = traitlets.Unicode("").tag(sync=True)
    attention = traitlets.Unicode("mean").tag(sync=True)
    _at_work: ClassVar[WeakKeyDictionary[Any, "LiveTraining"]] = WeakKeyDictionary()

    def __init__(
        self,
        model: EncoderDecoder,
        task: NumberWords,
        steps: int = 100,
        *,
        every: int = 5,
        batch: int = 64,
        seed: int = 0,
        example: int | None = None,
        held_out: int = 100,
        title: str | None = None,
        predict: tuple[str, Sequence[str]] | None = None,
        **settings: Any,
    ) -> None:
        _check(model, task, steps=steps, every=every, batch=batch, held_out=held_out)
        self.model, self.task = model, task
        self.steps, self._every, self._batch, self._seed = steps, every, batch, seed
        self._settings = settings
        self._tested = task.held_out[:held_out]
        self._example = _crossing(task) if example is None else _known(example, task)
        self._title = wire.text(title or "", "title")
        self._first = [each.detach().clone() for each in self._tensors()]
        self._good = [each.clone() for each in self._first]
        self._random = torch.Generator().manual_seed(seed).get_state()
        self._reading = read_number(str(self._example))
        super().__init__(predict)
        self._begin()
        self.on_msg(self._hear)

    def _tensors(self) -> list[torch.Tensor]:
        return [*self.model.parameters(), *self.model.buffers()]

    def _begin(self) -> None:
        """Everything but the weights as it is before the first step."""
        batches = self.task.batches(self._batch, self._seed)
        self._training: Iterator[Step] = train(self.model, batches, self.steps, **self._settings)
        self._task: asyncio.Task[None] | None = None
        self._losses: list[float] = []
        self._looks: list[Snapshot] = []
        self._spent = 0.0
        reading, config = self._reading, self.model.config
        self.content = {
            "title": self._title,
            "number": self._example,
            "unseen": self._example in self.task.held_out,
            "source": list(reading.source),
            "expected": [*(reading.expected or ()), "<end>"],
            "aligned": list(reading.aligned),
            "layers": config.n_layers,
            "heads": config.n_heads,
            "steps": self.steps,
            "tested": len(self._tested),
            "ignorant": float(torch.tensor(float(len(self.task.german))).log()),
        }
        with self.hold_sync():
            self.status, self.step, self.loss, self.message, self.seconds = "ready", 0, None, "", 0
            self._look()

    # What the learner does.

    def start(self) -> None:
        """Train on the kernel's event loop, or go on after a pause. Needs a notebook."""
        if self.status in ("stopped", "finished", "failed", "running"):
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("start() needs a notebook's event loop; use run()") from None
        other = self._at_work.get(self.model)
        if other is not None and other is not self and other.status in BUSY:
            other.stop()
        self._at_work[self.model] = self
        self.status = "running"
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._live())

    def pause(self) -> None:
        """After the present step, wait for start()."""
        if self.status == "running":
            self.status, self.seconds = "paused", 0.0

    def stop(self) -> None:
        """End for good; the model keeps what it has learned."""
        if self.status in BUSY or self.status == "ready":
            self._end("stopped", f"Stopped. The model is as after step {self.step}.")

    def restart(self) -> None:
        """Put the first weights back; start() or run() then gives the same course again."""
        self._put(self._first)
        self._keep()
        self._random = torch.Generator().manual_seed(self._seed).get_state()
        self._begin()

    def run(self, steps: int | None = None) -> "LiveTraining":
        """Train so many steps (all that are left) at once: no loop, no waiting, deterministic."""
        if steps is not None and (type(steps) is not int or steps < 1):
            raise ValueError(f"steps = {steps!r}; expected 1 or more, or None for all")
        if self.status in ("ready", "paused"):
            self.status = "running"
            try:
                self._advance(steps=steps)
            except BaseException as error:
                self._fail(error)
                raise
            if self.status == "running":
                self.pause()
        return self

    def close(self) -> None:
        if self.status in BUSY:
            self.stop()
        super().close()

    # How it works.

    async def _live(self) -> None:
        mine = asyncio.current_task()
        try:
            while self.status == "running" and self._task is mine:  # restart() ends this one
                self._advance(seconds=CHUNK)
                await asyncio.sleep(BREATH)
        except (asyncio.CancelledError, GeneratorExit):
            self.stop()
            raise
        except BaseException as error:  # raised further, an interrupt here would end the kernel
            self._fail(error)

    def _advance(self, steps: int | None = None, seconds: float = float("inf")) -> None:
        """Some steps; with the last of all, the end."""
        began, done = time.perf_counter(), 0
        while done != steps and time.perf_counter() - began < seconds:
            with self._own_random():
                one = next(self._training, None)
            if one is None:
                return self._end("finished", "")
            self._keep()
            self._note(one)
            done += 1
            if self.step % self._every == 0 or self.step == self.steps:
                self._spent += time.perf_counter() - began
                began, seconds = time.perf_counter(), seconds - (time.perf_counter() - began)
                with self.hold_sync():
                    self.seconds = self._spent / self.step * (self.steps - self.step)
                    self._look()
            if self.step == self.steps:
                return self._end("finished", "")
        self._spent += time.perf_counter() - began

    def _note(self, one: Step) -> None:
        self._losses.append(one.loss)
        with self.hold_sync():
            self.step, self.loss = one.index, one.loss

    def _look(self) -> None:
        """Translates the held-out numbers and the example; keeps and sends what came out."""
        taken = snapshot(self.model, self.task, self._reading, self._share(), self.step)
        self._looks = thinned([*self._looks, taken], self._every)
        self.right = taken.right
        self._publish()

    def _publish(self) -> None:
        self.history = {
            "losses": wire.pack_floats(self._losses),
            "steps": [each.step for each in self._looks],
            "right": wire.pack_floats([each.right for each in self._looks]),
            "wrote": [each.wrote for each in self._looks],
            "weights": b"".join(wire.pack_probabilities(each.weights) for each in self._looks),
        }

    def _share(self) -> float:
        source, _ = self.task.pairs(self._tested)
        begin = torch.full((len(source), 1), self.task.german.START)
        written = generate(self.model, begin, 12, source=source, end_id=self.task.german.END)
        words = [tuple(self.task.german.decode(ids)) for ids in written]
        return sum(w == german(n) for w, n in zip(words, self._tested, strict=True)) / len(words)

    def _end(self, status: str, message: str) -> None:
        self._training = iter(())
        with self.hold_sync():
            self.status, self.message, self.seconds = status, message, 0.0
            if self._losses and self._looks[-1].step != self.step:
                self._look()

    def _fail(self, error: BaseException) -> None:
        """The weights of the last good step, and a sentence."""
        self._put(self._good)
        what = "Interrupted" if isinstance(error, KeyboardInterrupt) else f"It failed: {error}"
        self._training = iter(())
        with self.hold_sync():
            self.status, self.seconds = "failed", 0.0
            self.message = f"{what}. The model is as after step {self.step}."

    @torch.no_grad()
    def _put(self, values: list[torch.Tensor]) -> None:
        for tensor, value in zip(self._tensors(), values, strict=True):
            tensor.copy_(value)

    @torch.no_grad()
    def _keep(self) -> None:
        for kept, tensor in zip(self._good, self._tensors(), strict=True):
            kept.copy_(tensor)

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Dropout draws from this training's numbers, not from the notebook's."""
        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self._random)
            try:
                yield
            finally:
                self._random = torch.get_rng_state()

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        do = {"start": self.start, "pause": self.pause, "stop": self.stop, "restart": self.restart}
        if isinstance(content, dict) and content.get("do") in do:
            do[content["do"]]()

    @property
    def agreement(self) -> tuple[int, int]:
        """(hits, places) of the example now: largest weights that lie on the true word."""
        weights = looks(torch.as_tensor(self._looks[-1].weights), self.attention)
        return hits(weights, self._reading.aligned)

    def describe(self) -> str:
        """Round numbers: the last bits of a training run differ between machines."""
        if not self._losses:
            return f"Not started: {self.steps} steps, {len(self._tested)} held-out numbers."
        recent = self._losses[-5:]
        loss, right = sum(recent) / len(recent), round(10 * self.right)
        return (
            f"{self.status.capitalize()} after {self.step} of {self.steps} steps: the loss fell "
            f"from {self._losses[0]:.0f} to {loss:.1f} nats, about {right} of 10 held-out numbers "
            f"are right."
        )

    def picture(self) -> bytes:
        taken = self._looks[-1]
        rows = looks(torch.as_tensor(taken.weights), self.attention).numpy()
        return live_still.picture(
            self._losses,
            float(self.content["ignorant"]),
            self._reading.source,
            self.content["expected"],
            rows,
            self._reading.aligned,
            self._title or self.describe(),
        )


def _check(model: Any, task: Any, **sizes: Any) -> None:
    if not isinstance(model, EncoderDecoder):
        raise TypeError(f"model must be an EncoderDecoder, got {type(model).__name__}")
    if not isinstance(task, NumberWords):
        raise TypeError(f"task must be NumberWords, got {type(task).__name__}")
    for name, size in sizes.items():
        if type(size) is not int or size < 1:
            raise ValueError(f"{name} = {size!r}; expected 1 or more")
    sizes = {
        "source": model.source_embedding.tokens.num_embeddings,
        "target": model.head.out_features,
    }
    for (name, size), words in zip(sizes.items(), (task.english, task.german), strict=True):
        if len(words) != size:
            raise ValueError(
                f"the model's {name} vocabulary has {size} pieces; the task's has {len(words)}"
            )


def _known(example: int, task: NumberWords) -> int:
    try:
        if type(example) is not int or example < 0:
            raise ValueError("no number")
        task.pairs([example])
    except ValueError as error:
        raise ValueError(f"example = {example!r}; expected a number of the task") from error
    return example


def _crossing(task: NumberWords) -> int:
    """The first held-out number of more than one digit whose units and tens cross."""
    crossed = (n for n in task.held_out if n > 100 and n % 100 > 20 and n % 10)
    return next(crossed, task.held_out[0])
