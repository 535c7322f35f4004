"""Run a learner's function so that nothing it does outlives the call.

Time. On the main thread of Linux and macOS an interval timer (SIGALRM) raises inside the learner's
code; elsewhere (Windows, other threads) a watching thread does (PyThreadState_SetAsyncExc). Both
act between two steps of Python: one call into compiled code that never returns, or a loop that
catches every exception with a bare `except:`, cannot be stopped. The watching thread cannot cut a
long `time.sleep` short either; the timer can.

Memory. On Linux the process may grow by ROOM and no further (RLIMIT_AS), so that even one request
for 50 GB fails at once. Elsewhere the timer or the thread looks twenty times a second how much the
process holds; a single request is the system's to refuse, which Windows does and macOS may not.

State. The call starts with a fixed seed, gradients on and float32 as the default; seed, gradient
mode, default dtype, thread count, warning filters and recursion limit are put back afterwards, and
what the call replaced in torch (torch.softmax = …) at once, because the reference needs it.
What it prints is kept, up to a bound, instead of shown. IPython's exit() and quit(), which would
end the kernel, end the call as sys.exit() does.
"""

import builtins
import contextlib
import ctypes
import io
import linecache
import math
import os
import random
import signal
import sys
import sysconfig
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any
from unittest import mock

import psutil
import torch

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # asked before each use

PRINTED, LINES = 2000, 40  # characters and lines that are kept of what is printed
ROOM = 2 * 2**30  # bytes that a check may add to the process
WAITING = 3  # seconds of the clock that count as one of the processor
LOADING = 120  # seconds that imports may take beside that
DEEPEST = 10_000  # the recursion limit that an answer may set
STATM = Path("/proc/self/statm")  # Linux: sizes of this process in pages, the first is all of it
_TICK = 0.05  # seconds between two looks at memory, or two tries to stop code that caught the first
_PATCHED = (torch, torch.nn.functional, torch.nn.Module, torch.nn.Linear, torch.Tensor, math)
_BUILTINS = vars(builtins)
_NOT_THE_LEARNERS = tuple(
    str(path) + os.sep
    for path in (
        Path(__file__).parent.parent,
        Path(torch.__file__).parent,
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    )
)


class OutOfTime(BaseException):
    """Raised inside a learner's code when its time is up; not an Exception, so rarely caught."""


class OutOfMemory(BaseException):
    """The same for memory, where the system sets no bound."""


@dataclass(frozen=True)
class Failure:
    """What came instead of a value. kind: "stub", "time", "memory", "raised" or "unfit"."""

    kind: str
    text: str
    line: str = field(default="", compare=False)


class Printed(io.TextIOBase):
    """A file that keeps how it begins and forgets the rest."""

    def __init__(self) -> None:
        self.kept, self.more = "", False

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not self.more:
            self.kept += text[: PRINTED + 1]
            self.more = len(self.kept) > PRINTED
        return len(text)

    @property
    def text(self) -> str:
        lines = self.kept[:PRINTED].splitlines()
        cut = ["… and more"] * (self.more or len(lines) > LINES)
        return "\n".join(lines[:LINES] + cut)


@contextlib.contextmanager
def isolated() -> Iterator[Printed]:
    """The state described above, for the length of a `with` block; gives what was printed."""
    seed, threads, dtype = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
    plain_seed, depth = random.getstate(), sys.getrecursionlimit()
    set_depth = (
        sys.setrecursionlimit
    )  # without a bound even the alarm would walk frames for minutes
    numpy = sys.modules.get("numpy")  # its seed is put back as well, where it is in use
    drawn = numpy and numpy.random.get_state()
    printed = Printed()
    try:
        torch.manual_seed(0)
        random.seed(0)
        if numpy:
            numpy.random.seed(0)
        torch.set_default_dtype(torch.float32)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            warnings.catch_warnings(),
            contextlib.redirect_stdout(printed),
            contextlib.redirect_stderr(printed),
            _limited_memory(),
            _kernel_stays(),
            mock.patch.object(sys, "setrecursionlimit", lambda n: set_depth(min(n, DEEPEST))),
        ):
            warnings.simplefilter("ignore")
            yield printed
    finally:
        torch.set_rng_state(seed)
        random.setstate(plain_seed)
        if numpy:
            numpy.random.set_state(drawn)
        torch.set_default_dtype(dtype)
        sys.setrecursionlimit(depth)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@contextlib.contextmanager
