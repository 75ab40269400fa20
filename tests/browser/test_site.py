"""The built site in a real browser: light, fast to see, readable by everybody, and on its own."""

import functools
import gzip
import http.server
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Response

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(os.environ.get("BOOK_SITE", ROOT / "_build/html")).resolve()
AXE = ROOT / "node_modules/axe-core/axe.min.js"
FIRST_VIEW = 300_000
MODES = {
    "light": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for path in SITE.rglob("*.html")
    if "_static" not in path.relative_to(SITE).parts
)
CHAPTERS = [page for page in PAGES if (ROOT / page).with_suffix(".ipynb").exists()]

each_page = pytest.mark.parametrize("page", PAGES)
each_mode = pytest.mark.parametrize("mode", MODES)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that keeps its log to itself."""

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    """Serve the built site."""
    handler = functools.partial(Quiet, directory=str(SITE))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


class Visit(NamedTuple):
    """An open page and what went wrong on it."""

    page: Page
    complaints: list[str]
    responses: list[Response]


Open = Callable[..., Visit]


@pytest.fixture
def visit(browser: Browser, base: str) -> Iterator[Open]:
    """Open pages; afterwards fail on any complaint of the browser's."""
    visits: list[Visit] = []

    def start(address: str, mode: str = "light", root: str = base, **options: Any) -> Visit:
        page = browser.new_page(**MODES[mode], **options)
        new = Visit(page, [], [])

        def leaves(request: Request) -> None:
            if not request.url.startswith((root, "data:", "blob:")):
                new.complaints.append(f"request to {request.url}")

        def failed(response: Response) -> None:
            new.responses.append(response)
            if response.status >= 400:
                new.complaints.append(f"{response.status} for {response.url}")

        def said(message: Any) -> None:
            if message.type in ("error", "warning"):
                new.complaints.append(f"{message.type}: {message.text}")

        page.on("request", leaves)
        page.on("response", failed)
        page.on("console", said)
        page.on("pageerror", lambda error: new.complaints.append(str(error)))
        page.goto(root + address, wait_until="networkidle")
        visits.append(new)
        return new

    yield start
    complaints = [complaint for visited in visits for complaint in visited.complaints]
    for visited in visits:
        visited.page.close()
    assert complaints == []


def test_the_site_is_built() -> None:
    assert "index.html" in PAGES, f"requires a built site: run `make book`. Found none in {SITE}."
    assert AXE.exists(), "requires axe-core: run `make test`, which installs it."


