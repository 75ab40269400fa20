"""A book of one chapter, built in a folder of its own with the book's own configuration."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import notebooks as nb

TOC = """\
format: jb-book
root: index
parts:
  - caption: The local picture
    numbered: true
    chapters:
      - file: book/local-picture/chapter
  - caption: Reference
    chapters:
      - file: book/reference/notation
      - file: book/reference/bibliography
"""
CHAPTER = "book/local-picture/chapter"


class Trial:
    """A copy of the configuration, the extensions and the template chapter."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        book = folder / "book"
        for name in ("_ext", "_theme", "assets"):
            shutil.copytree(nb.ROOT / "book" / name, book / name)
        (book / "reference").mkdir()
        for name in ("references.bib", "reference/notation.md", "reference/bibliography.md"):
            shutil.copy(nb.ROOT / "book" / name, book / name)
        shutil.copy(nb.ROOT / "_config.yml", folder)
        (folder / "_toc.yml").write_text(TOC, encoding="utf-8")
        (folder / "index.md").write_text("# A trial\n\n{cite}`goodfellow2015explaining`\n")
        (book / "local-picture").mkdir()
        self.write(nbformat.read(nb.TEMPLATE, as_version=4))

    @property
    def site(self) -> Path:
        """Return where the built pages are."""
        return self.folder / "_build/html"

    def write(self, notebook: nbformat.NotebookNode) -> None:
        """Replace the chapter."""
        nbformat.write(notebook, self.folder / f"{CHAPTER}.ipynb")

    def build(self, repository: str = "") -> subprocess.CompletedProcess[str]:
        """Build the trial book as `make book` builds the real one."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("BOOK_REPOSITORY", "GITHUB_REPOSITORY")
        }
        if repository:
            environment["BOOK_REPOSITORY"] = repository
        command = [Path(sys.executable).with_name("jupyter-book"), "build", "--all", "-W", "-n"]
        return subprocess.run(
            [*map(str, command), "--keep-going", str(self.folder)],
            env=environment,
            capture_output=True,
            text=True,
        )
