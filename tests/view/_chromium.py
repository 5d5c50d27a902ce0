"""One browser and one server for the tests of a module, driven as a person would."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# The shell first: the same engine without the windows of a desktop, a third of the processor time for each page.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
MINUS = "\u2212"


def installed() -> str:
    """The browser's program; skips, with the reason, where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (apt-get install chromium-headless-shell)")
    return program


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; skips, with the reason, where there is none."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    program = installed()
    with sync.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, address: str, width: int = 1280, height: int = 900, **how: Any) -> Iterator[Any]:
    """A page at an address, ready; at the end its console must have been silent. Parameters: `browser`; `address`; `width`; `height`; `how`, of the context."""
    context = browser.new_context(viewport={"width": width, "height": height}, **how)
    page = context.new_page()
    page.set_default_timeout(20_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    page.wait_for_selector("main[data-ready=true]")
    try:
        yield page
        assert not said, said
    finally:
        context.close()


def settled(page: Any) -> None:
    """Waits until nothing is being worked out. Parameters: `page`."""
    page.wait_for_selector("main:not([data-waiting])")


def picture(page: Any, name: str) -> None:
    """Keeps a screenshot where $MAINSTEM_PICTURES says, to be looked at. Parameters: `page`; `name`."""
    if folder := os.environ.get("MAINSTEM_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
