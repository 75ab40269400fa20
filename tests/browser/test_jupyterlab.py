"""Notebooks in a real JupyterLab: they run, their figures and labs answer, in both of its themes.

Minutes, so it runs where CURVLAB_FULL is set (as `make full` does)."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from controls import press
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ("evidence/benchmark", "first-order/jacobian", "second-order/hessian-norm")
OPEN = "globalThis.jupyterapp?.shell.currentWidget?.content?.widgets?.length > 0"
RUN = """async () => {
  const notebook = jupyterapp.shell.currentWidget;
  await notebook.context.sessionContext.ready;
  await jupyterapp.commands.execute("notebook:run-all-cells");
  return notebook.content.widgets.every((cell) => cell.model.type !== "code" || cell.model.trusted);
}"""
THEME = "jupyterapp.commands.execute('apputils:change-theme', {{ theme: 'JupyterLab {}' }})"
SHOW = """async (place) => {
  const book = jupyterapp.shell.currentWidget.content;
  book.activeCellIndex = place;
  await book.scrollToItem(place, "start");
}"""
TROUBLE = """() => jupyterapp.shell.currentWidget.content.widgets.flatMap((cell) =>
  (cell.model.outputs?.toJSON() ?? []).filter((output) =>
    output.output_type === "error" || output.name === "stderr"))"""
INK = "(e) => getComputedStyle(e).color"

pytestmark = pytest.mark.skipif(
    not os.environ.get("CURVLAB_FULL"), reason="set CURVLAB_FULL=1 to open JupyterLab (minutes)"
)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve copies of the notebooks from a JupyterLab without anybody's settings."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for name in NOTEBOOKS:
        shutil.copy(ROOT / f"book/{name}.ipynb", folder / "notebooks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    variables = {
        **os.environ,
        **{f"JUPYTER_{place}": str(folder / place) for place in places},
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "CURVLAB_DATA": str(Path(os.environ.get("CURVLAB_DATA", ROOT / "data")).resolve()),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token="]
    command += [f"--ServerApp.root_dir={folder / 'notebooks'}"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None"]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + 120
        while not answers(base + "api"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "requires JupyterLab within two minutes."
            time.sleep(0.5)
        yield base
    finally:
        server.terminate()
        server.wait(timeout=60)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address):
            return True
    except OSError:
        return False


def live_cells(name: str) -> list[tuple[int, bool]]:
    """Return where a notebook has live figures, and whether each is a lab."""
    cells = nbformat.read(ROOT / f"book/{name}.ipynb", as_version=4).cells
    return [
        (place, "application/vnd.jupyter.widget-view+json" in output.data)
        for place, cell in enumerate(cells)
        for output in cell.get("outputs", [])
        if '<figure class="curvlab"' in output.get("data", {}).get("text/html", "")
    ]


def try_figure(page: Page, cell: Locator) -> None:
    """Move every control by keys; JupyterLab must leave them to it."""
    cell.locator(".cl-readout:not(:empty)").wait_for()
    fields = cell.locator(".cl-controls input, .cl-controls select")
    assert fields.count()
    for field in fields.all():
        seen = cell.locator(".curvlab-live").inner_html()
        press(page, field)
        assert field.evaluate("(e) => document.activeElement === e")
        if field.evaluate("(e) => e.options?.length !== 1"):
            assert cell.locator(".curvlab-live").inner_html() != seen


def try_lab(page: Page, cell: Locator) -> None:
    """Move every widget to its other end; the kernel must send another picture."""
    picture = cell.locator(".jupyter-widgets img")
    picture.wait_for()
    controls = cell.locator("select, .noUi-handle").all()
    assert controls
    for control in controls:
        seen = picture.get_attribute("src")
        control.focus()
        at_start = "(e) => (e.selectedIndex ?? e.ariaValueNow - e.ariaValueMin) === 0"
        page.keyboard.press("End" if control.evaluate(at_start) else "Home")
        page.wait_for_function(
            "([e, seen]) => e.src !== seen", arg=[picture.element_handle(), seen], timeout=120_000
        )


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_answers(browser: Browser, lab: str, name: str) -> None:
    page = browser.new_page(viewport={"width": 1300, "height": 950})
    page.set_default_timeout(120_000)
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: said.append(str(e)))
    page.on(
        "request",
        lambda r: None if r.url.startswith((lab, "data:", "blob:")) else said.append(r.url),
    )
    page.goto(f"{lab}lab/tree/{name.split('/')[-1]}.ipynb?reset")
    page.wait_for_function(OPEN)
    places = live_cells(name)
    page.evaluate(SHOW, places[0][0])
    # Nobody has trusted the file yet: no script runs, and the picture stands in.
    page.locator("figure.curvlab > img").first.wait_for()
    assert page.locator("figure.curvlab[data-ready]").count() == 0
    assert page.evaluate(RUN)
    assert page.evaluate(TROUBLE) == []
    page.evaluate(THEME.format("Light"))
    for place, is_lab in places:
        page.evaluate(SHOW, place)
        cell = page.locator(f".jp-Cell[data-windowed-list-index='{place}']")
        (try_lab if is_lab else try_figure)(page, cell)
    page.evaluate(SHOW, places[0][0])
    readout = page.locator(".cl-readout").first
    light = readout.evaluate(INK)
    page.evaluate(THEME.format("Dark"))
    page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    assert readout.evaluate(INK) != light
    assert said == []
    page.close()
