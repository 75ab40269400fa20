"""The interface of curvlab from its docstrings: `book/reference/api`, written by `ledgers.py`.

What counts as public: a name of a module without an underscore, defined there. The plotting
functions and live figures serve the chapters and are left out.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src/curvlab"
# In the order in which a reader meets them, then what else there is; a folder is one module.
FIRST = (
    *("calculus", "spectrum", "losses", "networks", "penalties", "objectives", "bounds"),
    *("trust_region", "attacks", "measures", "data", "training", "zoo", "results"),
)
LEFT_OUT = ("__init__", "figures", "interactive")
FOUND = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
MODULES = (*FIRST, *sorted(FOUND - {*FIRST, *LEFT_OUT}))
TOP = """---
description: Every public name of curvlab, with its signature and examples that are tested.
---
# The interface of `curvlab`

Every public name of the package, from its own docstrings. The examples are run by the tests. A
`loss` maps a batch `(B, *shape)` to one value for each example; a `Field` maps it to outputs
`(B, ...)`; an `Operator` maps `(B, *shape)` to `(B, *shape)`. [Three lines for each
method](training-loop.md) and [what each method bounds](methods.md) are pages of their own.
"""


class Name(NamedTuple):
    """One public name: where it is defined, and its syntax tree."""

    module: str
    path: Path
    node: ast.FunctionDef | ast.ClassDef

    @property
    def shown(self) -> str:
        return f"{self.module}.{self.node.name}"


def files(module: str) -> list[Path]:
    """The files behind a module's name."""
    folder = PACKAGE / module
    return sorted(folder.glob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]


def exported(module: str) -> set[str] | None:
    """What a folder's `__init__` lists, or None for a module in one file."""
    first = PACKAGE / module / "__init__.py"
    if not first.exists():
        return None
    for node in ast.parse(first.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def names(module: str) -> Iterator[Name]:
    """The public functions and classes of a module, file by file."""
    listed = exported(module)
    for path in files(module):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                public = not node.name.startswith("_") if listed is None else node.name in listed
                if public:
                    yield Name(module, path, node)


def header(node: ast.FunctionDef, lines: list[str]) -> str:
    """The definition of a function as it is written, without its body."""
    first = min([d.lineno for d in node.decorator_list], default=node.lineno)
    text = textwrap.dedent("\n".join(lines[first - 1 : node.body[0].lineno - 1]))
    return text.rstrip().removesuffix(":")


def fields(node: ast.ClassDef, lines: list[str]) -> list[str]:
    """The annotated fields of a class, with what the source says beside them."""
    held = [s for s in node.body if isinstance(s, ast.AnnAssign)]
    return [line for s in held for line in lines[s.lineno - 1 : s.end_lineno]]


def signature(node: ast.FunctionDef | ast.ClassDef, lines: list[str]) -> str:
    """How a name is called, or what it holds."""
    if isinstance(node, ast.FunctionDef):
        return header(node, lines)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    marks = "".join(f"@{ast.unparse(d)}\n" for d in node.decorator_list)
    top = f"{marks}class {node.name}" + (f"({bases})" if bases else "")
    return "\n".join([top, *(fields(node, lines))])


def methods_of(node: ast.ClassDef) -> list[ast.FunctionDef]:
    """The public methods that a class documents, and how it is made and called."""
    return [
        s
        for s in node.body
        if isinstance(s, ast.FunctionDef)
        and (s.name == "__init__" or (not s.name.startswith("_") and ast.get_docstring(s)))
    ]


def prose(docstring: str) -> str:
    """A docstring as Markdown: its examples as code, its angle brackets as they are."""
    parts, example = [], []
    for block in re.split(r"\n\n+", docstring.strip()):
        if block.lstrip().startswith(">>>"):
            example.append(block)
        else:
            parts.append(_escaped(block))
    parts += [f"```pycon\n{block}\n```" for block in example]
    return "\n\n".join(parts)


def _escaped(block: str) -> str:
    """What Markdown would take for HTML or emphasis, outside of code."""
    pieces = re.split(r"(`[^`]*`)", block)
    return "".join(
        piece if i % 2 else re.sub(r"([<*_$])(?!\s)", r"\\\1", piece)
        for i, piece in enumerate(pieces)
    )


def entry(name: Name) -> str:
    """The section of one name."""
    lines = name.path.read_text(encoding="utf-8").splitlines()
    where = name.path.relative_to(PACKAGE)
    parts = [
        f"### `{name.shown}`",
        f"```python\n{signature(name.node, lines)}\n```",
        prose(ast.get_docstring(name.node) or ""),
    ]
    if isinstance(name.node, ast.ClassDef):
        for method in methods_of(name.node):
            parts.append(f"```python\n{header(method, lines)}\n```")
            if method.name != "__init__":
                parts.append(prose(ast.get_docstring(method) or ""))
    parts.append(f"Source: {{src}}`{where} {name.node.name}`")
    return "\n\n".join(part for part in parts if part)


def section(module: str) -> str:
    """All names of a module."""
    path = files(module)[0]
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return "\n\n".join([f"## `curvlab.{module}`", prose(text), *map(entry, names(module))])


def page() -> str:
    """`book/reference/api`."""
    return "\n\n".join([TOP.rstrip(), *map(section, MODULES)]) + "\n"
