"""What ran, where, and for how long: the data behind `book/reference/environment`.

    python tools/environment.py make test      runs a command and records how it went
    python tools/environment.py --tests        records each notebook's time in the last `make test`

A run of all notebooks (`make notebooks`) records their times too. Everything goes to one committed
file, and only these commands write it.
"""

import json
import os
import platform
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from curvlab.study import processor

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "book/reference/last-run.json"
TESTS = ROOT / "_build/tests.xml"  # what tools/check.py has pytest write
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "matplotlib", "pandas", "scikit-learn")
BUDGET = 60

TOP = """---
description: Versions, machine and the run time of every notebook, from recorded runs.
---
# The environment

What the committed outputs were made with, and how long each notebook ran. Both are written down by
the commands themselves, into `book/reference/last-run.json`; this page is made from that file.
"""

FRONT_ENDS = """## Front ends

**JupyterLab** is tried by `make full`, in a browser: three chapters run from top to bottom, every
control of their live figures answers to the keyboard, every lab sends another picture, in the light
and in the dark theme, with no error and no request to another host. Before its cells have run, a
file that nobody has trusted shows each figure as a picture. One thing is not as on the page:
JupyterLab keeps the up and down keys from the menu of a lab (an ipywidgets dropdown) for its own
cursor. Home, End and the pointer move it.

**Colab's package versions** are tried by `make colab`: each exported notebook alone, its outputs
compared, its live figures opened in a browser, one output at a time as Colab shows them. Colab has
Python 3.13; where that is not installed, the book's own Python stands in.

## Not tried by a machine

Two front ends need a person and an account. Three things to look at in each:

**Google Colab**, with the button at the top of a chapter:

1. The first cell installs `curvlab` and prints its version and the device, and no restart of the
   runtime is asked for.
2. A live figure answers to its sliders, and a lab's slider redraws from the kernel.
3. With *Runtime, Change runtime type, GPU*, the readout of a lab says that it was computed there.

**VS Code**, with the Jupyter extension and the kernel of `.venv`:

1. A live figure answers to its sliders in the output of its cell, and follows the editor's theme.
2. A lab's slider redraws from the kernel (ipywidgets), and nothing asks for an address outside.
3. *Run All*, then *Save*: the file's outputs do not change but for the cells marked as ignored.
"""


def load() -> dict[str, Any]:
    """What is recorded so far."""
    if not RECORD.exists():
        return {"notebooks": {}, "commands": {}}
    return json.loads(RECORD.read_text(encoding="utf-8"))


def save(record: dict[str, Any]) -> None:
    """Write the record as sorted JSON."""
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def place() -> dict[str, str]:
    """Versions and machine."""
    packages = {name: version(name) for name in PACKAGES}
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    cores = f"{processor()}, {os.cpu_count()} cores"
    return {"python": platform.python_version(), "system": system, "machine": cores, **packages}


def today() -> str:
    """The date of a run."""
    return datetime.now(UTC).strftime("%Y-%m-%d")


def note_notebooks(runs: dict[str, tuple[float, float | None]]) -> None:
    """Record the seconds of each notebook, by the clock and of one core where that is known."""
    record = load()
    record["notebooks"] = {
        name: {"date": today(), "seconds": round(clock), "processor": used and round(used)}
        for name, (clock, used) in runs.items()
    }
    record["place"] = place()
    save(record)


def tested(report: Path) -> dict[str, tuple[float, float | None]]:
    """Each notebook's seconds by the clock, cell by cell, from a report of the tests."""
    seconds: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):
        if (where := case.get("classname", "")).startswith("book.") and where.endswith(".ipynb"):
            name = where.removesuffix(".ipynb").replace(".", "/") + ".ipynb"
            seconds[name] += float(case.get("time", 0))
    return {name: (clock, None) for name, clock in sorted(seconds.items())}


def note_command(command: list[str]) -> int:
    """Run a command and record how it went."""
    started = time.monotonic()
    status = subprocess.run(command, cwd=ROOT).returncode
    record = load()
    record["commands"][" ".join(command)] = {
        "date": today(),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "passed": status == 0,
    }
    record["place"] = place()
    save(record)
    return status


def times(record: dict[str, Any], files: list[str]) -> str:
    """The table of notebooks, in the order of the book; a column that no run filled is left out."""
    held = [record["notebooks"].get(f"{file}.ipynb", {}) for file in files]
    heads = {"seconds": "seconds by the clock", "processor": "seconds of one core", "date": "date"}
    kept = [key for key in heads if any(run.get(key) is not None for run in held)]
    lines = [f"| {' | '.join(['notebook', *(heads[key] for key in kept)])} |"]
    lines.append("|---|" + "".join("---|" if key == "date" else "---:|" for key in kept))
    for file, run in zip(files, held, strict=True):
        told = ["not recorded" if run.get(key) is None else str(run[key]) for key in kept]
        link = f"[{file.split('/')[-1]}](../{file.removeprefix('book/')}.ipynb)"
        lines.append(f"| {' | '.join([link, *told])} |")
    return "\n".join(lines)


def page(files: list[str]) -> str:
    """`book/reference/environment`, for the notebooks in the table of contents."""
    record = load()
    parts = [TOP.rstrip()]
    if place_then := record.get("place"):
        rows = "\n".join(f"| {name} | {value} |" for name, value in place_then.items())
        parts.append(f"## Versions and machine\n\n| what | which |\n|---|---|\n{rows}")
    parts.append(
        "## Every notebook\n\nOne thread each. The clock is that of a machine which may have been "
        f"busy with other things; the budget is {BUDGET} seconds."
    )
    parts.append(times(record, files))
    held = [record["notebooks"][f"{f}.ipynb"] for f in files if f"{f}.ipynb" in record["notebooks"]]
    if held:
        clock = sorted(run["seconds"] for run in held)
        parts.append(
            f"{len(held)} notebooks recorded, {sum(clock) / 60:.0f} minutes in all, the median "
            f"{clock[len(clock) // 2]} seconds, the longest {clock[-1]}."
        )
    if record["commands"]:
        rows = "\n".join(
            f"| `{name}` | {run['date']} | {run['minutes']:.0f} | "
            f"{'passed' if run['passed'] else '**failed**'} |"
            for name, run in sorted(record["commands"].items())
        )
        parts.append(
            "## Recorded commands\n\n| command | date | minutes | result |\n|---|---|---:|---|\n"
            + rows
        )
    parts.append(FRONT_ENDS.rstrip())
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit("requires a command, such as `make test`, or --tests. Found none.")
    if sys.argv[1:] == ["--tests"]:
        note_notebooks(tested(TESTS))
    else:
        sys.exit(note_command(sys.argv[1:]))