def _kernel_stays() -> Iterator[None]:
    """In a notebook exit() and quit() ask the kernel to stop after the cell; here they raise."""
    shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
    with mock.patch.object(shell, "ask_exit", sys.exit) if shell else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _limited_memory() -> Iterator[None]:
    if resource is None or not STATM.exists():
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = int(STATM.read_text().split()[0]) * resource.getpagesize() + ROOM
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def call(function: Callable[..., Any], inputs: tuple[Any, ...], deadline: float) -> Any:
    """function(*inputs), or the Failure that came of it; stopped at `deadline` (time.monotonic)."""
    before = [dict(vars(place)) for place in _PATCHED]
    seconds = max(deadline - time.monotonic(), 1e-3)
    alarm = hasattr(signal, "setitimer") and (threading.current_thread() is threading.main_thread())
    try:
        return (_with_alarm if alarm else _with_watcher)(function, inputs, seconds)
    except OutOfTime as error:
        return Failure("time", "", learners_line(error))
    except (OutOfMemory, MemoryError) as error:
        return Failure("memory", "", learners_line(error))
    except NotImplementedError as error:
        line = learners_line(error)
        # torch raises NotImplementedError too, from a line that says something else.
        stub = "`" not in line or "raise NotImplementedError" in line
        return Failure("stub" if stub else "raised", _name(error), line)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # torch's allocator raises a RuntimeError, in these words on Linux and on Windows.
        name = _name(error)
        full = "can't allocate memory" in name or "not enough memory" in name
        return Failure("memory" if full else "raised", name, learners_line(error))
    finally:
        for place, names in zip(_PATCHED, before, strict=True):
            _mend(place, names)


def _mend(place: Any, names: dict[str, Any]) -> None:
    """Put back what was replaced or deleted; what was added goes, but for a module's own."""
    now = vars(place)
    if len(now) == len(names) and all(now.get(name) is old for name, old in names.items()):
        return
    for name, old in names.items():
        if now.get(name) is not old:
            setattr(place, name, old)
    for name in [] if isinstance(place, ModuleType) else set(now) - set(names):
        delattr(place, name)


def learners_line(error: BaseException) -> str:
    """The innermost line of the learner's own code that the error passed through."""
    found, step = None, error.__traceback__
    while step is not None:  # of millions, where a recursion has no limit
        name = step.tb_frame.f_code.co_filename
        if not name.startswith((*_NOT_THE_LEARNERS, "<frozen")):
            found = name, step.tb_lineno
        step = step.tb_next
    if found is None:
        return ""
    text = linecache.getline(*found).strip()[:100]
    return f"line {found[1]}" + (f": `{text}`" if text else "")


def _call(function: Callable[..., Any], inputs: tuple[Any, ...]) -> Any:
    # Its frame marks where the learner's frames begin. Replaced builtins are put back here already,
    # and without the use of any, because all that follows needs them.
    intact = _BUILTINS.copy()
    try:
        return function(*inputs)
    finally:
        _BUILTINS.update(intact)


@dataclass
class _Imports:
    """How long alarms have found the learner's code importing something, in all."""

    seconds: float = 0.0


_imports = _Imports()


def stopwatch() -> Callable[[], float]:
    """Seconds of this thread's processor; WAITING of the clock count as one, for code that sleeps.

    Imports are free, up to LOADING seconds: torch loads some of its parts when they are first
    needed, and half of a module would be worse than a late verdict.
    """
    busy, start, loaded = time.thread_time(), time.monotonic(), _imports.seconds

    def spent() -> float:
        counted = max(time.thread_time() - busy, (time.monotonic() - start) / WAITING)
        return counted - min(_imports.seconds - loaded, LOADING)

    return spent


def _stopper(
    seconds: float, spent: Callable[[], float]
) -> Callable[[], type[BaseException] | None]:
    """What must stop the code that runs now, asked again and again; None while nothing does."""
    process = psutil.Process()
    most = process.memory_info().rss + ROOM

    def reason() -> type[BaseException] | None:
        if spent() >= seconds:
            return OutOfTime
        return OutOfMemory if process.memory_info().rss > most else None

    return reason


def _with_alarm(function: Callable[..., Any], inputs: tuple[Any, ...], seconds: float) -> Any:
    reason, seen = _stopper(seconds, stopwatch()), time.monotonic()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        now, loading = time.monotonic(), False
        # Only above the mark: an alarm that comes late must not hit the code that cleans up.
        while frame is not None:
            loading = loading or frame.f_code.co_filename.startswith("<frozen importlib")
            frame = frame.f_back
            if frame is not None and frame.f_code is _call.__code__:
                _imports.seconds += (now - seen) * loading
                seen = now
                if why := reason():
                    raise why
                return

    before = signal.signal(signal.SIGALRM, stop)
    timer = signal.setitimer(signal.ITIMER_REAL, min(seconds, _TICK), _TICK)
    try:
        return _call(function, inputs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def _with_watcher(function: Callable[..., Any], inputs: tuple[Any, ...], seconds: float) -> Any:
    caller, lock, done = ctypes.c_ulong(threading.get_ident()), threading.RLock(), threading.Event()
    start = time.monotonic()  # the caller's processor time is out of sight from another thread
    reason = _stopper(seconds, lambda: time.monotonic() - start)
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch() -> None:
        while not done.wait(min(seconds, _TICK)):
            why = reason()
            with lock:
                if why is not None and not done.is_set():
                    throw(caller, ctypes.py_object(why))

    threading.Thread(target=watch, daemon=True).start()
    try:
        return _call(function, inputs)
    finally:
        # The exception may arrive here as well, so this is tried until it has been done.
        while not done.is_set():
            with contextlib.suppress(OutOfTime, OutOfMemory), lock:
                done.set()
        throw(caller, None)  # one that is still on its way


def _name(error: BaseException) -> str:
    try:
        text = str(error).strip().split("\n")[0][:300]
    except Exception:  # the learner's own class may fail at this as well
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
