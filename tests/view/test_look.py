"""The served page in a real browser: its frame."""

from collections.abc import Iterator
from typing import Any

import pytest

import mainstem as ms
from view._chromium import chromium, opened, settled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = ms.view(browser=False)
    yield served.url
    served.stop()


def test_the_first_screen_works_at_once(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        assert page.input_value("textarea") == "The capital of France is"


def test_pages_and_back(browser: Any, url: str):
    with opened(browser, url) as page:
        page.click("nav a:has-text('Terms')")
        page.wait_for_selector("dl.terms")
        assert page.url.endswith("#terms")
        page.go_back()
        page.wait_for_selector("textarea")


def test_colours_are_chosen_and_kept(browser: Any, url: str):
    paper = "getComputedStyle(document.querySelector('main')).backgroundColor"
    with opened(browser, url, color_scheme="light") as page:
        light = page.evaluate(paper)
        page.select_option(".theme select", "dark")
        dark = page.evaluate(paper)
        assert dark != light
        page.reload()
        page.wait_for_selector("main[data-ready=true]")
        assert page.evaluate(paper) == dark
    with opened(browser, url, color_scheme="dark") as page:
        assert page.evaluate(paper) == dark
