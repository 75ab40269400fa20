"""The book as the tests see it: notebooks, cells, directives, labels."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "tests/book/template.ipynb"
CHAPTERS = sorted(
    path for path in (ROOT / "book").rglob("*.ipynb") if not path.parent.name.startswith(".")
)
# The template is held to the rules of a chapter, so that copying it is a good start.
NOTEBOOKS = [*CHAPTERS, TEMPLATE]
# A page of the reference is looked things up in: it has no header, exercises or summary.
LESSONS = [path for path in NOTEBOOKS if path.parent.name != "reference"]
STATEMENTS = ("theorem", "proposition", "lemma", "corollary")
# The opening fence of a directive, its options, and where it stands.
DIRECTIVE = re.compile(
    r"^(?P<fence>:{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<argument>.*)\n(?P<options>(?::[\w-]+:.*\n)*)",
    re.MULTILINE,
)
OPTION = re.compile(r"^:([\w-]+):[ \t]*(.*)$", re.MULTILINE)


class Directive(NamedTuple):
    """One directive: where it is, what it says in its first lines."""

    name: str
    argument: str
    options: dict[str, str]
    cell: int


@cache
def read(path: Path) -> Any:
    """Return the notebook with every source and text joined to one string."""
    return nbformat.read(path, as_version=4)


def name(path: Path) -> str:
    """How a failing test calls the notebook."""
    return str(path.relative_to(ROOT))


def place(cell: Any) -> str:
    """How a failing test calls a cell: by what its author sees."""
    return f"the cell {cell.source.strip().splitlines()[0][:60]!r}"


def cells(path: Path, kind: str) -> list[Any]:
    """Return the cells of one kind that hold anything."""
    return [c for c in read(path).cells if c.cell_type == kind and c.source.strip()]


def directives(path: Path) -> list[Directive]:
    """Return the directives of all Markdown cells, in order."""
    return [
        Directive(m["name"], m["argument"].strip(), dict(OPTION.findall(m["options"])), number)
        for number, cell in enumerate(read(path).cells)
        if cell.cell_type == "markdown"
        for m in DIRECTIVE.finditer(cell.source + "\n")
    ]


def checks(path: Path) -> list[tuple[str, int]]:
    """Return each `check("label")` and the cell that makes it."""
    return [
        (call.args[0].value, number)
        for number, cell in enumerate(read(path).cells)
        if cell.cell_type == "code"
        for call in ast.walk(ast.parse(cell.source))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", getattr(call.func, "attr", "")) == "check"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ]


def texts(cell: Any) -> list[str]:
    """Return every text that a code cell's outputs show: streams, plain text, HTML, LaTeX."""
    found = []
    for output in cell.outputs:
        if output.output_type == "stream":
            found.append(output.text)
        else:
            data = output.get("data", {})
            found += [v for k, v in data.items() if k.startswith("text/")]
    return found


def has_image(cell: Any) -> bool:
    """Say whether an output of the cell is a picture."""
    return any(
        kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})
    )


def toc_files() -> list[str]:
    """Return the pages that the table of contents names, without suffix."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"]] + [
        chapter["file"] for part in toc["parts"] for chapter in part["chapters"]
    ]
