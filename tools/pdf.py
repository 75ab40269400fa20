"""The whole book as one PDF, printed by Chromium from the built pages: `make pdf`.

Each page is printed by itself, so that memory and time stay in proportion and the contents can
say where a chapter begins. Then the pages are bound: links between chapters become links within
the book, and outline and reading order are joined. Solutions stand open, figures are their
pictures, formulas are tagged with their source. No LaTeX is needed.
"""

import html
import io
import posixpath
import re
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag

import pikepdf
import yaml
from chromium import FLAGS, chromium
from pikepdf import Array, Dictionary, Name, OutlineItem, Pdf, String
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
ABOUT = "About this book"
ARTICLE = re.compile(r"<article>(.*?)</article>", re.DOTALL)
CHAPTER = re.compile(
    r'<p class="caption"><span class="caption-text">([^<]+)</span></p>'
    r'|<li class="toctree-l1[^"]*"><a class="[^"]*" href="([^"#]+)">'
)
# The room between the margins of book.css's printed page, at 96 pixels to the inch.
ROOM = {"width": round(166 / 25.4 * 96), "height": round(247 / 25.4 * 96)}
PREPARE = """
async ([wanted, room]) => {
  for (const box of document.querySelectorAll("details")) box.open = true;
  for (const link of document.querySelectorAll(".headerlink")) link.remove();
  // The contents stand before the first page, which lists the chapters again.
  document.querySelector(".toctree-wrapper")?.closest("section").remove();
  const plain = (heading) => heading.textContent.replace(/[\\u200b\\s]+/g, " ").trim();
  for (const formula of document.querySelectorAll(".katex")) {
    const source = formula.querySelector("annotation")?.textContent ?? "";
    formula.querySelector(".katex-mathml")?.remove();
    formula.querySelector(".katex-html")?.removeAttribute("aria-hidden");
    formula.setAttribute("role", "img");
    formula.setAttribute("aria-label", source);
  }
  // No line ends between a formula and the punctuation that belongs to it.
  for (const formula of document.querySelectorAll("main .katex")) {
    const next = (formula.closest("span.math") ?? formula).nextSibling;
    const mark = next?.nodeType === 3 && /^[^\\s\\w(\\u2013\\u2014]+/.exec(next.data)?.[0];
    const last = formula.querySelector(".katex-html > .base:last-child");
    if (!mark || !last) continue;
    const glue = document.createElement("span");
    glue.style.whiteSpace = "nowrap";
    last.replaceWith(glue);
    glue.append(last, Object.assign(document.createElement("span"), { textContent: mark }));
    glue.lastChild.style.cssText = "font-family: var(--serif); font-size: 0.943em";
    next.data = next.data.slice(mark.length);
  }
  const images = [...document.images];
  for (const image of images) image.loading = "eager";
  await Promise.all(images.map((image) => image.decode()));
  await document.fonts.ready;
  // What is too wide becomes smaller: formulas, tables, the longest lines of code.
  for (const box of document.querySelectorAll(".katex-display")) {
    const row = box.closest("div.math");
    if (row && box.scrollWidth > box.clientWidth) row.style.maxWidth = "none";
    const ratio = (box.clientWidth - 16) / box.scrollWidth;
    if (box.scrollWidth > box.clientWidth) box.style.zoom = ratio;
  }
  for (const table of document.querySelectorAll("main table")) {
    const ratio = table.parentElement.clientWidth / table.getBoundingClientRect().width;
    if (ratio < 1) table.style.zoom = ratio;
  }
  for (const box of document.querySelectorAll("main pre")) {
    box.style.whiteSpace = "pre";
    const edge = parseFloat(getComputedStyle(box).paddingLeft);
    const ratio = (box.clientWidth - 2 * edge - 1) / (box.scrollWidth - edge);
    box.style.whiteSpace = "";
    if (0.8 < ratio && ratio < 1) box.style.fontSize = `${8 * ratio}pt`;
  }
  // What is short stays whole; what is long may break, or half a page would stay empty.
  for (const box of document.querySelectorAll("pre, table, .admonition, details"))
    box.style.breakInside = box.offsetHeight < room.height / 3 ? "avoid" : "auto";
  // Chromium keeps the places that the page itself links to.
  const links = document.createElement("div");
  links.hidden = true;
  const titles = [...document.querySelectorAll("main h1, main h2")];
  const headings = titles.flatMap((heading) => {
    const id = heading.id || heading.closest("section")?.id;
    if (!id) return [];
    wanted.push(id);
    const copy = heading.cloneNode(true);  // a line of the contents is a link and holds none
    for (const link of copy.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    return [[id, plain(heading), copy.innerHTML]];
  });
  for (const id of wanted) {
    const link = document.createElement("a");
    link.href = "#" + encodeURIComponent(id);
    links.append(link);
  }
  document.body.append(links);
  // KaTeX cuts its long strokes itself.
  const outside = [...document.querySelectorAll("main *:not(.katex *)")]
    .filter((one) => one.getBoundingClientRect().right > room.width + 1)
    .map((one) => `${one.tagName} ${one.className}: ${one.textContent.trim().slice(0, 60)}`);
  return { headings, outside };
}
"""
STYLE = """
(text) => {
  const style = document.createElement("style");
  style.textContent = text;
  document.head.append(style);
}
"""
REPLACE = """
(body) => { document.body.innerHTML = body; return document.fonts.ready.then(() => null); }
"""
FRONT = """
.cover { height: 246mm; display: flex; flex-direction: column; align-items: flex-start; }
.cover svg { width: 74mm; margin: 30mm 0 18mm; }
.cover h1 { font-size: 38pt; margin: 0 0 7mm; }
.cover .subtitle { font: 14pt/1.4 var(--sans); color: var(--soft); max-width: 125mm; }
.cover .imprint { margin: auto 0 0; font: 9.5pt/1.5 var(--sans); color: var(--soft); }
@page :first { @bottom-left { content: ""; } }
.contents { break-before: page; }
.contents nav { columns: 2; column-gap: 10mm; }
.contents a { display: flex; gap: 3mm; color: inherit; text-decoration: none; }
.contents a > span:last-child { margin-left: auto; font-variant-numeric: tabular-nums lining-nums; }
.contents h2 { font: 600 9pt var(--sans); color: var(--soft); text-transform: uppercase;
  letter-spacing: 0.04em; margin: 5mm 0 1mm; }
.contents h2:first-child { margin-top: 0; }
.contents p { margin: 2.2mm 0 0.6mm; font: 600 10pt/1.3 var(--serif); break-after: avoid; }
.contents ul { list-style: none; margin: 0; padding: 0 0 0 4mm; font-size: 9pt; line-height: 1.35; }
"""
EMBLEM = """
<svg viewBox="0 0 200 150" fill="none" aria-hidden="true">
<g transform="rotate(-30 100 75)" stroke="#0b5a98" stroke-width="1.1">
<ellipse cx="100" cy="75" rx="20" ry="8"/><ellipse cx="100" cy="75" rx="40" ry="16"/>
<ellipse cx="100" cy="75" rx="60" ry="24"/><ellipse cx="100" cy="75" rx="80" ry="32"/>
<ellipse cx="100" cy="75" rx="100" ry="40"/></g>
<path d="M100 75 66.5 17" stroke="#c8641a" stroke-width="3" stroke-linecap="round"/>
<circle cx="100" cy="75" r="3.5" fill="#c8641a"/></svg>
"""


