"""Seconds from a fresh clone to JupyterLab's address, again on the second start; size of .venv."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# course.py's own share of a start: everything up to the moment at which it becomes the program.
OWN_SHARE = (
    "import os, runpy, sys; os.execv = lambda *_: sys.exit(0);"
    "sys.argv = ['course.py', 'lab']; runpy.run_path('course.py', run_name='__main__')"
)


def seconds_to_address(clone: Path) -> float:
    """Start `course.py lab`, wait for the address, stop it again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "course.py", "lab", "--no-browser", f"--port={port}"]
    start = time.monotonic()
    with subprocess.Popen(
        command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "token=" in line:
                seconds = time.monotonic() - start
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=30)
                return seconds
    raise RuntimeError("course.py lab ended without an address:\n" + "".join(said))


def seconds_before_handing_over(clone: Path) -> float:
    """The median of nine starts that stop where JupyterLab would begin."""
    times = []
    for _ in range(9):
        start = time.monotonic()
        subprocess.run([sys.executable, "-c", OWN_SHARE], cwd=clone, check=True)
        times.append(time.monotonic() - start)
    return sorted(times)[4]


def gigabytes(folder: Path) -> float:
    """Disk that a folder takes, in 10^9 bytes."""
    total = 0
    for path in folder.rglob("*"):
        about = path.lstat()
        total += about.st_blocks * 512 if hasattr(about, "st_blocks") else about.st_size
    return total / 1e9


def main() -> int:
    """Measure in a clone of what is committed; return 1 where a goal is missed."""
    if os.name == "nt":
        print("This benchmark ends JupyterLab with a signal that Windows does not have.")
        return 1
    busy, cores = os.getloadavg()[0], os.cpu_count()
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        rows = [
            ("fresh clone to the address, downloads cached by pip", seconds_to_address(clone), 90),
            ("second start to the address", seconds_to_address(clone), 8),
            ("of it before JupyterLab begins", seconds_before_handing_over(clone), 0.2),
        ]
        size = gigabytes(clone / ".venv")
    print(f"{'measured':<52} {'here':>10} {'goal':>10}")
    for name, seconds, goal in rows:
        print(f"{name:<52} {seconds:>8.2f} s {goal:>8} s")
    print(f"{'.venv of a learner':<52} {size:>7.2f} GB {1.6:>7} GB")
    print(f"{cores} cores; before it began, {busy:.1f} other programs wanted one")
    return 1 if size > 1.6 or any(seconds > goal for _, seconds, goal in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
