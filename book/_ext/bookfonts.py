"""Fonts hold the letters that the book uses and no others.

A page of mathematics draws on a dozen font files; most of what they hold is on no page. Once the
site is written, each font is cut to the characters that occur anywhere in it. What every page
begins with travels in the style sheet: text whose font comes late jumps. The vendored files stay
whole.
"""

import base64
import html
import re
import string
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font
from sphinx.application import Sphinx

# What readers may type into the search, and what scripts may write.
ALWAYS = string.printable + "…–—‘’“”·×−±∞≤≥≈⁰¹²³⁴⁵⁶⁷⁸⁹⁻"

FIRST = {
    "fonts.css": (
        "source-serif-4-latin-400-normal",
        "source-serif-4-latin-400-italic",
        "source-serif-4-latin-600-normal",
        "source-sans-3-latin-400-normal",
    ),
    "vendor/katex/katex.min.css": ("KaTeX_Main-Regular", "KaTeX_Math-Italic"),
}


def characters(site: Path) -> str:
    """Return every character that a page shows or a script may write."""
    used = set(ALWAYS)
    for path in [*site.rglob("*.html"), *site.glob("_static/**/*.js"), site / "searchindex.js"]:
        text = path.read_text(encoding="utf-8")
        used |= set(html.unescape(text) if path.suffix == ".html" else text)
        used |= {chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-fA-F]{4})", text)}
    # half of a surrogate pair is no character; beyond them lies the slash of KaTeX's "not equal"
    return "".join(sorted(c for c in used if not 0xD800 <= ord(c) < 0xE000))


def cut(path: Path, text: str) -> None:
    """Cut a font to the characters of a text."""
    options = Options()
    options.flavor = "woff2"
    options.layout_features = ["kern", "liga", "mark", "mkmk", "ccmp", "locl", "lnum", "tnum"]
    options.hinting = False
    with load_font(path, options, lazy=False) as font:
        subsetter = Subsetter(options)
        subsetter.populate(text=text)
        subsetter.subset(font)
        save_font(font, path, options)


def embed(styles: Path, name: str) -> None:
    """Move a font into the style sheet that asks for it."""
    text = styles.read_text(encoding="utf-8")
    (url,) = re.findall(rf"\(([^()\s]*/{name}\.woff2)\)", text)
    font = styles.parent / url
    data = base64.b64encode(font.read_bytes()).decode()
    styles.write_text(text.replace(url, f"data:font/woff2;base64,{data}"), encoding="utf-8")
    font.unlink()


def cut_all(app: Sphinx, error: Exception | None) -> None:
    """Cut the fonts of the finished site."""
    if error or app.builder.name != "html":
        return
    site = Path(app.outdir)
    text = characters(site)
    for path in sorted(site.glob("_static/vendor/**/*.woff2")):
        cut(path, text)
    for styles, names in FIRST.items():
        for name in names:
            embed(site / "_static" / styles, name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("build-finished", cut_all, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
