"""The book as a PDF, of a site with three small pages."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pdf
import pikepdf
import pytest
from PIL import Image
from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parents[2]
FORMULA = (
    '<span class="math"><span class="katex"><span class="katex-mathml"><math><semantics><mi>x</mi>'
    '<annotation encoding="application/x-tex">x^2</annotation></semantics></math></span>'
    '<span class="katex-html" aria-hidden="true"><span class="base">x</span></span></span></span>'
)
NAVIGATION = (
    '<p class="caption"><span class="caption-text">First part</span></p><ul>'
    '<li class="toctree-l1"><a class="reference internal" href="one.html">One</a></li></ul>'
    '<p class="caption"><span class="caption-text">Second part</span></p><ul>'
    '<li class="toctree-l1"><a class="reference internal" href="book/two.html">Two</a></li></ul>'
)
ONE = f"""<section id="one"><h1>One<a class="headerlink" href="#one">#</a></h1>
<p>See {FORMULA}, <a href="book/two.html#far">far away</a>, <a href="book/two.html">all of it</a>,
<a href="https://arxiv.org/abs/1811.09716">elsewhere</a> and <a href="#here">here</a>.</p>
<section id="here"><h2>Here</h2><img loading="lazy" alt="A dot" src="dot.png">
<figure class="align-default"><div class="scroll picture">
<img width="716" height="336" alt="A wide one" src="wide.png"></div></figure>
<pre>{"code " * 19}</pre><div class="scroll"><table><tr><td>{"cell_" * 40}</td></tr></table></div>
<details><summary>Solution</summary><div class="folded">
<p style="break-before: page">Open.</p></div></details></section></section>"""
TWO = """<section id="two"><h1>Two</h1><p>Near.</p>
<section id="far" style="break-before: page"><h2>Far</h2><p>
<a href="../one.html#here">Back</a></p></section></section>"""


def write(site: Path, name: str, body: str) -> None:
    """Write a page as the theme does."""
    up = "../" * name.count("/")
    path = site / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<link rel="stylesheet" href="{up}_static/book.css"></head><body>'
        f'<nav class="chapters">{NAVIGATION}</nav><main><article>{body}</article></main></body>',
        encoding="utf-8",
    )


def make_site(site: Path, one: str = ONE, two: str = TWO) -> Path:
    """Write three pages."""
    (site / "_static").mkdir()
    shutil.copy(ROOT / "book/assets/book.css", site / "_static")
    Image.new("RGB", (40, 40)).save(site / "dot.png")
    Image.new("RGB", (716, 336)).save(site / "wide.png")
    chapters = (
        f'<section><h2>Chapters</h2><div class="toctree-wrapper">{NAVIGATION}</div></section>'
    )
    write(site, "index.html", f'<section id="book"><h1>Book</h1>{chapters}</section>')
    write(site, "one.html", one)
    write(site, "book/two.html", two)
    return site


@pytest.fixture(scope="module")
def book(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[pikepdf.Pdf]:
    """Bind the pages once."""
    site = make_site(tmp_path_factory.mktemp("site"))
    pdf.make_book(browser, site, site / "book.pdf")
    with pikepdf.open(site / "book.pdf") as opened:
        yield opened


def test_a_wide_picture_shrinks_on_paper(browser: Browser, tmp_path: Path) -> None:
    """On a screen as narrow it would keep its width and scroll."""
    page = browser.new_page(viewport={"width": 500, "height": 700})
    page.goto((make_site(tmp_path) / "one.html").as_uri())
    inside = """() => {
        const box = document.querySelector(".picture");
        return box.scrollWidth <= box.clientWidth;
    }"""
    assert not page.evaluate(inside)
    page.emulate_media(media="print")
    assert page.evaluate(inside)
    page.close()


def number(book: pikepdf.Pdf, target: pikepdf.Array) -> int:
    """Return the page that a link leads to."""
    return next(i for i, page in enumerate(book.pages) if page.objgen == target[0].objgen)


def test_links_lead_to_the_pages_of_the_book(book: pikepdf.Pdf) -> None:
    # Cover, contents, index; One has its solution open on a page; Two has two pages.
    assert len(book.pages) == 2 + 1 + 2 + 2
    links = [
        [
            number(book, link.Dest) if "/Dest" in link else str(link.A.URI)
            for link in page.obj.get("/Annots", [])
        ]
        for page in book.pages
    ]
    assert set(links[1]) == {2, 3, 5, 6}  # the contents
    assert set(links[3]) == {6, 5, "https://arxiv.org/abs/1811.09716", 3}
    assert links[6] == [3]


def test_pictures_wait_for_nobody(book: pikepdf.Pdf) -> None:
    assert "/XObject" in book.pages[3].Resources


def test_outline_title_and_labels(book: pikepdf.Pdf) -> None:
    with book.open_outline() as outline:
        parts = [(item.title, [one.title for one in item.children]) for item in outline.root]
    assert parts == [
        ("Contents", []),
        ("About this book", []),
        ("First part", ["One"]),
        ("Second part", ["Two"]),
    ]
    assert str(book.Root.Lang) == "en"
    assert str(book.docinfo["/Title"]) == "The Shape of Robustness"
    assert str(book.docinfo["/Author"]) == "The Shape of Robustness contributors"
    assert [int(label) for label in book.Root.PageLabels.Nums[::2]] == [0, 2]


def elements(node: pikepdf.Object) -> list[pikepdf.Object]:
    """Return the elements below a node of the reading order, itself included."""
    if not isinstance(node, pikepdf.Dictionary) or "/S" not in node:
        return []
    inner = node.get("/K", [])
    inner = inner if isinstance(inner, pikepdf.Array) else [inner]
    return [node, *(one for child in inner for one in elements(child))]


def test_the_reading_order_holds_every_page_and_the_source_of_formulas(book: pikepdf.Pdf) -> None:
    root = book.Root.StructTreeRoot
    found = elements(root.K)
    assert [str(part.S) for part in root.K.K] == ["/Part"] * 4
    assert {str(one.Alt) for one in found if "/Alt" in one} >= {"x^2", "A dot"}
    numbers = list(root.ParentTree.Nums)
    marked = dict(zip(map(int, numbers[::2]), numbers[1::2], strict=True))
    pages = [int(page.obj.StructParents) for page in book.pages]
    assert len(set(pages)) == len(book.pages)
    known = {one.objgen for one in found}
    for page in pages:
        assert {one.objgen for one in marked[page]} <= known
    for page in book.pages:
        for link in page.obj.get("/Annots", []):
            assert str(marked[int(link.StructParent)].S) == "/Link"


def test_a_link_to_nowhere_is_refused(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, two=TWO.replace("#here", "#nowhere"))
    with pytest.raises(ValueError, match=r"requires a place in the book\. Found one\.html#nowhere"):
        pdf.make_book(browser, site, site / "book.pdf")


def test_what_leaves_the_page_is_refused(browser: Browser, tmp_path: Path) -> None:
    site = make_site(tmp_path, one=ONE + '<div style="width: 700px">wide</div>')
    with pytest.raises(ValueError, match=r"requires all within the margins\. Found .*DIV "):
        pdf.print_chapter(browser, site, "one.html", "", [], 1)