class Heading(NamedTuple):
    """The title of a page, or of one of its sections."""

    anchor: str
    text: str
    markup: str


class Chapter(NamedTuple):
    """A page of the site, printed."""

    page: str
    part: str
    pdf: Pdf
    headings: list[Heading]


def chapters_of(site: Path) -> list[tuple[str, str]]:
    """Return the pages in the order of the contents, each with the part that it belongs to."""
    # The bar at the side lists each page once; the text of the first page does so again.
    bar = (site / "index.html").read_text(encoding="utf-8").partition("<main")[0]
    part, pages = "", [("index.html", "")]
    for caption, page in CHAPTER.findall(bar):
        part = html.unescape(caption) or part
        if page:
            pages.append((page, part))
    return pages


def wanted_places(site: Path, pages: Iterable[str]) -> dict[str, set[str]]:
    """Return the ids of each page that another page links to."""
    places = defaultdict(set)
    for page in pages:
        article = ARTICLE.search((site / page).read_text(encoding="utf-8"))
        assert article, page
        for address in re.findall(r'\bhref="([^":]+\.html#[^"]+)"', article[1]):
            target, anchor = urldefrag(html.unescape(address))
            place = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
            places[place].add(unquote(anchor))
    return places


def margins(head: str, first: int, style: str = "decimal") -> str:
    """Return the style of a page's head and foot; the numbers go on from the chapter before."""
    quoted = head.replace("\\", r"\5c ").replace('"', r"\22 ")
    font = 'font: 9pt "Source Sans 3"; color: #5a6068'
    return (
        f"html {{ counter-reset: page {first - 1}; }} @page {{ "
        f'@top-left {{ content: "{quoted}"; {font}; }} '
        f"@bottom-left {{ content: counter(page, {style}); {font}; }} }} "
        '@page :first { @top-left { content: ""; } }'
    )


