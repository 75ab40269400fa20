"""Live figures in a real browser: they react, they say what Python computes, they fetch nothing."""

import functools
import html
import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlencode

import matplotlib.pyplot as plt
import pytest
from bookfigures import to_files
from controls import press, settle
from figure_cases import CASES, Case
from playwright.sync_api import Browser, Page

from curvlab.interactive import labs, widget

AXE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"
MODES = {"light": (1000, "light"), "dark phone": (390, "dark")}
DRAGGED = ("local-landscape", "trust-region")
STYLE = """<style>
html { font-family: system-ui; --pst-color-background: #fff; --pst-color-text-base: #222832; }
html[data-theme=dark] { --pst-color-background: #14181e; --pst-color-text-base: #ced6dd; }
body { background: var(--pst-color-background); color: var(--pst-color-text-base); }
main { max-width: 800px; margin: auto; } </style>"""


def document(*bodies: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Figures</title>'
        '<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width">'
        f"{STYLE}</head><body><main><h1>Figures</h1>{''.join(bodies)}</main></body></html>"
    )


class Site(NamedTuple):
    browser: Browser
    base: str
    folder: Path


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="session")
def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("figures")
    for name, case in CASES.items():
        (folder / f"{name}.html").write_text(document(case().figure._repr_html_()))
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Site(browser, f"http://127.0.0.1:{server.server_port}/", folder)
    server.shutdown()
    server.server_close()


class Visit(NamedTuple):
    page: Page
    said: list[str]


@pytest.fixture
def visit(site: Site) -> Iterator[Any]:
    """Opens a page and fails on a console error, a page error or a request that leaves."""
    opened = []

    def start(address: str, mode: str = "light", root: str = site.base, **options: Any) -> Page:
        width, theme = MODES[mode]
        page = site.browser.new_page(viewport={"width": width, "height": 900}, **options)
        said: list[str] = []
        page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else 0)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on(
            "request",
            lambda r: (
                None if r.url.startswith((root.rsplit("/", 1)[0], "data:")) else said.append(r.url)
            ),
        )
        page.goto(root + address)
        page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        opened.append(Visit(page, said))
        return page

    yield start
    for page, said in opened:
        page.close()
        assert said == []


@functools.cache
def case(name: str) -> Case:
    return CASES[name]()


def readout(page: Page, index: int = 0) -> str:
    settle(page)
    return page.locator(".cl-readout").nth(index).inner_text().strip()


def drawing(page: Page) -> str:
    settle(page)
    return page.locator(".cl-stage").first.inner_html()


def text_of(module: ModuleType, state: Any, values: Any) -> str:
    return re.sub(r"\s+", " ", module.readout(state, values)).strip()


def query(values: Any) -> str:
    return urlencode({k: str(v).lower() if isinstance(v, bool) else v for k, v in values.items()})


@pytest.mark.parametrize("name", CASES)
def test_the_readout_is_the_one_python_computes(visit, name):
    figure, module, settings = case(name)
    page = visit(f"{name}.html")
    page.wait_for_selector(".cl-readout:not(:empty)")
    assert readout(page) == text_of(module, figure.state, figure.values)
    for setting in settings:
        values = {**figure.values, **setting}
        page.evaluate(f"location.hash = '#{name}?{query(values)}'")
        page.wait_for_timeout(60)
        assert readout(page) == text_of(module, figure.state, values)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_keyboard_and_pointer_move_it(visit, name, mode):
    page = visit(f"{name}.html", mode)
    page.wait_for_selector(".cl-stage svg")
    inputs = page.locator(".cl-controls input, .cl-controls select")
    for i in range(inputs.count()):
        page.get_by_role("button", name="Reset").click()
        field = inputs.nth(i)
        before = (drawing(page), readout(page))
        press(page, field)
        assert (drawing(page), readout(page)) != before, f"control {i} by keyboard"
        if field.get_attribute("type") == "range":
            assert field.get_attribute("aria-valuetext")
            before = field.input_value()
            box = field.bounding_box()
            for share in (0.85, 0.15):
                page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
            assert field.input_value() != before, f"control {i} by pointer"
    page.get_by_role("button", name="Reset").click()
    figure, module, _ = case(name)
    assert readout(page) == text_of(module, figure.state, figure.values)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [n for n in CASES if n in DRAGGED])
def test_a_handle_can_be_dragged(visit, name, mode):
    page = visit(f"{name}.html", mode)
    page.wait_for_selector(".cl-grab")
    before = readout(page)
    box = page.locator(".cl-grab").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 25, y - 20, steps=4)
    page.mouse.up()
    assert readout(page) != before


