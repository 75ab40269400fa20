"""Everything that holds an author to the rules, for one chapter; all of it, even when some fails.

    python tools/chapter.py book/part/name.ipynb

The whole suite is `tools/check.py`; this leaves out the package's own tests and other chapters.
"""

import sys
from pathlib import Path

import check

NBVAL = [argument for argument in check.BOOK if argument.startswith("--nbval")]
PYTEST = [*check.PYTHON, "pytest"]


def commands(notebook: str) -> dict[str, list[str]]:
    """Name each step and say what runs it."""
    page = notebook.removesuffix(".ipynb")
    rules = ["tests/book/test_notebooks.py", "tests/book/test_ledgers.py"]
    book = "statements.md or unique_in_the_book or names_files_once"  # what a chapter touches
    browser = ["tests/browser/test_site.py", "tests/browser/test_figures_site.py"]
    return {
        "style": [*check.PYTHON, "ruff", "check", notebook],
        "rules": [*PYTEST, "--tb=line", *rules, "-k", f"{page} or {book}"],
        "numbers": [*PYTEST, *NBVAL, notebook],
        "site": ["make", "--no-print-directory", "book"],
        "page": [*PYTEST, *browser, "-k", page],
    }


def main(arguments: list[str]) -> int:
    """Run every step and name those that failed."""
    paths = [Path(argument).resolve() for argument in arguments]
    book = check.ROOT / "book"
    if len(paths) != 1 or not (paths[0].is_file() and paths[0].is_relative_to(book)):
        sys.exit(f"requires one notebook, CHAPTER=book/part/name.ipynb. Found {arguments}.")
    steps = commands(str(paths[0].relative_to(check.ROOT)))
    failed = [name for name, command in steps.items() if not check.run(name, command)]
    print(f"FAILED: {', '.join(failed)}" if failed else "The chapter passes.")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