def to_pdf(page: Page, style: str) -> Pdf:
    """Print what the page shows."""
    page.evaluate(STYLE, style)
    data = page.pdf(prefer_css_page_size=True, print_background=True, tagged=True)
    return Pdf.open(io.BytesIO(data))


def print_chapter(
    browser: Browser, site: Path, name: str, part: str, wanted: Iterable[str], first: int
) -> Chapter:
    """Print one page of the site, its first page numbered `first`."""
    # The pages' own scripts stay asleep: figures are their pictures.
    page = browser.new_page(java_script_enabled=False, viewport=ROOM, color_scheme="light")
    page.emulate_media(media="print")
    page.goto((site / name).as_uri(), wait_until="load", timeout=120_000)
    found = page.evaluate(PREPARE, [sorted(wanted), ROOM])
    headings = [Heading(*one) for one in found["headings"]]
    if name == "index.html":  # its heading is the title of the book
        headings[0] = Heading(headings[0].anchor, ABOUT, ABOUT)
    if found["outside"]:
        raise ValueError(f"{name} requires all within the margins. Found {found['outside']}.")
    pdf = to_pdf(page, margins(headings[0].text, first))
    page.close()
    return Chapter(name, part, pdf, headings)


def print_front(browser: Browser, site: Path, body: str) -> Pdf:
    """Print the title page and the contents, numbered in Roman."""
    page = browser.new_page(java_script_enabled=False, viewport=ROOM, color_scheme="light")
    page.emulate_media(media="print")
    page.goto((site / "index.html").as_uri(), wait_until="load", timeout=120_000)
    page.evaluate(REPLACE, body)
    return to_pdf(page, margins("", 1, "lower-roman") + FRONT)


def places(chapter: Chapter) -> dict[str, tuple[int, float]]:
    """Return the page within the chapter, and the height on it, of each id that is linked to."""
    order = {page.objgen: index for index, page in enumerate(chapter.pdf.pages)}
    found = chapter.pdf.Root.get("/Dests", Dictionary())
    return {name[1:]: (order[to[0].objgen], float(to[3])) for name, to in found.items()}


def entry(number: int, address: str, markup: str) -> str:
    """Return a line of the contents."""
    return f'<a href="{address}"><span>{markup}</span><span>{number}</span></a>'


def front_matter(chapters: Sequence[Chapter], config: dict[str, Any], edition: str) -> str:
    """Return the title page and the contents."""
    lines, part, first = [], "", 1
    for chapter in chapters:
        if chapter.part != part:
            part = chapter.part
            lines.append(f"<h2>{html.escape(part)}</h2>")
        title, *rest = chapter.headings
        lines.append(f"<p>{entry(first, chapter.page, title.markup)}</p><ul>")
        where = places(chapter)
        for anchor, _, markup in rest:
            number, address = first + where[anchor][0], f"{chapter.page}#{anchor}"
            lines.append(f"<li>{entry(number, address, markup)}</li>")
        lines.append("</ul>")
        first += len(chapter.pdf.pages)
    title = html.escape(config["title"])
    return (
        f'<div class="cover">{EMBLEM}<h1>{title}</h1>'
        '<p class="subtitle">Regularizing the derivatives of a network with respect to its '
        "input, for adversarial robustness: derived, proved and measured</p>"
        f'<p class="imprint">{html.escape(config["author"])}<br>{html.escape(edition)}<br>'
        "Text and figures CC BY 4.0, code MIT</p></div>"
        f'<div class="contents"><h1>Contents</h1><nav>{"".join(lines)}</nav></div>'
    )


class Bound(NamedTuple):
    """The book while it is bound, and where every id of it is."""

    pdf: Pdf
    starts: dict[str, int]
    ids: dict[tuple[str, str], tuple[int, float]]

    def target(self, page: str, anchor: str) -> Array:
        """Return the place of an id as PDF writes it; an unknown one stops the binding."""
        if not anchor and page in self.starts:
            return Array([self.pdf.pages[self.starts[page]].obj, Name.Fit])
        if (page, anchor) not in self.ids:
            raise ValueError(f"a link requires a place in the book. Found {page}#{anchor}.")
        index, top = self.ids[page, anchor]
        return Array([self.pdf.pages[index].obj, Name.XYZ, None, top, None])


