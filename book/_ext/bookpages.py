"""What the theme's templates ask for, and what docutils writes in ways that hurt readers.

Every page gets a description, the part it belongs to, its address and the links that run or edit
it. Solutions fold natively, tables scroll by themselves, images load when they come near
into room that was kept for them.
"""

import base64
import hashlib
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

import address
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxTranslator

DESCRIPTION_LIMIT = 160
SOURCE_BRANCH = "main"


class folded(nodes.General, nodes.Element):  # noqa: N801
    """What stays closed until the reader opens it."""


class summary(nodes.General, nodes.TextElement):  # noqa: N801
    """The line of a folded block that shows."""


def visit_folded(self: SphinxTranslator, node: nodes.Element) -> None:
    """Open a native disclosure: no script, found by the browser's own search."""
    self.body.append(self.starttag(node, "details", ""))


def depart_folded(self: SphinxTranslator, node: nodes.Element) -> None:
    """Close it."""
    self.body.append("</div></details>\n")


def visit_summary(self: SphinxTranslator, node: nodes.Element) -> None:
    """Open the line that shows."""
    self.body.append(self.starttag(node, "summary", ""))


def depart_summary(self: SphinxTranslator, node: nodes.Element) -> None:
    """Close it and begin what is folded."""
    self.body.append('</summary>\n<div class="folded">')


