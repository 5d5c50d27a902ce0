"""In a notebook: the frame that a trace shows itself in, and the widget with a kernel behind it."""

import json
from functools import cache
from html import unescape
from typing import Any

import pytest
import torch

import mainstem as ms
from view._chromium import chromium

PROMPT = "The capital of France is"


@cache
def trace() -> Any:
    return ms.load("default").trace(PROMPT)


def silent(page: Any) -> list[str]:
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def test_a_trace_shows_itself_in_a_frame(tmp_path: Any):
    bundle = trace()._repr_mimebundle_()
    assert bundle["text/plain"] == repr(trace())
    (tmp_path / "cell.html").write_text(f"<meta charset=utf-8><body>{bundle['text/html']}", encoding="utf-8")
    with chromium() as browser:
        page = browser.new_page()
        said = silent(page)
        page.goto((tmp_path / "cell.html").as_uri())
        inside = page.frame_locator("iframe")
        inside.locator(".bars li[data-component='L3.mlp']").click()
        inside.locator(".bars li[data-component*='.N']").first.wait_for()
        whole = inside.locator(".apart .closure").get_attribute("data-whole")
        assert float(whole) == pytest.approx(float(trace().scores()["L3.mlp"]), abs=1e-5)
        assert not said


def test_what_has_no_positions_shows_its_parts_without_the_grid():
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "image_size": 4,
        "patch_size": 2,
    }
    model = ms.load(ViTForImageClassification(ViTConfig(**sizes)).eval())
    found = unescape(model.trace(torch.randn(1, 3, 4, 4))._repr_mimebundle_()["text/html"])
    assert '"look":null' in found and '"writes":[{' in found


PAGE = """<meta charset=utf-8><body><div id=cell></div><script type=module>
import look from "./widget.js";
const hears = [];
window.say = (line) => hears.forEach((does) => does(line));
const model = { get: () => (OPENING), send: (content) => window.kernel(JSON.stringify(content)), on: (_, does) => hears.push(does), off: () => {} };
look.render({ model, el: document.querySelector("#cell") });
</script>"""


def test_the_widget_is_answered_by_its_kernel():
    pytest.importorskip("anywidget")
    made = ms.widget("default", PROMPT)
    assert "https://" not in made._esm and made.opening["prompt"] == PROMPT
    with chromium() as browser:
        context = browser.new_context()
        page = context.new_page()
        said = silent(page)
        lines: list[Any] = []
        made.send = lines.append
        page.expose_function("kernel", lambda text: made._msg_callbacks(made, json.loads(text), []))
        page.route("**/*", lambda route: serve(route, made))
        page.goto("http://notebook.test/")
        numbers: dict[str, float] = {}
        for _ in range(400):
            page.wait_for_timeout(50)
            while lines:
                page.evaluate("line => window.say(line)", lines.pop(0))
            found = page.eval_on_selector_all(
                ".bars li[data-component]", "rows => rows.map(r => [r.dataset.component, +r.dataset.value])"
            )
            if numbers := dict(found):
                break
        expected = dict(trace().scores().frame().select("component", "value").iter_rows())
        assert numbers == pytest.approx(expected, abs=1e-5)
        assert not said
        context.close()


def serve(route: Any, made: Any) -> None:
    """The notebook's page and the widget's module; nothing else is there."""
    if route.request.url.endswith("/widget.js"):
        route.fulfill(body=made._esm, content_type="text/javascript")
    elif route.request.url == "http://notebook.test/":
        route.fulfill(body=PAGE.replace("OPENING", json.dumps(made.opening)), content_type="text/html")
    else:
        route.abort()
