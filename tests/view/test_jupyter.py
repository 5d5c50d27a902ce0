"""In a real JupyterLab, driven by clicks: the widget asks its kernel, a trace shows itself, and nothing leaves this machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from view._chromium import chromium, picture
from view._jupyter import jupyterlab, notebook

pytestmark = pytest.mark.slow
ABOUT = (3, 8)  # the cell that is clicked: token, point
CELLS = (
    'import json\nimport mainstem as ms\n\nmodel = ms.load("default")\nms.widget(model, "The capital of France is")',
    'trace = model.trace("The capital of France is")\ntrace',
    "trace.scores().chart()",
    f"""top = int(trace.lens().values.tokens[{ABOUT[1]}, 0, {ABOUT[0]}])
numbers = {{}}
for level in ("write", "head", "neuron"):
    found = trace.scores(top, level, positions={ABOUT[0]})
    numbers[level] = dict(found.frame().select("component", "value").iter_rows())
    numbers[level + " whole"] = float(found.whole)
print(json.dumps(numbers))""",
)


class Notebook:
    """A notebook that was run. Parameters: `page`; `asked`, every address that its page asked for; `said`, on its console."""

    def __init__(self, page: Any, asked: list[str], said: list[str]) -> None:
        self.page, self.asked, self.said = page, asked, said

    def cell(self, number: int) -> Any:
        """What a cell shows, scrolled to. Parameters: `number`."""
        cell = self.page.locator(".jp-CodeCell").nth(number)
        cell.scroll_into_view_if_needed()
        return cell.locator(".jp-OutputArea-output").last


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: Any, browser: Any) -> Iterator[Notebook]:
    folder, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    notebook(folder / "look.ipynb", *CELLS)
    with jupyterlab(folder, home) as address:
        context = browser.new_context(viewport={"width": 1280, "height": 1100})
        page = context.new_page()
        page.set_default_timeout(60_000)
        found = Notebook(page, [], [])
        listening(found)
        page.goto(address.replace("NAME", "look.ipynb"))
        run_all(page)
        yield found
        context.close()


def listening(found: Notebook) -> None:
    found.page.on("request", lambda request: found.asked.append(request.url))
    found.page.on("websocket", lambda socket: found.asked.append(socket.url))
    found.page.on("console", lambda said: found.said.append(said.text) if said.type == "error" else None)
    found.page.on("pageerror", lambda error: found.said.append(str(error)))


def run_all(page: Any) -> None:
    """Runs a notebook as its menu does, and waits for its last cell."""
    page.locator(".jp-NotebookPanel .jp-CodeCell").first.wait_for()
    page.locator("#jp-main-statusbar", has_text="Python 3 (ipykernel) | Idle").wait_for()  # before that a run asks for a kernel
    page.locator(".lm-MenuBar-itemLabel", has_text="Run").click()
    page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
    page.locator(".jp-InputPrompt", has_text=f"[{len(CELLS)}]:").wait_for()


def rows(place: Any, below: str) -> dict[str, float]:
    """The bars once those of a part are there: component to value. Parameters: `place`; `below`, that part, empty for all writes."""
    place.locator(f"[data-part=parts][data-path='{below}']").wait_for()
    place.locator(".ms-page:not([data-waiting]), .ms-page:not([data-waiting]) *").first.wait_for()
    found = place.locator(".bars li[data-component]")
    return dict(found.evaluate_all("rows => rows.map(r => [r.dataset.component, +r.dataset.value])"))


def closes(place: Any, found: dict[str, float], whole: float) -> None:
    said = place.locator(".apart .closure")
    assert said.inner_text().startswith("✓")
    assert sum(found.values()) == pytest.approx(float(said.get_attribute("data-sum")), abs=1e-9) == pytest.approx(whole, abs=1e-4)


def test_the_widget_is_driven_by_clicks_and_says_what_python_says(ran: Notebook):
    numbers = json.loads(ran.cell(3).inner_text())
    widget = ran.cell(0)
    widget.locator(".ms-page[data-ready=true]").wait_for()
    widget.locator(f".cell[data-point='{ABOUT[1]}'][data-position='{ABOUT[0]}']").click()
    widget.locator(f".cell.chosen[data-position='{ABOUT[0]}']").wait_for()
    widget.locator("h2", has_text=f"after token {ABOUT[0]}").wait_for()
    writes = rows(widget, "")
    assert writes == pytest.approx(numbers["write"], abs=1e-5)
    closes(widget, writes, numbers["write whole"])
    picture(ran.page, "jupyter-widget")
    for label, level in (("L3.attn", "head"), ("L3.mlp", "neuron")):
        widget.locator(f".bars li[data-component='{label}']").click()
        parts = rows(widget, label)
        own = {name: value for name, value in numbers[level].items() if name in parts and name}
        assert len(own) >= 6 and own == pytest.approx({name: parts[name] for name in own}, abs=1e-5)
        closes(widget, parts, writes[label])
        widget.locator(".crumbs button", has_text="all writes").click()
        assert rows(widget, "") == writes


def test_keys_belong_to_the_widget_and_not_to_the_notebook(ran: Notebook):
    widget, page = ran.cell(0), ran.page
    widget.locator(".cell[data-point='12'][data-position='4']").click()
    widget.locator("h2", has_text="after token 4").wait_for()
    for key in (
        "ArrowLeft",
        "ArrowDown",
        "d",
        "d",
        "Enter",
    ):  # in a notebook: up and down, twice d deletes a cell, Enter edits it
        page.keyboard.press(key)
    widget.locator("h2", has_text="after token 3").wait_for()
    widget.locator(".cell.chosen[data-point='11'][data-position='3']").wait_for()
    widget.locator(".bars li:focus").wait_for()
    page.keyboard.press("Escape")
    widget.locator(".grid:focus").wait_for()
    assert page.locator(".jp-CodeCell").count() == len(CELLS)


def test_a_trace_shows_itself_in_a_frame_that_is_clicked(ran: Notebook):
    ran.cell(1)
    frame = ran.page.frame_locator(".jp-OutputArea iframe")
    frame.locator(".bars li[data-component='L3.mlp']").click()
    parts = rows(frame, "L3.mlp")
    closes(frame, parts, float(frame.locator(".apart .closure").get_attribute("data-whole")))
    assert any(".N" in name for name in parts)
    picture(ran.page, "jupyter-frame")


def test_a_chart_is_drawn_where_it_stands(ran: Notebook):
    ran.cell(2)
    drawn = ran.page.locator(".jp-CodeCell").nth(2).locator(".jp-OutputArea-output svg, .jp-OutputArea-output img").first
    drawn.wait_for()
    assert drawn.bounding_box()["height"] > 100


def test_nothing_left_this_machine_and_the_console_was_silent(ran: Notebook):
    ran.cell(0).locator(".grid").wait_for()
    hosts = {urlsplit(url).hostname for url in ran.asked if urlsplit(url).scheme not in ("data", "blob", "about")}
    assert hosts == {"127.0.0.1"}
    front = [url for url in ran.asked if "anywidget" in url]
    assert front and all("/lab/extensions/anywidget/" in url for url in front)
    assert not ran.said


def test_a_request_that_leaves_would_be_seen(tmp_path: Path, browser: Any):
    (tmp_path / "page.html").write_text('<img src="http://elsewhere.test/x.png">', encoding="utf-8")
    page = browser.new_page()
    found = Notebook(page, [], [])
    listening(found)
    page.goto((tmp_path / "page.html").as_uri())
    assert "elsewhere.test" in {urlsplit(url).hostname for url in found.asked} and found.said
    page.close()
