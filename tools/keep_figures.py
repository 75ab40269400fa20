"""A conftest beside nbval: keeps each live figure that a run has made, as a page of its own.

Colab shows each output in a frame of its own, where a figure finds nothing but what it carries.
The pages go to $KEPT_FIGURES/book, as `tests/browser/test_figures_site.py` reads them.
"""

import os
from pathlib import Path
from typing import Any

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>One output</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"></head>
<body>{}</body></html>
"""


def pytest_runtest_teardown(item: Any) -> None:
    """Write the figures of a cell that has run."""
    folder = Path(os.environ["KEPT_FIGURES"]) / "book"
    for output in getattr(item, "test_outputs", None) or []:
        body = output.get("data", {}).get("text/html", "")
        if '<figure class="curvlab"' in body:
            folder.mkdir(parents=True, exist_ok=True)
            page = folder / f"{item.path.stem}-{item.cell_num}.html"
            page.write_text(PAGE.format(body), encoding="utf-8")
