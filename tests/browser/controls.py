"""How a reader moves a figure's native controls by keys."""

from playwright.sync_api import Locator, Page


def settle(page: Page) -> None:
    """Wait until what was asked for is drawn."""
    page.evaluate("new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


def press(page: Page, field: Locator) -> None:
    """Move one control by the key that changes it: a step, the next option, a tick."""
    field.focus()
    kind = field.evaluate("(e) => e.type")
    if kind == "checkbox":
        page.keyboard.press("Space")
    elif kind == "select-one":
        last = field.evaluate("(e) => e.selectedIndex === e.options.length - 1")
        page.keyboard.press("ArrowUp" if last else "ArrowDown")
    else:
        at_end = field.evaluate("(e) => e.value === e.max")
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
    settle(page)
