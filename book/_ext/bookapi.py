"""The role `src`: where a name of the package is defined, as a link when the address is known."""

import ast
from pathlib import Path
from typing import Any

import address
from docutils import nodes
from sphinx.application import Sphinx

PACKAGE = Path(__file__).resolve().parents[2] / "src/curvlab"


def lines(path: Path, name: str) -> str:
    """Return the fragment that GitHub gives the lines of a top-level definition."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if getattr(node, "name", "") == name:
            return f"#L{node.lineno}-L{node.end_lineno}"
    raise ValueError(f"requires a definition in {path.name}. Found none named {name!r}.")


def src(role: str, raw: str, text: str, line: int, inliner: Any, *rest: Any) -> Any:
    """Return the file's path, linked to the definition in it."""
    file, name = text.split()
    shown = nodes.literal("", f"src/curvlab/{file}")
    fragment = lines(PACKAGE / file, name)
    repository = address.repository()
    if not repository:
        return [shown], []
    place = f"https://github.com/{repository}/blob/main/src/curvlab/{file}{fragment}"
    return [nodes.reference("", "", shown, refuri=place)], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_role("src", src)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
