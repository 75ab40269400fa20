"""Every live figure on every page of the built site: what it says, and that it moves."""

import functools
import http.server
import importlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from controls import press, settle
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build/html"))
MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"},
}
FIGURE = re.compile(r'<figure class="curvlab"')
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.glob("book/**/*.html")
    if FIGURE.search(path.read_text(encoding="utf-8"))
)
FIGURES = [
    (page, index)
    for page in PAGES
    for index in range(len(FIGURE.findall((SITE / page).read_text(encoding="utf-8"))))
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser: Browser, base: str) -> Iterator[Callable[[str, str], Page]]:
    """Open pages, and fail on a complaint of the browser or a request that leaves the host."""
    opened = []
    said: list[str] = []

    def start(address: str, mode: str) -> Page:
        page = browser.new_page(**MODES[mode])
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on(
            "request",
            lambda r: None if r.url.startswith((base, "data:")) else said.append(r.url),
        )
        page.goto(base + address)
        opened.append(page)
        return page

    yield start
    for page in opened:
        page.close()
    assert said == []


def test_the_site_shows_live_figures() -> None:
    assert SITE.is_dir(), f"requires a built site: run `make book`. Found none in {SITE}."
    assert FIGURES, f"requires pages with live figures. Found none in {SITE}."


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("address", "index"), FIGURES)
def test_it_says_what_python_computes_and_moves(visit, address, index, mode):
    page = visit(address, mode)
    figure = page.locator("figure.curvlab").nth(index)
    # A figure may wait inside a folded box.
    page.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    figure.evaluate("(e) => e.scrollIntoView()")
    readout = figure.locator(".cl-readout")
    readout.and_(page.locator(":not(:empty)")).wait_for()
    settle(page)
    name = figure.get_attribute("data-name")
    if name != "frames":
        key = figure.get_attribute("data-curvlab")
        held = page.evaluate("(key) => curvlab.states[key]", key)
        module = importlib.import_module(f"curvlab.interactive.{name.replace('-', '_')}")
        told = module.readout(held["state"], held["values"])
        assert " ".join(readout.inner_text().split()) == " ".join(told.split())
    fields = figure.locator(".cl-controls input, .cl-controls select")
    for i in range(fields.count()):
        field = fields.nth(i)
        before = figure.locator(".cl-links a").get_attribute("href")
        seen = figure.locator(".curvlab-live").inner_html()
        press(page, field)
        if field.evaluate("(e) => e.options?.length !== 1"):
            assert figure.locator(".cl-links a").get_attribute("href") != before
            assert figure.locator(".curvlab-live").inner_html() != seen
    link, sliders = figure.locator(".cl-links a"), figure.locator("input[type=range]")
    places = [link.get_attribute("href")]
    if sliders.count():
        # Both ends: one of them may be where the keyboard has left the slider.
        box, places = sliders.first.bounding_box(), []
        for share in (0.9, 0.1):
            page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
            settle(page)
            places.append(link.get_attribute("href"))
    else:
        figure.get_by_role("button", name="Reset").click()
        settle(page)
        places.append(link.get_attribute("href"))
    assert places[0] != places[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
