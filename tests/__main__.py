"""Every check of the project, with one summary: `python course.py test`.

With arguments, pytest alone: `python course.py test -k mask`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent


def checks(reports: Path) -> dict[str, list[str]]:
    """What to run, in order; pytest's two runs leave their counts in `reports`."""
    workers = str(min(4, os.cpu_count() or 1))
    parallel = ["-n", workers, "--dist", "loadfile"]  # cells of one notebook need one worker
    lessons = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("notebooks/*.ipynb"))
    nbval = ["--nbval", "--nbval-current-env", "--nbval-sanitize-with", "tests/nbval.cfg"]
    nbval += ["-p", "tests.nbval_numbers"]
    return {
        "ruff check": ["ruff", "check"],
        "ruff format": ["ruff", "format", "--check"],
        "mypy": ["mypy"],
        "notebooks": [
            "pytest",
            *nbval,
            *parallel,
            f"--junit-xml={reports / 'notebooks'}",
            *(lessons or ["notebooks"]),  # none at all is a failure, not a pass
        ],
        "units": ["pytest", *parallel, f"--junit-xml={reports / 'units'}"],
    }


def count(report: Path) -> dict[str, int]:
    """How many tests passed, failed and were skipped, from pytest's own report."""
    if not report.exists():
        return {"passed": 0, "failed": 0, "skipped": 0}
    suite = ElementTree.parse(report).getroot()[0]
    tests, skipped = int(suite.attrib["tests"]), int(suite.attrib["skipped"])
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    return {"passed": tests - failed - skipped, "failed": failed, "skipped": skipped}


def main(arguments: list[str]) -> int:
    """Run everything, print the summary, return 1 if anything failed."""
    os.chdir(ROOT)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # several kernels share the cores
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    rows, codes = [], []
    total = {"passed": 0, "failed": 0, "skipped": 0}
    with tempfile.TemporaryDirectory() as reports:
        os.environ["TRANSFORMER_LAB_HOME"] = reports  # lessons keep no progress of a test
        for name, command in checks(Path(reports)).items():
            print(f"\n--- {name}", flush=True)
            start = time.monotonic()
            codes.append(subprocess.call([sys.executable, "-m", *command]))
            seconds = time.monotonic() - start
            tests = count(Path(reports, name))
            total = {key: total[key] + tests[key] for key in total}
            rows.append(f"{name:<12} {'failed' if codes[-1] else 'ok':<6} {seconds:7.1f} s")
    print("\n" + "\n".join(rows) + "\n")
    print(", ".join(f"{number} {key}" for key, number in total.items()))
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
