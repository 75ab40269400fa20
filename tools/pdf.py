"""The whole book as one PDF, printed by Chromium from the built pages: `make pdf`.

The pages are put into one document in the order of the contents: links between them become links
within it, solutions stand open, figures are their pictures. No LaTeX is needed.
"""

import html
import posixpath
import re
import sys
from pathlib import Path
from urllib.parse import urldefrag

from chromium import FLAGS, chromium
from playwright.sync_api import sync_playwright

ARTICLE = re.compile(r"<article>(.*?)</article>", re.DOTALL)
CHAPTER = re.compile(
    r'<p class="caption"><span class="caption-text">([^<]+)</span></p>'
    r'|<li class="toctree-l1[^"]*"><a class="[^"]*" href="([^"#]+)">(.*?)</a>'
)
FOOTER = (
    '<p style="font: 8px serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></p>'
)
STYLE = """
@page { size: A4; margin: 20mm 20mm 22mm; }
.chapter { break-before: page; }
.cover { padding-top: 25vh; text-align: center; break-after: page; }
.cover h1 { font-size: 34pt; }
.contents a { color: inherit; text-decoration: none; }
.contents li { margin: 0.2rem 0; }
article section { max-width: none; }
"""


def name_of(page: str) -> str:
    """Return the prefix of a page's ids in the one document."""
    return page.removesuffix(".html").replace("/", "-")


def embed(text: str, page: str) -> str:
    """Return a page's article with ids, links and addresses of the one document."""
    article = ARTICLE.search(text)
    assert article, page
    body = re.sub(r"<script\b.*?</script>", "", article[1], flags=re.DOTALL)
    body = re.sub(r"<template\b.*?</template>", "", body, flags=re.DOTALL)
    body = re.sub(r"<details\b", "<details open", body).replace('loading="lazy"', "")
    body = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{name_of(page)}--{m[1]}"', body)

    def lead(match: re.Match[str]) -> str:
        attribute, address = match.groups()
        if re.match(r"[a-z]+:", address):
            return match[0]
        target, fragment = urldefrag(address)
        folder = posixpath.dirname(page)
        place = posixpath.normpath(posixpath.join(folder, target)) if target else page
        if attribute == "src" or not place.endswith(".html"):
            return f'{attribute}="{place}"'
        return f'href="#{name_of(place)}' + (f'--{fragment}"' if fragment else '"')

    return re.sub(r'\b(href|src)="([^"]+)"', lead, body)


def assemble(site: Path) -> str:
    """Return the one document."""
    root = (site / "index.html").read_text(encoding="utf-8")
    contents, chapters = [], [("index.html", root)]
    for part, page, title in CHAPTER.findall(root):
        if part:
            contents.append(f"<li><strong>{part}</strong></li>")
        else:
            contents.append(f'<li><a href="#{name_of(page)}">{title}</a></li>')
            chapters.append((page, (site / page).read_text(encoding="utf-8")))
    bodies = [
        f'<div class="chapter" id="{name_of(page)}">{embed(text, page)}</div>'
        for page, text in chapters
    ]
    found = re.search(r"<title>([^<]+)</title>", root)
    title = html.unescape(found[1]) if found else ""
    return (
        '<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>"
        '<link rel="stylesheet" href="_static/vendor/katex/katex.min.css">'
        '<link rel="stylesheet" href="_static/fonts.css">'
        f'<link rel="stylesheet" href="_static/book.css"><style>{STYLE}</style></head><body>'
        f'<div class="cover"><h1>{title}</h1></div>'
        f'<ul class="contents" style="list-style: none">{"".join(contents)}</ul>'
        f"<main><article>{''.join(bodies)}</article></main></body></html>"
    )


def main(build: Path) -> None:
    """Print the book and say where it is."""
    document = build / "html/whole-book.html"
    document.write_text(assemble(build / "html"), encoding="utf-8")
    target = build / "the-shape-of-robustness.pdf"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page()
        page.goto(document.as_uri(), wait_until="load", timeout=120_000)
        page.evaluate("document.fonts.ready")
        page.pdf(
            path=target,
            prefer_css_page_size=True,
            print_background=True,
            tagged=True,
            outline=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
        )
        browser.close()
    document.unlink()
    print(f"The book as a PDF: {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() / "_build")
