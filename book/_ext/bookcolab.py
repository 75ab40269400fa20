"""Exports every chapter as a notebook that Colab shows and runs as it is.

When the site is built, each notebook of the table of contents is written to `colab/` beside it:
numbers, references and citations taken from the site, solutions folded, the first cell installing
`curvlab` alone. Colab opens the copy on the branch that is published with the site.
"""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import address
import nbformat
from bookmath import MACROS
from colab_text import HEADING, Plain, UnknownMarkupError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

logger = logging.getLogger(__name__)
HIDDEN = '#@title Solution (run me) { display-mode: "form" }\n'


@cache
def commit() -> str:
    """Return the commit that the export installs, so that text and code stay together."""
    command = ["git", "rev-parse", "HEAD"]
    result = subprocess.run(command, cwd=address.ROOT, capture_output=True, text=True)
    return result.stdout.strip() or "HEAD"


@cache
def autoattack() -> str:
    """Return the pinned AutoAttack, the one package of the book that Colab lacks."""
    pins = (address.ROOT / "requirements.txt").read_text(encoding="utf-8")
    return re.findall(r"^pyautoattack==\S+", pins, re.MULTILINE)[0]


def install_line(repository: str, code: str) -> str:
    """Return the line that installs what the code needs, pinned, and Colab does not have."""
    source = f"git+https://github.com/{repository}@{commit()}"
    more = f" {autoattack()}" if re.search(r"\b(masking_report|autoattack)\b", code) else ""
    # pip takes another commit of one version for the same thing, unless it is told to look again
    return f'%pip install --quiet --no-deps --force-reinstall "curvlab @ {source}"{more}'


def first_cell(repository: str, code: str) -> NotebookNode:
    """Return the cell that makes a fresh runtime ready for the notebook's code."""
    if not repository:
        return new_markdown_cell(
            "This copy runs wherever the package `curvlab` is installed: "
            "`pip install .` in a clone of the book."
        )
    source = "\n".join(
        [
            "# Installs what the runtime lacks and nothing that it has: no restart is needed.",
            install_line(repository, code),
            "import curvlab",
            "import torch",
            "",
            'device = "cuda" if torch.cuda.is_available() else "cpu"',
            'print(f"curvlab {curvlab.__version__}, torch {torch.__version__}, {device}")',
        ]
    )
    return new_code_cell(
        source,
        metadata={
            "tags": ["nbval-ignore-output"],
            "reason": "versions and device are the runtime's",
        },
    )


class Site:
    """Answers what a label's number is and what a role says, from the built environment."""

    def __init__(self, env: BuildEnvironment, docname: str) -> None:
        self.env, self.docname = env, docname

    def numbers(self, docname: str, kind: str, label: str) -> str:
        """Return a figure-like number: '2.1'."""
        found = self.env.toc_fignumbers.get(docname, {}).get(kind, {}).get(label)
        if not found:
            raise UnknownMarkupError(f"{label!r} has no number")
        return ".".join(map(str, found))

    def number(self, kind: str, label: str) -> str:
        """Return what a labelled thing is called: 'Theorem 2.1', '2.1' for an equation."""
        if kind == "equation":
            domain = self.env.get_domain("math")
            docname, number = domain.equations[label]
            node_id = f"equation-{re.sub(r'[^a-z0-9]+', '-', label.lower()).strip('-')}"
            if self.env.toc_fignumbers.get(docname, {}).get("displaymath", {}).get(node_id):
                return self.numbers(docname, "displaymath", node_id)
            return str(number)
        if kind == "exercise":
            exercise = self.env.sphinx_exercise_registry[label]
            return f"Exercise {self.numbers(exercise['docname'], 'exercise', label)}"
        if not label:
            return kind.capitalize()
        statement = self.env.proof_list[label]
        place = self.numbers(statement["docname"], statement["countertype"], label)
        return f"{statement['realtype'].capitalize()} {place}"

    def say(self, role: str, target: str, title: str | None) -> str:
        """Return the words of a role."""
        if role == "eq":
            return f"({self.number('equation', target)})"
        if role == "prf:ref":
            return title or self.number("", target)
        if role.startswith("cite"):
            return self.cite(role, target)
        if role == "doc":
            return title or self.env.titles[self.resolve(target)].astext()
        if role in ("ref", "numref"):
            return self.refer(target, title)
        raise UnknownMarkupError(f"role {role!r} has no plain form")

    def resolve(self, target: str) -> str:
        """Return the document that a relative or absolute address names."""
        return self.env.relfn2path(target, self.docname)[0]

    def refer(self, label: str, title: str | None) -> str:
        """Return the words for a figure, an exercise, a table or a section."""
        if label in getattr(self.env, "sphinx_exercise_registry", {}):
            return title or self.number("exercise", label)
        standard = self.env.get_domain("std")
        docname, node_id, *rest = standard.labels.get(label) or standard.anonlabels[label]
        for kind, word in (("figure", "Fig."), ("table", "Table")):
            if node_id in self.env.toc_fignumbers.get(docname, {}).get(kind, {}):
                written = f"{word} {self.numbers(docname, kind, node_id)}"
                return (
                    title.replace("%s", self.numbers(docname, kind, node_id)) if title else written
                )
        if title or rest:
            return title or rest[0]
        raise UnknownMarkupError(f"{label!r} has no words")

    def cite(self, role: str, keys: str) -> str:
        """Return author and year, linked to the work."""
        data = self.env.get_domain("cite").bibdata.data.entries
        said = []
        for key in (part.strip() for part in keys.split(",")):
            entry = data[key]
            names = [" ".join(person.last_names) for person in entry.persons["author"]]
            names = [re.sub(r"[{}]", "", name) for name in names]
            who = names[0] if len(names) == 1 else f"{names[0]} and {names[1]}"
            who = f"{names[0]} et al." if len(names) > 2 else who
            year = entry.fields["year"]
            words = f"{who} ({year})" if role == "cite:t" else f"{who}, {year}"
            url = entry.fields.get("url")
            said.append(f"[{words}]({url})" if url else words)
        joined = "; ".join(said)
        return joined if role == "cite:t" else f"({joined})"


