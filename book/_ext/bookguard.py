"""A committed error, or a cell that was never run, stops the build."""

import json

from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)


def faults(notebook: dict) -> list[str]:
    """Say what is wrong with the outputs of a notebook; nothing when all is well."""
    found = []
    code = [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and "".join(cell["source"]).strip()
    ]
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        number = next(n for n, count in enumerate(counts, start=1) if n != count)
        count = counts[number - 1]
        found.append(f"code cell {number} has execution count {count}: run all, in order")
    for number, cell in enumerate(code, start=1):
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                found.append(f"code cell {number} shows an error: {output['ename']}")
            if output.get("name") == "stderr":
                found.append(f"code cell {number} writes to stderr")
    return found


def check_source(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn each fault into a warning, which is an error in every build of ours."""
    if app.env.doc2path(docname).endswith(".ipynb"):
        for fault in faults(json.loads(source[0])):
            logger.warning(fault, location=docname)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", check_source)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
