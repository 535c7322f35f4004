"""Measure: `python course.py bench` runs every file of benchmarks/, or those you name."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main(names: list[str]) -> int:
    """Run the benchmarks one after another; return 1 if one failed or has no file."""
    known = sorted(path.stem for path in HERE.glob("*.py") if not path.stem.startswith("_"))
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(known)}.")
        return 1
    codes = []
    for name in names or known:
        print(f"\n--- {name}", flush=True)
        codes.append(subprocess.call([sys.executable, str(HERE / f"{name}.py")], cwd=HERE.parent))
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