def number_headings(notebook: NotebookNode, sections: list[tuple[int, ...]]) -> None:
    """Write the site's section numbers into the headings, in order."""
    waiting = iter(sections)
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        lines, code = cell.source.split("\n"), False
        for place, line in enumerate(lines):
            code ^= line.startswith("```")
            match = None if code else HEADING.match(line)
            if match and (number := next(waiting, None)):
                lines[place] = f"{match[1]} {'.'.join(map(str, number))}. {match[2]}"
        cell.source = "\n".join(lines)


def caption_cell(cell: NotebookNode, plain: Plain, site: Site) -> NotebookNode | None:
    """Return the caption of a cell's figure as a cell of its own."""
    figure = cell.metadata.get("mystnb", {}).get("figure", {})
    if not figure.get("caption"):
        return None
    name = f"*{site.refer(figure['name'], None)}.* " if figure.get("name") else ""
    return new_markdown_cell(f"{name}{plain.translate(figure['caption'])}")


def export(source: NotebookNode, env: BuildEnvironment, docname: str) -> NotebookNode:
    """Return the notebook as Colab should have it."""
    site = Site(env, docname)
    plain = Plain(site.say, site.number, MACROS)
    number_headings(source, list(env.toc_secnumbers.get(docname, {}).values()))
    cells, hiding = [], False
    for cell in source.cells:
        if cell.cell_type == "markdown":
            fences = re.findall(
                r"^:{3,}\{(solution-start|solution-end)\}", cell.source, re.MULTILINE
            )
            text = plain.translate(cell.source)
            if text.strip():
                cells.append(new_markdown_cell(text))
            hiding = fences[-1] == "solution-start" if fences else hiding
            continue
        copy = new_code_cell(cell.source, outputs=cell.outputs, metadata=dict(cell.metadata))
        copy.execution_count = cell.execution_count  # nbval compares only cells that have run
        copy.metadata.pop("mystnb", None)
        if hiding:
            # A form cell hides its code; its output appears when the reader runs it.
            copy.source = HIDDEN + copy.source
            copy.metadata["cellView"] = "form"
            copy.metadata["jupyter"] = {"source_hidden": True}
            copy.outputs = []
            copy.metadata["tags"] = ["nbval-ignore-output"]
            copy.metadata["reason"] = "the reader runs it"
        cells.append(copy)
        if caption := caption_cell(cell, plain, site):
            cells.append(caption)
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    cells.insert(1, first_cell(address.repository(), code))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    metadata: dict[str, Any] = {
        "kernelspec": dict(source.metadata.kernelspec),
        "language_info": {"name": "python"},
        "colab": {"provenance": [], "toc_visible": True},
    }
    return nbformat.from_dict(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    )


def export_all(app: Sphinx) -> list[Any]:
    """Write the exported notebooks beside the site, once every number is known."""
    for docname in sorted(app.env.all_docs):
        path = Path(app.env.doc2path(docname))
        if path.suffix != ".ipynb" or app.builder.name != "html":
            continue
        try:
            exported = export(nbformat.read(path, as_version=4), app.env, docname)
        except (UnknownMarkupError, KeyError) as problem:
            logger.warning("Colab export: %r", problem, location=docname)
            continue
        target = Path(app.outdir) / address.notebook_path(docname)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(exported, target)
    return []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-collect-pages", export_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
