"""Build the site from the committed outputs: `python tools/build_site.py OUT` fills OUT/_build."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main(out: Path) -> int:
    """Run Jupyter Book with every warning an error."""
    # The builder keeps the files of removed pages, and does not read again a page that it once
    # read with a warning, so that a second run would pass: each build starts from nothing.
    for stale in ("html", ".doctrees", "colab"):
        shutil.rmtree(out / "_build" / stale, ignore_errors=True)
    book = Path(sys.executable).with_name("jupyter-book")
    command = [book, "build", "--all", "-W", "-n", "--keep-going", "--path-output", out, ROOT]
    # A build that fails leaves the math renderer running, and whoever waits for its output waiting.
    process = subprocess.Popen([str(part) for part in command], start_new_session=True)
    try:
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
