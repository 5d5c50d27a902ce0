"""A browser that times pages by their own clocks."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# When the parts of a prediction first stand on the page, by a clock that starts with the navigation.
WATCH = """new MutationObserver((_, watch) => {
  if (!document.querySelector(".bars li[data-component]")) return;
  watch.disconnect();
  requestAnimationFrame(() => setTimeout(() => { window.partsShown = performance.now(); }));
}).observe(document, {childList: true, subtree: true});"""
FIRST = "performance.getEntriesByName('first-contentful-paint')[0]"
# Milliseconds from a click until something is on the page and the frame with it is out.
CLICK = """([selector, wanted]) => new Promise((done) => {
  const start = performance.now();
  const look = () => new Function(`return ${wanted}`)() ? requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))) : setTimeout(look, 2);
  document.querySelector(selector).click();
  look();
})"""
# Milliseconds between frames while the grid is scrolled from its first column on, and the cells in the document at the end.
SCROLL = """([step, frames]) => new Promise((done) => {
  const grid = document.querySelector(".grid");
  const [took, end] = [[], grid.scrollWidth - grid.clientWidth];
  let last = null;
  const next = (now) => {
    if (last !== null) took.push(now - last);
    last = now;
    if (took.length === frames) return done({took, cells: document.querySelectorAll(".grid .cell").length});
    grid.scrollLeft = (took.length * step) % Math.max(end, 1);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""
# What is drawn: cells, bars, marks of pictures, pictures.
DRAWN = """document.querySelectorAll("[role=gridcell], li, td, canvas, img, svg rect, svg path, svg line, svg circle, svg text").length"""


class Worked:
    """CPU milliseconds of a page's main thread. Parameters: `page`."""

    def __init__(self, page: Any) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def now(self) -> float:
        """So far."""
        every = {one["name"]: one["value"] for one in self.session.send("Performance.getMetrics")["metrics"]}
        return 1000 * every["TaskDuration"]


@contextmanager
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise SystemExit("no browser: apt-get install chromium")
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield found
        finally:
            found.close()


@contextmanager
def opened(browser: Any, address: str, **how: Any) -> Iterator[Any]:
    """A page in a context of its own, so that nothing is cached. Parameters: `browser`; `address`; `how`, of the context."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=True, **how)
    page = context.new_page()
    page.set_default_timeout(600_000)
    page.add_init_script(WATCH)
    page.goto(address)
    try:
        yield page
    finally:
        context.close()


def paints(browser: Any, address: str) -> dict[str, float]:
    """Milliseconds from the navigation to the first paint, and to the parts. Parameters: `browser`; `address`."""
    with opened(browser, address) as page:
        page.wait_for_function(f"window.partsShown && {FIRST}")
        first = page.evaluate(f"{FIRST}.startTime")
        return {"first paint": first, "parts": max(first, page.evaluate("window.partsShown"))}


def drawn(browser: Any, address: str) -> tuple[int, int]:
    """How many marks a file draws with the network off, and how many requests it made for other things. Parameters: `browser`; `address`."""
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_timeout(3000)
    found = int(page.evaluate(DRAWN))
    context.close()
    return found, sum(url.startswith("http") for url in asked)
