"""Find a Chromium, install one where that is possible, or say in one sentence what to do.

`python tools/chromium.py` prints its path.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def find() -> str | None:
    """Look at $CHROMIUM, on the PATH, and where Playwright keeps its own."""
    if chosen := os.environ.get("CHROMIUM"):
        if shutil.which(chosen):
            return chosen
        sys.exit(f"CHROMIUM requires the path of a browser. Found {chosen!r}.")
    for name in NAMES:
        if path := shutil.which(name):
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        own = play.chromium.executable_path
    return own if Path(own).exists() else None


def install() -> None:
    """Debian's package for root, Playwright's own download for everybody else."""
    if shutil.which("apt-get") and os.geteuid() == 0:
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "check": False}
        subprocess.run(["apt-get", "update", "-q"], stdout=subprocess.DEVNULL, **quiet)
        packages = ["chromium", "fonts-liberation"]
        command = ["apt-get", "install", "-qy", "--no-install-recommends", *packages]
        subprocess.run(command, stdout=subprocess.DEVNULL, **quiet)
    if not find():
        subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)


def chromium() -> str:
    """Return the path of a browser that is there."""
    path = find()
    if not path:
        print("Installing Chromium for the browser tests ...", file=sys.stderr, flush=True)
        install()
        path = find()
    if not path:
        sys.exit(
            "The browser tests require Chromium: install it (Debian: apt install chromium) or set "
            "CHROMIUM to its path."
        )
    return path


if __name__ == "__main__":
    print(chromium())