def fold(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn every admonition of class `dropdown` into a folded block."""
    for node in list(doctree.findall(nodes.Admonition)):
        if "dropdown" not in node.get("classes", []):
            continue
        title = node[0]
        # A link inside a summary could not be reached by keyboard.
        for link in list(title.findall(nodes.reference)):
            link.replace_self(link.children)
        box = folded(ids=node["ids"], names=node["names"], classes=node["classes"])
        box += summary("", "", *title.children)
        box += node.children[1:]
        node.replace_self(box)


def describe(doctree: nodes.document | None, meta: dict[str, Any]) -> str:
    """Return the page's own description, or the beginning of its first paragraph."""
    if text := meta.get("description"):
        return str(text)
    if doctree is None:
        return ""
    for paragraph in doctree.findall(nodes.paragraph):
        text = " ".join(paragraph.astext().split())
        # Formulas read badly outside the page.
        if len(text) > 60 and "\\" not in text:
            if len(text) <= DESCRIPTION_LIMIT:
                return text
            return text[:DESCRIPTION_LIMIT].rsplit(" ", 1)[0].rstrip(",;:. ") + " …"
    return ""


def part_of(app: Sphinx, docname: str) -> str:
    """Return the caption of the part that holds the page, as the table of contents has it."""
    site_map = app.env.external_site_map
    for part in site_map.root.subtrees:
        if docname in [str(item) for item in part.items]:
            return part.caption or ""
    return ""


def pages_url(repository: str) -> str:
    """Return where GitHub publishes the site of a repository."""
    owner, name = repository.split("/")
    host = f"https://{owner.lower()}.github.io"
    return f"{host}/" if name.lower() == f"{owner.lower()}.github.io" else f"{host}/{name}/"


def colab_url(repository: str, docname: str) -> str:
    """Return where Colab opens the exported copy of a notebook."""
    place = f"{repository}/blob/{address.BRANCH}/{address.notebook_path(docname)}"
    return f"https://colab.research.google.com/github/{place}"


IMAGE = re.compile(r"<img\b(?![^>]*\bloading=)")
PICTURE = re.compile(r'<img\b(?![^>]*\bwidth=)([^>]*?)\bsrc="([^"]+\.png)"')
PNG_START = b"\x89PNG\r\n\x1a\n"
WRAPPED = (
    (re.compile(r"<table\b"), '<div class="scroll"><table'),
    (re.compile(r"</table>"), "</table></div>"),
    # On a narrow screen a picture keeps the size at which its labels can be read.
    (
        re.compile(r'(<figure class="align-default"[^>]*>\s*)(<img\b[^>]*>)'),
        r'\1<div class="scroll picture">\2</div>',
    ),
    (re.compile(r'<th(?: class="[^"]*")?>\s*(?:<p>\s*</p>)?\s*</th>'), "<td></td>"),
    # The same id in every box of a page.
    (re.compile(r'<section id="(?:proof|exercise|solution)-content">'), "<section>"),
    (
        re.compile(r'(<div class="proof admonition") id="proof">\s*<p>Proof\. '),
        r'\1><p><em class="label">Proof.</em> ',
    ),
    (re.compile(r'(<div class="proof admonition") id="proof">'), r"\1>"),
    # Roles that docutils and sphinxcontrib-bibtex write and no browser accepts there.
    (re.compile(r' role="(?:list|doc-biblioentry|note|heading)"'), ""),
)


def mend(body: str) -> str:
    """Mend the HTML of a page: tables and pictures scroll by themselves, images wait."""
    for pattern, replacement in WRAPPED:
        body = pattern.sub(replacement, body)
    return IMAGE.sub('<img loading="lazy" decoding="async"', body)


def png_size(path: Path) -> tuple[int, int]:
    """Return the width and height that a PNG states in its first bytes."""
    with path.open("rb") as file:
        start = file.read(24)
    if not start.startswith(PNG_START):
        raise ValueError(f"requires a PNG. Found {path}, which begins with {start[:8]!r}.")
    return int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big")


def reserve(body: str, pagename: str, pictures: dict[str, Path]) -> str:
    """Give every picture its size, so that the text below does not jump when it arrives."""

    def sized(match: re.Match[str]) -> str:
        before, source = match.groups()
        place = posixpath.normpath(posixpath.join(posixpath.dirname(pagename), source))
        if place not in pictures:
            raise ValueError(f"{pagename} requires pictures of the site's own. Found {source}.")
        width, height = png_size(pictures[place])
        return f'<img width="{width}" height="{height}"{before}src="{source}"'

    return PICTURE.sub(sized, body)


def pictures_of(app: Sphinx) -> dict[str, Path]:
    """Where the site's pictures are now: Sphinx copies its own when all pages are written."""
    site = Path(app.outdir)
    found = {path.relative_to(site).as_posix(): path for path in (site / "_images").glob("*.png")}
    for source, name in app.builder.images.items():
        found[f"_images/{name}"] = Path(app.srcdir) / source
    return found


# What a page may load and do. Formulas and figures carry style attributes, so styles stay open.
POLICY = (
    "default-src 'none'; img-src 'self' data:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "script-src 'self'"
)
INLINE = re.compile(r"<script(?![^>]*(?:\bsrc=|application/json))[^>]*>(.*?)</script>", re.DOTALL)


def policy(body: str) -> str:
    """Return the content security policy of a page: its own inline scripts, and no other."""
    scripts = {hashlib.sha256(script.encode()).digest() for script in INLINE.findall(body)}
    hashes = sorted(base64.b64encode(digest).decode() for digest in scripts)
    return POLICY + "".join(f" 'sha256-{digest}'" for digest in hashes)


def page_context(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: nodes.document
) -> None:
    """Add to a page's context what the templates ask for."""
    repository = address.repository()
    source = app.env.doc2path(pagename, base=False) if pagename in app.env.all_docs else ""
    context["description"] = describe(doctree, app.env.metadata.get(pagename, {}))
    context["kicker"] = part_of(app, pagename)
    context["has_math"] = 'class="katex' in context.get("body", "")
    if "body" in context:
        context["body"] = reserve(mend(context["body"]), pagename, pictures_of(app))
    context["policy"] = policy(context.get("body", ""))
    if source.endswith(".ipynb"):
        context["run"] = {
            "notebook": address.notebook_path(pagename),
            "colab": colab_url(repository, pagename) if repository else "",
        }
    if repository and source:
        context["source_url"] = f"https://github.com/{repository}/edit/{SOURCE_BRANCH}/{source}"
        base = pages_url(repository)
        context["pageurl"] = base + (
            "" if pagename == app.config.root_doc else str(PurePosixPath(pagename)) + ".html"
        )
        context["card_url"] = base + "_static/card.png"


def drop_theme_options(app: Sphinx, config: Config) -> None:
    """Forget the options of another theme, which Jupyter Book sets whatever the theme is."""
    config.html_theme_options = {}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_config_value("comments_config", {}, "html")  # Jupyter Book sets it, nothing reads it
    app.connect("config-inited", drop_theme_options)
    app.add_node(folded, html=(visit_folded, depart_folded))
    app.add_node(summary, html=(visit_summary, depart_summary))
    app.connect("doctree-resolved", fold)
    app.connect("html-page-context", page_context, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