def test_a_ball_in_the_corner_stays_in_its_panel(visit):
    page = visit("local-landscape.html")
    page.evaluate("location.hash = '#local-landscape?x=1&y=0.8&radius=0.2&ball=linf'")
    page.wait_for_selector(".cl-grab")
    page.wait_for_timeout(60)
    settle(page)
    beyond = """() => {
      const corner = document.querySelector(".cl-grab").getBoundingClientRect();
      const [x, y] = [(corner.left + corner.right) / 2 + 20, (corner.top + corner.bottom) / 2];
      const rows = Array.from({ length: 200 }, (_, i) => document.elementFromPoint(x, y - 30 + i));
      return rows.filter((e) => e?.tagName === "path").length;
    }"""
    assert page.evaluate(beyond) == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_digit_can_be_drawn_by_pointer_and_by_keys(visit, mode):
    page = visit("digit-curvature.html", mode)
    page.wait_for_selector(".cl-stage svg")
    pad = page.get_by_role("application")
    assert not pad.is_visible()
    page.get_by_label("Digit", exact=True).select_option("drawn")
    empty = readout(page)
    assert empty.startswith("Your drawing, taken as a ")
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 140, steps=6)
    page.mouse.up()
    drawn = readout(page)
    assert drawn != empty
    pad.focus()
    page.keyboard.press("Delete")
    assert readout(page) == empty
    page.keyboard.press("Space")
    for _ in range(6):
        page.keyboard.press("ArrowLeft")
    assert readout(page) not in (empty, drawn)


