"""One Chromium for the browser tests of a worker."""

from collections.abc import Iterator

import pytest
from chromium import FLAGS, chromium
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start the browser that `tools/chromium.py` finds or installs."""
    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield started
        started.close()
