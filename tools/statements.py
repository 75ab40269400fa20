"""Write the ledger of statements, book/reference/statements.md, from the chapters' own outputs.

python tools/statements.py            writes the page
"""

import sys
from pathlib import Path

import nbformat

from curvlab.checks import Record, printed_checks

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "book/reference/statements.md"
sys.path.insert(0, str(ROOT / "tests/book"))

import notebooks as nb  # noqa: E402

HEAD = """# Every statement and its check

Each numbered statement of the book is proved where it stands and then tried on data by a cell that
can fail. This page is made from what those cells printed. *Points* counts the comparisons made,
*violations* those that failed. A *mutation* is the same comparison with the statement broken on
purpose: it has to be caught on the same points, or the check would prove nothing by passing.
"""


def printed(path: Path) -> dict[str, Record]:
    """Return the record that each check of a chapter printed last."""
    found = {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if output.output_type == "stream":
                    found.update({record.label: record for record in printed_checks(output.text)})
    return found


def rows(path: Path) -> list[str]:
    """Return one line of the table for each statement of a chapter, in the chapter's order."""
    records = printed(path)
    lines = []
    for directive in nb.directives(path):
        kind = directive.name.removeprefix("prf:")
        label = directive.options.get("label", "")
        if kind in nb.STATEMENTS and label in records:
            record = records[label]
            caught = ", ".join(record.mutations) or f"none: {record.loose}"
            name = directive.argument or "(unnamed)"
            lines.append(
                f"| {{prf:ref}}`{label}` | {name} | {record.points} | {record.violations} "
                f"| {caught} |"
            )
    return lines


def page() -> str:
    """Return the page for the chapters in the table of contents."""
    sections, statements, points = [], 0, 0
    for file in nb.toc_files():
        path = ROOT / f"{file}.ipynb"
        lines = rows(path) if path.exists() else []
        if lines:
            title = nb.read(path).cells[0].source.splitlines()[0].removeprefix("# ")
            link = f"[{title}](../{path.relative_to(ROOT / 'book')})"
            head = "| statement | says | points | violations | mutations caught |"
            sections.append(f"## {link}\n\n{head}\n|---|---|---:|---:|---|\n" + "\n".join(lines))
            statements += len(lines)
            points += sum(record.points for record in printed(path).values())
    count = f"{statements} statements, {points} comparisons, no violation."
    return "\n\n".join([HEAD.rstrip(), count, *sections]) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"Written: {PAGE.relative_to(ROOT)}")