OVERLAPS = """() => {
  const bad = [];
  for (const svg of document.querySelectorAll(".cl-stage svg")) {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((t) => t.textContent.trim());
    const boxes = texts.map((t) => t.getBoundingClientRect());
    boxes.forEach((a, i) => {
      if (a.left < frame.left - 1 || a.right > frame.right + 1 || a.top < frame.top - 1 ||
          a.bottom > frame.bottom + 1) bad.push(`clipped: ${texts[i].textContent}`);
      boxes.slice(0, i).forEach((b, j) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        const both = `${texts[i].textContent} / ${texts[j].textContent}`;
        if (wide > 2 && high > 4) bad.push(`overlap: ${both}`);
      });
    });
  }
  return bad;
}"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_nothing_is_clipped_or_overlaps(visit, name, mode):
    figure, _, settings = case(name)
    page = visit(f"{name}.html", mode)
    for setting in [{}, *settings]:
        page.evaluate(f"location.hash = '#{name}?{query({**figure.values, **setting})}'")
        page.wait_for_selector(".cl-stage svg")
        page.wait_for_timeout(60)
        settle(page)
        assert page.evaluate(OVERLAPS) == [], setting
        assert page.evaluate("document.documentElement.scrollWidth") <= MODES[mode][0]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_axe_finds_nothing(visit, name, mode):
    assert AXE.exists(), "requires axe-core: run `make test`, which installs it."
    page = visit(f"{name}.html", mode)
    page.wait_for_selector(".cl-stage svg")
    page.add_script_tag(path=AXE)
    found = page.evaluate("axe.run('figure', { resultTypes: ['violations'] })")["violations"]
    nodes = [(v["id"], node["html"][:120]) for v in found for node in v["nodes"]]
    assert nodes == []


def test_the_same_figure_twice_and_another_beside_it(visit, site):
    first, second = list(CASES)[:2]
    output = case(first).figure._repr_html_()
    body = (output, output, case(second).figure._repr_html_())
    (site.folder / "three.html").write_text(document(*body))
    page = visit("three.html")
    page.mouse.wheel(0, 600)
    page.wait_for_function("document.querySelectorAll('.cl-stage svg').length === 3")
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))
    before = [readout(page, i) for i in range(3)]
    assert before[0] == before[1]
    page.locator("figure.curvlab").nth(1).locator("input[type=range]").first.focus()
    page.keyboard.press("End")
    after = [readout(page, i) for i in range(3)]
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert after[2] == before[2]


def test_a_hidden_figure_is_drawn_when_it_shows(visit, site):
    name = next(iter(CASES))
    hidden = f'<div id="tab" hidden>{case(name).figure._repr_html_()}</div>'
    (site.folder / "hidden.html").write_text(document(hidden))
    page = visit("hidden.html")
    page.wait_for_timeout(200)
    assert page.locator(".cl-stage svg").count() == 0
    page.evaluate("document.getElementById('tab').hidden = false")
    page.wait_for_selector(".cl-stage svg")
    assert readout(page)


def test_the_address_opens_a_setting_and_the_link_shares_it(visit):
    name = next(iter(CASES))
    figure, module, settings = case(name)
    values = {**figure.values, **settings[0]}
    page = visit(f"{name}.html#{name}?{query(values)}")
    page.wait_for_selector(".cl-readout:not(:empty)")
    assert readout(page) == text_of(module, figure.state, values)
    assert page.locator(".cl-links a").get_attribute("href") == f"#{name}?{query(values)}"


def test_nonsense_in_the_address_is_ignored(visit):
    name = next(iter(CASES))
    figure, module, _ = case(name)
    page = visit(f"{name}.html#{name}?steps=many&start=%3Cb%3E&other=1")
    page.wait_for_selector(".cl-readout:not(:empty)")
    assert readout(page) == text_of(module, figure.state, figure.values)


def test_print_shows_the_picture(visit):
    page = visit(f"{next(iter(CASES))}.html")
    page.wait_for_selector(".cl-stage svg")
    assert not page.locator("figure.curvlab > img").is_visible()
    page.emulate_media(media="print")
    assert page.locator("figure.curvlab > img").is_visible()
    assert not page.locator(".curvlab-live").is_visible()


@pytest.mark.parametrize("name", CASES)
def test_it_runs_in_a_frame_of_no_origin(visit, site, name):
    """As Colab shows an output: apart from the notebook, with nothing but what it carries."""
    figure, module, _ = case(name)
    held = html.escape(document(figure._repr_html_()))
    frame = f'<iframe title="output" sandbox="allow-scripts" srcdoc="{held}" height="900"></iframe>'
    (site.folder / f"{name}-frame.html").write_text(document(frame))
    page = visit(f"{name}-frame.html")
    said = page.frame_locator("iframe").locator(".cl-readout:not(:empty)")
    said.wait_for()
    assert said.inner_text().strip() == text_of(module, figure.state, figure.values)


def test_without_scripts_the_picture_shows(visit, site):
    context = site.browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.base + f"{next(iter(CASES))}.html")
    assert page.locator("figure.curvlab > img").is_visible()
    assert page.locator("figure.curvlab > img").get_attribute("alt")
    context.close()


def test_moved_to_files_they_work_from_a_folder(visit, site):
    figure, module, _ = case("krylov-stepper")
    lab = labs.live(line, slope=labs.Slider("slope", 0.0, 1.0, frames=3), alt="A line that rises.")
    folder = site.folder / "moved"
    folder.mkdir()
    held = document(figure._repr_html_(), lab.frames._repr_html_())
    (folder / "page.html").write_text(to_files(held, folder, ""))
    assert "data:image" not in (folder / "page.html").read_text()
    page = visit("", root=folder.as_uri() + "/page.html")
    page.mouse.wheel(0, 800)
    page.wait_for_function("document.querySelectorAll('.cl-readout:not(:empty)').length === 2")
    assert readout(page) == text_of(module, figure.state, figure.values)
    assert readout(page, 1) == "slope: 0. Computed on the CPU."
    slider = page.locator("figure.curvlab").nth(1).locator("input[type=range]")
    slider.focus()
    page.keyboard.press("End")
    assert readout(page, 1) == "slope: 1.00. Computed on the CPU."
    shown = page.locator("figure.curvlab").nth(1).locator(".cl-stage img")
    assert shown.get_attribute("alt") == "A line that rises. slope: 1.00."
    assert shown.evaluate("(i) => i.decode().then(() => i.naturalWidth)") > 0


def line(slope, device):
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.plot([0, 1], [0, slope])
    return figure


def test_the_same_module_runs_as_an_anywidget_front_end(visit, site):
    figure, module, _ = case("krylov-stepper")
    live = widget(figure)
    (site.folder / "bundle.js").write_text(live._esm)
    held = json.dumps({"state": live.state, "values": live.values})
    script = f"""<div id="el"></div><script type="module">
        import front from "./bundle.js";
        const held = {held};
        const model = {{ get: (k) => held[k], set: (k, v) => {{ held[k] = v; }},
          save_changes: () => {{ globalThis.saved = held.values; }}, on: () => {{}} }};
        front.render({{ model, el: document.getElementById("el") }});</script>"""
    (site.folder / "widget.html").write_text(document(script))
    page = visit("widget.html")
    page.wait_for_selector(".cl-readout:not(:empty)")
    assert readout(page) == text_of(module, figure.state, figure.values)
    page.locator("input[type=range]").first.focus()
    page.keyboard.press("Home")
    assert page.evaluate("saved.steps") == 1


@pytest.mark.parametrize("name", CASES)
def test_names_follow_the_state(visit, name):
    page = visit(f"{name}.html")
    page.wait_for_selector(".cl-stage svg")
    label = page.locator(".cl-stage svg[role=img]").first
    assert label.get_attribute("aria-label").endswith(readout(page))
    for field in page.locator(".cl-controls input, .cl-controls select").all():
        assert page.locator(f"label[for='{field.get_attribute('id')}']").inner_text().strip()
