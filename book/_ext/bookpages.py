"""What the theme gets wrong on our pages: foreign scripts, and a description for every page."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

DESCRIPTION_LIMIT = 160


def drop_foreign_scripts(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Remove Thebe, which Jupyter Book loads whether or not a page uses it."""
    for kind in ("script_files", "css_files"):
        context[kind] = [
            file
            for file in context[kind]
            if "thebe"
            not in (str(getattr(file, "filename", "")) + str(file.attributes.get("body")))
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", drop_foreign_scripts, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
