"""How long the two heaviest live figures take to redraw after a move, in a real browser.

    python benchmarks/redraw.py

Prints the fastest, the median and the slowest of 40 redraws, in milliseconds; on a shared machine
trust the fastest. The aim is 50 ms on two cores.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/browser"), str(ROOT / "tools")]

from chromium import FLAGS, chromium  # noqa: E402
from figure_cases import CASES  # noqa: E402

FIGURES = {"local-landscape": "x", "digit-curvature": "distance"}

# The redraw that a control asks for is caught on its way to the next frame and timed.
MOVE = """(name) => {
  const slider = document.querySelector(`input[id$="-${name}"]`);
  const [low, high] = [Number(slider.min), Number(slider.max)];
  const times = [];
  for (let k = 1; k <= 40; k++) {
    let redraw;
    const before = window.requestAnimationFrame;
    window.requestAnimationFrame = (f) => { redraw = f; return 0; };
    slider.value = low + ((high - low) * k) / 41;
    slider.dispatchEvent(new Event("input"));
    window.requestAnimationFrame = before;
    const start = performance.now();
    redraw();
    document.body.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  return times.sort((a, b) => a - b);
}"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, control in FIGURES.items():
            path = Path(folder) / f"{name}.html"
            html = CASES[name]().figure._repr_html_()
            path.write_text(f"<!doctype html><meta charset=utf-8><body>{html}", encoding="utf-8")
            page = browser.new_page(viewport={"width": 1000, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_selector(".cl-stage svg")
            times = page.evaluate(MOVE, control)
            low, middle, high = times[0], times[20], times[-1]
            print(f"{name}: {low:.1f} ms fastest, {middle:.1f} median, {high:.1f} slowest")
        browser.close()


if __name__ == "__main__":
    main()