def join_structure(book: Pdf, parts: Sequence[tuple[Pdf, int]]) -> None:
    """Join the reading orders of the parts, each already copied from a page number on."""
    document = book.make_indirect(Dictionary(Type=Name.StructElem, S=Name.Document, K=Array()))
    numbers, used = Array(), 0
    for pdf, start in parts:
        tree = book.copy_foreign(pdf.Root.StructTreeRoot)
        part = tree.K
        part.S, part.P = Name.Part, document
        document.K.append(part)
        for page in list(book.pages)[start : start + len(pdf.pages)]:
            for item in [page.obj, *page.obj.get("/Annots", [])]:
                for key in ("/StructParents", "/StructParent"):
                    if key in item:
                        item[key] = item[key] + used
        pairs = list(tree.ParentTree.Nums)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            numbers.extend([key + used, value])
        used += int(tree.ParentTreeNextKey)
    root = book.make_indirect(
        Dictionary(
            Type=Name.StructTreeRoot,
            K=document,
            ParentTree=Dictionary(Nums=numbers),
            ParentTreeNextKey=used,
        )
    )
    document.P = root
    book.Root.StructTreeRoot = root
    book.Root.MarkInfo = Dictionary(Marked=True)


def lead_links(bound: Bound, site: Path, page: str, pages: range) -> None:
    """Let the links of a chapter, and those to others, lead to places in the book."""
    root = site.as_uri() + "/"
    for index in pages:
        for link in bound.pdf.pages[index].obj.get("/Annots", []):
            if "/Dest" in link:
                link.Dest = bound.target(page, str(link.Dest).removeprefix("/"))
            elif str(link.A.URI).startswith(root):
                target, anchor = urldefrag(str(link.A.URI).removeprefix(root))
                del link.A
                link.Dest = bound.target(target, unquote(anchor))


def outline(bound: Bound, chapters: Sequence[Chapter]) -> None:
    """Write the outline: parts, chapters, sections."""
    with bound.pdf.open_outline() as tree:
        branches = {"": tree.root}
        tree.root.append(OutlineItem("Contents", 1))
        for chapter in chapters:
            if chapter.part not in branches:
                item = OutlineItem(chapter.part, bound.starts[chapter.page])
                tree.root.append(item)
                branches[chapter.part] = item.children
            title, *rest = chapter.headings
            item = OutlineItem(title.text, bound.starts[chapter.page])
            item.is_closed = True
            branches[chapter.part].append(item)
            item.children.extend(
                OutlineItem(one.text, bound.target(chapter.page, one.anchor)) for one in rest
            )


def bind(
    front: Pdf, chapters: Sequence[Chapter], site: Path, config: dict[str, Any], target: Path
) -> None:
    """Join the printed pages into one book."""
    bound = Bound(Pdf.new(), {}, {})
    book = bound.pdf
    parts = []
    for page, pdf in [("", front), *((chapter.page, chapter.pdf) for chapter in chapters)]:
        bound.starts[page] = len(book.pages)
        parts.append((pdf, len(book.pages)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pikepdf.PageCopyWarning)  # we lead the links ourselves
            book.pages.extend(pdf.pages)
    for chapter in chapters:
        start = bound.starts[chapter.page]
        for anchor, (number, top) in places(chapter).items():
            bound.ids[chapter.page, anchor] = (start + number, top)
    for page, (pdf, start) in zip(bound.starts, parts, strict=True):
        lead_links(bound, site, page, range(start, start + len(pdf.pages)))
    join_structure(book, parts)
    outline(bound, chapters)
    book.Root.PageLabels = Dictionary(
        Nums=[0, Dictionary(S=Name.r), len(front.pages), Dictionary(S=Name.D)]
    )
    book.Root.Lang = String("en")
    book.Root.PageMode = Name.UseOutlines
    book.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)
    with book.open_metadata(set_pikepdf_as_editor=False) as meta:
        meta["dc:title"] = config["title"]
        meta["dc:creator"] = [config["author"]]
        meta["dc:language"] = ["en"]
    book.docinfo["/Title"] = config["title"]
    book.docinfo["/Author"] = config["author"]
    book.save(target, object_stream_mode=pikepdf.ObjectStreamMode.generate)


def make_book(browser: Browser, site: Path, target: Path) -> None:
    """Print all pages of a site and bind them."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    release = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    pages = chapters_of(site)
    wanted = wanted_places(site, [page for page, _ in pages])
    chapters: list[Chapter] = []
    first = 1
    for number, (page, part) in enumerate(pages, 1):
        print(f"{number} of {len(pages)}: {page}, from page {first}", flush=True)
        chapters.append(print_chapter(browser, site, page, part, wanted[page], first))
        first += len(chapters[-1].pdf.pages)
    edition = f"Version {release['version']}, {release['date-released']}"
    front = print_front(browser, site, front_matter(chapters, config, edition))
    bind(front, chapters, site, config, target)


def main(build: Path) -> None:
    """Print the book and say where it is."""
    target = build / "the-shape-of-robustness.pdf"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        make_book(browser, build / "html", target)
        browser.close()
    print(f"The book as a PDF: {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() / "_build")
