"""Everything `make test` runs after the set-up; all of it, even when some fails.

python tools/check.py            the whole suite
python tools/check.py --quick    without the notebooks and the browser
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORKERS = os.environ.get("TEST_WORKERS", "2")

# One run of pytest for unit tests, doctests, notebooks and the built site: `loadscope` keeps the
# cells of a notebook on one worker, and two workers share the rest.
UNIT = ["tests", "src/curvlab", "--ignore=tests/browser"]
BOOK = ["tests", "src/curvlab", "book", "--nbval", "--nbval-current-env"]
BOOK += ["--nbval-cell-timeout=300", "--nbval-kernel-startup-timeout=120"]
BOOK += ["--nbval-sanitize-with=tests/book/sanitize.cfg"]
# The rest of the pages: `make lighthouse`. After the tests, so that nothing else is running.
WEIGHED = ["index.html", "book/local-picture/threat-models.html"]
WEIGHED += ["book/second-order/hessian-norm.html"]
PYTHON = [sys.executable, "-m"]
PYTEST = ["pytest", "-n", WORKERS, "--dist=loadscope", "--durations=15", "-ra"]
PYTEST += ["--junitxml=_build/tests.xml"]  # tools/environment.py reads the notebooks' times


def commands(quick: bool) -> dict[str, list[str]]:
    """Name each step and say what runs it."""
    steps = {
        "site": ["make", "--no-print-directory", "book"],
        "style": [*PYTHON, "ruff", "check", "."],
        "spelling": [*PYTHON, "codespell_lib"],
        "types": [*PYTHON, "mypy"],
        "tests": [*PYTHON, *PYTEST, *(UNIT if quick else BOOK)],
    }
    if not quick:
        steps["lighthouse"] = [sys.executable, "tools/lighthouse.py", ".", *WEIGHED]
    return steps


def run(name: str, command: list[str]) -> bool:
    """Run one step; say whether it passed."""
    print(f"\n== {name}: {' '.join(command)}", flush=True)
    started = time.monotonic()
    passed = subprocess.run(command, cwd=ROOT).returncode == 0
    told = "passed" if passed else "FAILED"
    print(f"== {name}: {told} in {time.monotonic() - started:.0f} s", flush=True)
    return passed


def main() -> int:
    """Run every step and name those that failed."""
    steps = commands("--quick" in sys.argv[1:])
    failed = [name for name, command in steps.items() if not run(name, command)]
    if failed:
        print(f"FAILED: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