def test_a_script_that_the_page_did_not_bring_does_not_run(visit: Open) -> None:
    opened = visit("index.html")
    opened.page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.uninvited = true";
        document.body.append(script);
    }""")
    assert opened.page.evaluate("window.uninvited") is None
    assert len(opened.complaints) == 1
    assert "Content Security Policy" in opened.complaints.pop()


def lay_out(tab: Page) -> None:
    """Lay out the whole page, also what is far from the window, and pass by all of it, so slowly
    that the page sees what is near: on a busy machine a frame alone is over before it does."""
    tab.add_style_tag(content="article section { content-visibility: visible !important; }")
    tab.evaluate("""async () => {
        for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
            scrollTo({ top: y, behavior: "instant" });
            await new Promise((seen) => requestAnimationFrame(() => setTimeout(seen, 20)));
        }
        scrollTo({ top: 0, behavior: "instant" });
    }""")


@each_page
@each_mode
def test_page_is_quiet_fits_and_is_accessible(page: str, mode: str, visit: Open) -> None:
    """No sideways scroll, nothing for axe to find; the fixture sees requests and complaints."""
    tab = visit(page, mode).page
    width = MODES[mode]["viewport"]["width"]
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    lay_out(tab)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    if mode == "light":
        return  # the phone's page is light too, and each run of axe costs seconds
    tab.evaluate(AXE.read_text(encoding="utf-8"))  # a script tag would break the page's policy
    found = tab.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    told = [
        f"{rule['id']}: {rule['help']}: {node['html'][:200]}"
        for rule in found
        for node in rule["nodes"][:5]
    ]
    assert told == []


@each_page
def test_first_view_is_light(page: str, visit: Open) -> None:
    """What a window of 1280 x 900 loads without scrolling, compressed as a server would."""
    opened = visit(page)
    sizes = {}
    for response in opened.responses:
        if response.url.startswith("http"):
            content = response.body()
            packed = response.url.endswith((".png", ".woff2", ".jpeg"))
            sizes[response.url] = len(content) if packed else len(gzip.compress(content))
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) <= FIRST_VIEW, heaviest


JUMPS = """() => {
    globalThis.jumped = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) jumped += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
}"""


@pytest.mark.parametrize("page", ["index.html", *CHAPTERS[::6]])
def test_nothing_jumps_on_a_slow_phone(page: str, base: str, browser: Browser) -> None:
    """Fonts, pictures and the folded navigation come late and move nothing."""
    tab = browser.new_page(**MODES["phone"])
    tab.add_init_script(f"({JUMPS})()")
    network = tab.context.new_cdp_session(tab)
    network.send("Network.enable")
    slow = {"offline": False, "latency": 200, "downloadThroughput": 180_000}
    network.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": 84_000})
    tab.goto(base + page, wait_until="networkidle", timeout=60_000)
    assert tab.evaluate("jumped") < 0.05  # a formula or two may; the text does not
    tab.close()


@each_page
def test_pictures_have_a_size_before_they_come(page: str) -> None:
    text = (SITE / page).read_text(encoding="utf-8")
    assert [tag for tag in re.findall(r"<img\b[^>]*>", text) if " width=" not in tag] == []


@pytest.mark.skipif(not CHAPTERS, reason="no chapter in the table of contents yet")
@pytest.mark.parametrize("page", CHAPTERS[::4])
def test_labels_of_pictures_can_be_read_on_a_phone(page: str, visit: Open) -> None:
    """A picture keeps a width of 560 pixels; its box scrolls to its end, by keyboard too."""
    tab = visit(page, "phone").page
    tab.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
    lay_out(tab)
    tab.wait_for_timeout(300)
    boxes = tab.evaluate("""() => [...document.querySelectorAll("article img")]
        .filter((picture) => picture.checkVisibility()).map((picture) => {
            const box = picture.parentElement;
            box.scrollLeft = 1e4;
            const end = picture.getBoundingClientRect().right - box.getBoundingClientRect().right;
            return [picture.clientWidth, box.tabIndex, Math.abs(end) < 2];
        })""")
    assert boxes, f"requires pictures in {page}. Found none."
    assert boxes == [[560, 0, True]] * len(boxes)


def test_a_figure_that_comes_to_life_at_its_old_size_stays_within_reach(visit: Open) -> None:
    tab = visit("book/guarantees/certificates.html", "phone").page
    lay_out(tab)
    found = tab.evaluate("""async () => {
        const stage = document.querySelector(".curvlab .cl-stage:has(> img)");
        const living = stage.cloneNode(true);
        living.removeAttribute("tabindex");
        stage.replaceWith(living);
        await new Promise(requestAnimationFrame);
        return [stage.offsetHeight, living.offsetHeight > 0, living.tabIndex];
    }""")
    assert found == [0, True, 0]


@each_page
def test_page_without_scripts_can_be_read(page: str, visit: Open) -> None:
    tab = visit(page, java_script_enabled=False).page
    heading = tab.locator("main h1")
    assert heading.count() == 1
    assert heading.is_visible()
    assert tab.locator("nav.chapters a").first.is_visible()


@each_page
def test_page_works_from_a_folder(page: str, visit: Open) -> None:
    tab = visit(page, root=SITE.as_uri() + "/").page
    assert tab.evaluate("getComputedStyle(document.body).fontFamily").startswith('"Source Serif 4"')
    assert tab.evaluate("document.fonts.check('400 18px \"Source Serif 4\"')")
    broken = "[...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src)"
    assert tab.evaluate(broken) == []


@each_page
def test_head_describes_the_page(page: str) -> None:
    text = (SITE / page).read_text(encoding="utf-8")
    head = text[: text.index("</head>")]
    assert len(re.findall(r"<h1\b", text)) == 1
    assert head.count('name="viewport"') == 1
    assert 'rel="icon"' in head
    if page != "search.html":
        description = re.search(r'<meta name="description" content="([^"]*)"', head)
        assert description, "no description"
        assert 40 <= len(description[1]) <= 300


LINK = re.compile(r'<(?:a|link|img|script|source)\b[^>]*?\s(?:href|src|data-src)="([^"]+)"')


@functools.cache
def anchors(path: Path) -> frozenset[str]:
    """Return the ids of a page."""
    return frozenset(re.findall(r'\s(?:id|name)="([^"]+)"', path.read_text(encoding="utf-8")))


@each_page
def test_links_lead_somewhere(page: str) -> None:
    path = SITE / page
    live = set(re.findall(r'data-name="([^"]+)"', path.read_text(encoding="utf-8")))
    for address in LINK.findall(path.read_text(encoding="utf-8")):
        if urlsplit(address).scheme:
            continue
        target, fragment = urldefrag(unquote(address))
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), address
        # A live figure reads its setting from the fragment: `#name?setting=value`.
        if fragment and file.suffix == ".html" and fragment.split("?")[0] not in live:
            assert fragment in anchors(file), address


def test_theme_button_changes_and_keeps_the_colors(visit: Open) -> None:
    tab = visit("index.html").page
    button = tab.locator("button.mode")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.evaluate(ground)
    button.focus()
    tab.keyboard.press("Enter")  # automatic -> light
    tab.keyboard.press("Enter")  # light -> dark
    assert button.get_attribute("aria-label") == "Color theme: dark"
    assert tab.evaluate(ground) != light
    tab.reload()
    assert tab.evaluate("document.documentElement.dataset.theme") == "dark"


def test_search_finds_a_page(visit: Open) -> None:
    tab = visit("index.html").page
    tab.keyboard.press("/")
    tab.keyboard.type("notation")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a")
    assert "notation" in (tab.locator("#search-results li a").first.get_attribute("href") or "")


def statements() -> list[tuple[str, str, str]]:
    """Return label, name and page of every statement that has a name in plain words."""
    pattern = re.compile(r":{3,}\{prf:\w+\} ([A-Za-z -]+)\n:label: ([\w-]+)")
    found = []
    for page in CHAPTERS:
        notebook = json.loads((ROOT / page).with_suffix(".ipynb").read_text(encoding="utf-8"))
        text = "\n".join("".join(cell["source"]) + "\n" for cell in notebook["cells"])
        found += [(label, name.strip(), page) for name, label in pattern.findall(text)]
    return found


@pytest.mark.skipif(not CHAPTERS, reason="no chapter in the table of contents yet")
def test_search_finds_statements_by_name(visit: Open) -> None:
    assert statements()
    for label, name, page in statements()[:: max(1, len(statements()) // 10)]:
        tab = visit(f"search.html?q={name}").page
        tab.wait_for_selector("#search-results li a")
        links = tab.eval_on_selector_all(
            "#search-results li a", "links => links.map((a) => a.href)"
        )
        assert any(link.endswith(f"{page}#{label}") for link in links), (name, links)


@pytest.mark.skipif(not CHAPTERS, reason="no chapter in the table of contents yet")
@pytest.mark.parametrize("mode", ["light", "phone"])
def test_links_into_a_page_end_at_their_target(mode: str, visit: Open) -> None:
    """Also where the way there has not been laid out yet."""
    page = CHAPTERS[-1]
    labels = [label for label, _, place in statements() if place == page]
    assert len(labels) > 2
    for label in labels[-3:]:
        tab = visit(f"{page}#{label}", mode).page
        tab.evaluate("document.fonts.ready")
        top = f"document.getElementById({label!r}).getBoundingClientRect().top"
        assert 0 <= tab.evaluate(top) < 120


@pytest.mark.skipif(not CHAPTERS, reason="no chapter in the table of contents yet")
def test_solutions_fold_by_keyboard_and_open_by_link(visit: Open) -> None:
    tab = visit(CHAPTERS[0]).page
    solution = tab.locator("details.solution").first
    assert solution.get_attribute("open") is None
    solution.locator("summary").focus()
    tab.keyboard.press("Enter")
    assert solution.get_attribute("open") is not None
    label = solution.get_attribute("id")
    linked = visit(f"{CHAPTERS[0]}#{label}").page
    assert linked.locator("details.solution").first.get_attribute("open") is not None


@pytest.mark.skipif(not CHAPTERS, reason="no chapter in the table of contents yet")
def test_code_is_copied_whole(visit: Open) -> None:
    tab = visit(CHAPTERS[0]).page
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    cell = tab.locator(".cell_input").first
    cell.locator("button.copy").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('.cell_input .copy').textContent === 'Copied'")
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert copied == cell.locator("pre").inner_text().rstrip()
