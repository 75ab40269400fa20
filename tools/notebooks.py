"""Run notebooks in place so that a second run changes nothing.

    python tools/notebooks.py                        every notebook of the book
    python tools/notebooks.py book/part/name.ipynb   these

One thread, no timing metadata, no widget state, cell ids made from what the cells say. A run
of them all records how long each took, for the page on the environment.
"""

import base64
import hashlib
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import environment
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from curvlab.figures import style

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "tests/book/template.ipynb"
TIMEOUT = 300
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def name_cells(notebook: NotebookNode) -> None:
    """Give each cell an id that depends on its kind and source alone."""
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


def tidy(notebook: NotebookNode) -> None:
    """Remove what differs between machines and runs."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(
        kernelspec=KERNEL,
        language_info={"name": "python"},
        **{key: notebook.metadata[key] for key in ("description",) if key in notebook.metadata},
    )
    notebook.cells = [cell for cell in notebook.cells if cell.source.strip()]
    for cell in notebook.cells:
        cell.source = cell.source.strip("\n")
        cell.metadata.pop("execution", None)
    name_cells(notebook)


def shrink_pictures(notebook: NotebookNode) -> None:
    """Store pictures with a palette where that is smaller: they are most of a notebook's size."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                png = base64.b64decode(data["image/png"])
                small = min(png, style.with_palette(png), key=len)
                data["image/png"] = base64.b64encode(small).decode()


def mark_markdown(notebook: NotebookNode) -> None:
    """Have the site read Markdown in outputs as it reads the text: its tables are tables there."""
    for cell in notebook.cells:
        if any("text/markdown" in output.get("data", {}) for output in cell.get("outputs", [])):
            cell.metadata.setdefault("mystnb", {})["markdown_format"] = "myst"


def drop_copied_description(notebook: NotebookNode, path: Path) -> None:
    """A copy of the template brings its description; the page's own comes from its first lines."""
    copied = nbformat.read(TEMPLATE, as_version=4).metadata.description
    if path != TEMPLATE and notebook.metadata.get("description") == copied:
        del notebook.metadata["description"]


def run(path: Path) -> None:
    """Execute one notebook from top to bottom and write it back."""
    notebook = nbformat.read(path, as_version=4)
    tidy(notebook)
    drop_copied_description(notebook, path)
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    tidy(notebook)
    shrink_pictures(notebook)
    mark_markdown(notebook)
    nbformat.write(notebook, path)


def processor_time() -> float:
    """Seconds that the kernels which have ended spent computing."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main(arguments: list[str]) -> None:
    """Run each notebook and say how long it took."""
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen = [Path(argument).resolve() for argument in arguments]
    for path in chosen:
        if not (path.suffix == ".ipynb" and path.exists()):
            sys.exit(f"requires the path of a notebook, as in book/part/name.ipynb. Found {path}.")
    runs = {}
    for path in chosen or [*sorted((ROOT / "book").rglob("*.ipynb")), TEMPLATE]:
        started, used = time.monotonic(), processor_time()
        name = str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
        print(f"{name}: running ...", flush=True)
        try:
            run(path)
        except CellExecutionError as error:
            sys.exit(f"{error}\n{name} is left as it was: correct the cell above and run it again.")
        seconds = time.monotonic() - started
        runs[name] = seconds, processor_time() - used
        print(f"{name}: {seconds:.0f} s", flush=True)
    if not chosen:
        environment.note_notebooks(runs)


if __name__ == "__main__":
    main(sys.argv[1:])
