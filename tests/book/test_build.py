"""The build fails on what must never reach a reader, and passes on the template chapter."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import notebooks as nb
from bookguard import faults
from nbformat import NotebookNode
from nbformat.v4 import new_output
from trial import Trial


def template() -> NotebookNode:
    """Return a fresh copy of the template."""
    return nbformat.read(nb.TEMPLATE, as_version=4)


def first(notebook: NotebookNode, kind: str) -> NotebookNode:
    """Return the first cell of a kind."""
    return next(cell for cell in notebook.cells if cell.cell_type == kind)


def add_error(notebook: NotebookNode) -> None:
    first(notebook, "code").outputs.append(
        new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"])
    )


def add_stderr(notebook: NotebookNode) -> None:
    first(notebook, "code").outputs.append(new_output("stream", name="stderr", text="careful"))


def unrun(notebook: NotebookNode) -> None:
    first(notebook, "code").execution_count = None


def append(text: str) -> Callable[[NotebookNode], None]:
    """Return a change that adds text to the chapter's first cell."""

    def change(notebook: NotebookNode) -> None:
        first(notebook, "markdown").source += "\n\n" + text

    return change


# What the build says, and the change that makes it say so.
FAULTS = {
    "shows an error": add_error,
    "writes to stderr": add_stderr,
    "has execution count None": unrun,
    "thm-nowhere": append("See {prf:ref}`thm-nowhere`."),
    "eq-nowhere": append("See {eq}`eq-nowhere`."),
    "nobody1900nothing": append("See {cite}`nobody1900nothing`."),
    "nowhere.ipynb": append("See [this](nowhere.ipynb)."),
    "nosuchcommand": append(r"Here $\nosuchcommand{x}$ fails."),
    "has no plain form": append(":::{epigraph}\nWords.\n:::"),
    "nosuchdirective": append(":::{nosuchdirective}\n:::"),
}


def test_each_fault_is_a_warning_and_a_warning_fails_the_build(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    notebook = template()
    for fault in FAULTS.values():
        fault(notebook)
    trial.write(notebook)
    result = trial.build()
    assert result.returncode != 0
    warnings = [line for line in result.stderr.splitlines() if "WARNING" in line]
    for told in FAULTS:
        assert any(told in line for line in warnings), (told, warnings)


def test_a_good_notebook_has_no_faults() -> None:
    assert faults(template()) == []
