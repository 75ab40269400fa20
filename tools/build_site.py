"""Build the site from the committed outputs: `python tools/build_site.py OUT` fills OUT/_build."""

import os
import shutil
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
    if os.environ.get("CI"):
        command.insert(2, "--quiet")  # a log keeps every line that a terminal overwrites
    return subprocess.run([str(part) for part in command]).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
