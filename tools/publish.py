"""Publish the built site and its exported notebooks as one commit on one branch.

`make publish` needs a push remote `origin`. Badges cannot point at what is not there: the pages
that hold them and the notebooks that they open travel together.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book/_ext"))

import address  # noqa: E402


def git(*arguments: str, **variables: str) -> str:
    """Run git in the repository and return what it prints."""
    return subprocess.run(
        ["git", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()


def main(site: Path) -> None:
    """Write the site as a commit of its own, without touching the working tree, and push it."""
    if not address.repository():
        sys.exit(
            "make publish requires a remote `origin` on GitHub or BOOK_REPOSITORY. Found none."
        )
    (site / ".nojekyll").touch()
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("--work-tree", str(site), "add", "--all", "--force", ".", **index)
        tree = git("write-tree", **index)
    author = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "The Shape of Robustness"), ("EMAIL", "book@localhost"))
    }
    source = git("rev-parse", "--short", "HEAD")
    commit = git("commit-tree", tree, "-m", f"Publish {source}", **author)
    git("push", "--force", "origin", f"{commit}:refs/heads/{address.BRANCH}")
    print(f"Published {source} to {address.BRANCH}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() / "_build/html")
