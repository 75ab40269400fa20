"""Write the book's generated pages into book/reference: `python tools/ledgers.py`.

Every statement with its check, every source claim with its verdict, every method with what it
bounds, its lines for a training loop.
"""

import sys
from pathlib import Path

import api
import environment
import methods
import methods_map
import nbformat
import training_loop

from curvlab import results
from curvlab.checks import Record, printed_checks

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "book/reference"
sys.path.insert(0, str(ROOT / "tests/book"))

import notebooks as nb  # noqa: E402

STATEMENTS = """# Every statement and its check

Each numbered statement of the book is proved where it stands and then tried on data by a cell that
can fail. This page is made from what those cells printed. *Points* counts the comparisons made,
*violations* those that failed. A *mutation* is the same comparison with the statement broken on
purpose: it has to be caught on the same points, or the check would prove nothing by passing.
"""
CLAIMS = """# Which claims reproduce

The papers that this book covers make claims about training, and the book adds one of its own. A
claim on accuracy is tested by comparisons fixed before they were made: two methods, one data set,
one threat, AutoAttack on the same test images, paired by image, for every seed planned: three for
the first two claims, one for the others. The book's own claim says *not worse*: it is judged
against the rival that holds most images, is refuted where one such interval lies below zero, and
stands otherwise.

Seven of the claims judged are not on accuracy under attack. The one on cost compares the quartiles
of a step's time, in plain steps, on MNIST. The one on generalization compares two gaps on each of
27 networks of one small experiment. The one on norms counts the images on which Lanczos is nearer
to the truth, on each network, for two norms and three numbers of products; that images are counted
was decided after a trial on 20 images of one network. The one on rectifiers trains a network with
each of five penalties and once more with what the identity says that the penalty is, three seeds
each, and counts the test images on which the two networks agree to a hundredth of what the penalty
changed ([Rectifiers](../second-order/rectifiers.ipynb)). The one on certified accuracy wants it to
rise by more than 20 points at radius 0.5 on MNIST while clean accuracy falls by less than 2, with
the middle one of three penalties, on two fully connected networks and three seeds
([Certificates](../guarantees/certificates.ipynb)). The one on features compares SCORPIO's input
gradients and far attacks with those of five other penalties, in five measures, on 500 images of two
data sets, three trainings each; when it was fixed, one training on MNIST had been seen
([Robust features](../evidence/robust-features.ipynb)). The one on target matrices wants a trained
Jacobian within a tenth of its structure, and the error lower than without a penalty, for two
structures, two amounts of data and three seeds; it was fixed after trials with a seed of their own,
and run a second time with a falling learning rate
([Target matrices](../second-order/target-matrices.ipynb)). All else of these experiments was fixed
before they ran.

*Favorable* counts the comparisons whose interval lies on the claim's side, *unfavorable* those
on the other side. A verdict needs all of its comparisons; until then the claim stands as **open**,
whatever the chapters show from single seeds and weaker attacks. It speaks of what was run, and of
no more. The table is made from the study's results.
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


def statements() -> str:
    """Return the ledger of statements for the chapters in the table of contents."""
    sections, total, points = [], 0, 0
    for file in nb.toc_files():
        path = ROOT / f"{file}.ipynb"
        lines = rows(path) if path.exists() else []
        if lines:
            title = nb.read(path).cells[0].source.splitlines()[0].removeprefix("# ")
            link = f"[{title}](../{path.relative_to(ROOT / 'book')})"
            head = "| statement | says | points | violations | mutations caught |"
            sections.append(f"## {link}\n\n{head}\n|---|---|---:|---:|---|\n" + "\n".join(lines))
            total += len(lines)
            points += sum(record.points for record in printed(path).values())
    count = f"{total} statements, {points} comparisons, no violation."
    return "\n\n".join([STATEMENTS.rstrip(), count, *sections]) + "\n"


def claims() -> str:
    """Return the ledger of the claims of papers, and of this book's own."""
    table = results("claims")
    why = bool(table.reason.notna().any())  # a column for what is open, where anything is
    head = "| claim | source | done | favorable | unfavorable | verdict |" + " why |" * why
    lines = [
        f"| {row.claim} | {row.source} | {row.done} of {row.comparisons} | {row.favorable} "
        f"| {row.unfavorable} | **{row.verdict}** |"
        + f" {row.reason if isinstance(row.reason, str) else ''} |" * why
        for row in table.itertuples()
    ]
    rule = "|---|---|---|---:|---:|---|" + "---|" * why
    return f"{CLAIMS}\n{head}\n{rule}\n" + "\n".join(lines) + "\n"


def chapters() -> list[str]:
    """The notebooks in the table of contents."""
    return [file for file in nb.toc_files() if (ROOT / f"{file}.ipynb").exists()]


PAGES = {
    "statements.md": statements,
    "reproduction.md": claims,
    "methods.md": lambda: methods.page(printed),
    "map.md": methods_map.page,
    "training-loop.md": training_loop.page,
    "api.md": api.page,
    "environment.md": lambda: environment.page(chapters()),
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        print(f"Written: book/reference/{name}")
