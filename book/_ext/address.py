"""The repository's address on GitHub, found and never written by hand.

In order: $BOOK_REPOSITORY ("owner/name" or a GitHub URL), $GITHUB_REPOSITORY (GitHub Actions), the
git remote `origin` when it is on GitHub. Nothing found: an empty answer, and the pages show how to
run a chapter locally instead of a button that leads nowhere.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = re.compile(
    r"(?:(?:https://|ssh://git@|git@)github\.com[/:])?([\w.-]+/[\w.-]+?)(?:\.git)?/?"
)
BRANCH = "gh-pages"  # what the build publishes: the site and the exported notebooks, in one step


def repository() -> str:
    """Return "owner/name", or "" where no address is known."""
    for variable in ("BOOK_REPOSITORY", "GITHUB_REPOSITORY"):
        if value := os.environ.get(variable, "").strip():
            match = ADDRESS.fullmatch(value)
            if not match:
                sys.exit(f"{variable} requires 'owner/name' or a GitHub address. Found {value!r}.")
            return match[1]
    remote = subprocess.run(
        ["git", "remote", "get-url", "origin"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    match = ADDRESS.fullmatch(remote) if "github.com" in remote else None
    return match[1] if match else ""


def notebook_path(docname: str) -> str:
    """Return where the build publishes a chapter's exported notebook, from the site's root."""
    return f"colab/{docname}.ipynb"


def main() -> None:
    """Print the address; with `--update FILE`, write it there only when it changed."""
    address = repository() + "\n"
    if sys.argv[1:2] == ["--update"]:
        stamp = Path(sys.argv[2])
        if not stamp.exists() or stamp.read_text() != address:
            stamp.write_text(address)
    else:
        print(address, end="")


if __name__ == "__main__":
    main()
