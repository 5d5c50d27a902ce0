"""The prompt page driven by clicks and keys: every number on it is the one that Python gives."""

import csv
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import mainstem as ms
from mainstem.view import serve
from view._chromium import chromium, opened, picture, settled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
PROMPT = "The capital of France is"


@cache
def model() -> Any:
    return ms.load("default")


@cache
def trace() -> Any:
    return model().trace(PROMPT)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = ms.view(model(), browser=False)
    yield served.url
    served.stop()


def shown(page: Any) -> dict[str, float]:
    """The rows of the bars: component to value."""
    settled(page)
    rows = page.eval_on_selector_all(".bars li[data-component]", "rows => rows.map(r => [r.dataset.component, +r.dataset.value])")
    return dict(rows)


def closes(page: Any, rows: dict[str, float], whole: float) -> None:
    """The sum on the page is that of its rows, and that of Python."""
    said = page.locator(".apart .closure")
    numbers = {name: float(said.get_attribute(f"data-{name}")) for name in ("sum", "whole", "error")}
    assert sum(rows.values()) == pytest.approx(numbers["sum"], abs=1e-9)
    assert numbers["whole"] == pytest.approx(whole, abs=1e-6)
    assert numbers["sum"] == pytest.approx(whole, abs=1e-4)
    assert "closure error" in said.inner_text() and said.inner_text().startswith("✓")


def values(result: Any) -> dict[str, float]:
    return dict(result.frame().select("component", "value").iter_rows())


def agree(rows: dict[str, float], expected: dict[str, float]) -> None:
    assert rows and rows == pytest.approx({name: expected[name] for name in rows}, abs=1e-5)


def test_the_first_screen_is_the_lens_and_the_parts_of_its_last_cell(browser: Any, url: str):
    with opened(browser, url) as page:
        rows = shown(page)
        agree(rows, values(trace().scores()))
        assert set(rows) == set(values(trace().scores()))
        closes(page, rows, float(trace().scores().whole))
        lens = trace().lens().frame()
        for point, position, top in lens.select("point", "position", "top").iter_rows():
            index = trace().lens().points.index(point)
            cell = page.locator(f".cell[data-point='{index}'][data-position='{position}']")
            assert cell.inner_text().replace("·", " ") == top
        picture(page, "prompt-1280")


MEASURES = {
    "prob": ("probability", "top_logprob"),
    "rank": ("rank", "rank"),
    "entropy": ("entropy", "entropy"),
    "kl": ("KL", "kl"),
}


def test_the_colour_shows_what_is_chosen(browser: Any, url: str):
    lens = trace().lens().frame().filter(point="L3.resid_post").sort("position")
    with opened(browser, url) as page:
        settled(page)
        papers = set()
        for key, (name, column) in MEASURES.items():
            page.click(f"[data-colour={key}]")
            assert f"colour={key}" in page.url
            cell = page.locator(".cell[data-point='8'][data-position='4']")
            papers.add(cell.evaluate("node => node.style.background"))
            value = lens[column][4]
            said = {"prob": f"{100 * 2.718281828459045**value:.1f}%", "rank": str(value)}.get(key, f"{value:.2f}")
            assert cell.get_attribute("aria-label").endswith(f"{name} {said}")
        assert len(papers) == 4


def test_a_click_takes_that_cell_apart_and_goes_down_to_sources(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        page.click(".cell[data-point='8'][data-position='3']")
        top = int(trace().lens().values.tokens[8, 0, 3])
        scores = {level: trace().scores(top, level, positions=3) for level in ("write", "head", "edge")}
        agree(shown(page), values(scores["write"]))
        assert "up to here: L3.resid_post" in page.inner_text(".bars li.mark")
        page.click(".bars li[data-component='L3.attn']")
        heads = shown(page)
        agree(heads, values(scores["head"]))
        assert len([name for name in heads if ".H" in name]) == 6
        closes(page, heads, float(scores["write"]["L3.attn"]))
        page.click(".bars li[data-component='L3.attn.H2']")
        sources = shown(page)
        agree(sources, values(scores["edge"]))
        closes(page, sources, float(scores["head"]["L3.attn.H2"]))
        assert page.locator(".bars li").first.inner_text().split()[0].isdigit()
        page.click(".crumbs button:has-text('L3.attn')")
        assert shown(page) == heads
        page.go_back()
        page.go_back()
        page.go_back()
        agree(shown(page), values(scores["write"]))


def test_neurons_have_their_words_and_what_switched_them_on(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        page.click(".bars li[data-component='L3.mlp']")
        settled(page)
        page.wait_for_selector(".bars li[data-component*='.N']")
        found = shown(page)
        neurons = {name: value for name, value in found.items() if ".N" in name}
        expected = values(trace().scores(level="neuron"))
        agree(neurons, expected)
        assert list(neurons) == sorted(neurons, key=lambda name: -abs(neurons[name]))
        closes(page, found, float(trace().scores()["L3.mlp"]))
        best = next(iter(neurons))
        said = page.locator(f".bars li[data-component='{best}'] .token").all_inner_texts()
        words = trace().words(best, 5, 5)
        assert [word.replace("·", " ") for word in said] == [word for word, _ in (*words.first, *words.last)]
        page.click(f".bars li[data-component='{best}'] .name")
        page.wait_for_selector("label:has-text('what switched it on')")
        parts = shown(page)
        agree(parts, values(trace().activation(best)))
        closes(page, parts, float(trace().activation(best).whole))
        page.select_option("select[aria-label=level]", "neuron")
        page.wait_for_selector(".bars li[data-component*='.N']")
        deeper = {name: value for name, value in shown(page).items() if name}
        agree(deeper, values(trace().activation(best, "neuron")))


def test_choices_and_the_address_that_is_sent_to_a_colleague(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        page.fill("input[aria-label=token]", " London")
        page.press("input[aria-label=token]", "Tab")
        settled(page)
        page.fill("input[aria-label='held against']", " Paris")
        page.press("input[aria-label='held against']", "Tab")
        page.wait_for_selector("h2:has-text('rather than')")
        target = ms.contrast(" London", " Paris")
        agree(shown(page), values(trace().scores(target)))
        page.select_option("select[aria-label=score]", "logprob_increase")
        page.wait_for_selector("select[aria-label='norm rule']:not([disabled])")
        agree(shown(page), values(trace().scores(target, by="logprob_increase")))
        page.select_option("select[aria-label='norm rule']", "final")
        page.wait_for_url("**norm=final**")
        rows = shown(page)
        agree(rows, values(trace().scores(target, by="logprob_increase", norm="final")))
        address = page.url
    with opened(browser, address) as colleague:
        assert shown(colleague) == rows
        assert colleague.input_value("input[aria-label=token]") == " London"


WAYS = [(by, path) for by in ("dla", "logprob_increase") for path in ("", "L3.attn", "L3.attn.H2", "L4.mlp")]


def test_every_score_closes_at_every_step(browser: Any, url: str):
    with opened(browser, url) as page:
        for by, path in (*WAYS, ("path", "L4.mlp"), ("prob_increase", "L3.attn")):
            page.evaluate(f"location.hash = '#prompt?by={by}&path={path}'")
            page.wait_for_selector(f"[data-part=parts][data-by='{by}'][data-path='{path}']")
            rows = shown(page)
            closes(page, rows, float(page.locator(".closure").get_attribute("data-whole")))


def test_by_keys_alone(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        page.focus(".grid")
        for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
            page.keyboard.press(key)
        assert "L4.resid_post after token 3" in page.inner_text(".said .where")
        page.keyboard.press("Enter")
        page.wait_for_url("**position=3**")
        settled(page)
        page.wait_for_selector(".bars li[data-component]:focus")
        while "L1.attn" not in page.evaluate("document.activeElement.dataset.component"):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_selector(".crumbs b:has-text('L1.attn')")
        page.wait_for_selector(".bars li[data-component='L1.attn.bias']")
        page.wait_for_selector(".bars li[data-component]:focus")
        page.keyboard.press("Escape")
        page.wait_for_selector(".crumbs b:has-text('all writes')")
        page.wait_for_selector(".bars li[data-component]:focus")
        page.keyboard.press("Escape")
        page.wait_for_selector(".grid:focus")
        page.keyboard.press("Escape")
        page.wait_for_selector("textarea:focus")


HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=document.title='owned'>",
    "a\u202eb\u2066c\u200bd 漢字 é",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_prompt_shows_as_itself(browser: Any, url: str, text: str):
    with opened(browser, url) as page:
        settled(page)
        page.fill("textarea", text)
        page.click("button.main")
        page.wait_for_url("**prompt=**")
        settled(page)
        assert page.title() != "owned"
        assert page.locator(".heads .token").count() > 1
        said = "".join(page.locator(".heads .token").all_inner_texts())
        assert "\u202e" not in said and page.locator(".grid img, .grid script").count() == 0
        shown(page)


def test_a_prompt_that_cannot_be_read_is_said(browser: Any, url: str):
    with opened(browser, f"{url}#prompt?target=xyzzy%20not%20one%20token") as page:
        settled(page)
        assert page.locator(".status.wrong").inner_text()
    with opened(browser, f"{url}#prompt?point=nowhere&position=99&by=nothing&colour=none&path=L9.attn") as page:
        settled(page)
        assert "nothing" in page.locator(".status.wrong").inner_text()


def saved(page: Any, click: str) -> bytes:
    with page.expect_download() as waits:
        page.click(click)
    return Path(waits.value.path()).read_bytes()


def test_tables_and_pictures_are_saved(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        assert saved(page, "[data-part=grid] .savers button:has-text('CSV')").decode() == trace().lens().frame().write_csv()
        assert saved(page, "[data-part=parts] .savers button:has-text('CSV')").decode() == trace().scores().frame().write_csv()
        for part in ("grid", "parts"):
            drawn = ElementTree.fromstring(saved(page, f"[data-part={part}] .savers button:has-text('SVG')"))
            texts = [node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")]
            assert any("Paris" in text for text in texts if text)
            assert saved(page, f"[data-part={part}] .savers button:has-text('PNG')").startswith(b"\x89PNG")


LONG = 2000


def long(asked: Any, turn: Any) -> Any:
    """A grid of 2,000 tokens and 60 points."""
    points, words = [f"L{i}.resid_post" for i in range(60)], [f" w{i}" for i in range(50)]
    table = [[(p * 7 + i) % 50 / 50 for i in range(LONG)] for p in range(60)]
    numbers = {name: table for name in ("prob", "rank", "entropy", "kl", "logprob")}
    top = [[(p + i) % 50 for i in range(LONG)] for p in range(60)]
    scores = [{"by": "dla", "name": "dla", "about": "", "unit": "logit", "norm": False}]
    about = {"model": "long", "tokens": [f" t{i}" for i in range(LONG)], "points": points, "words": words, "vocabulary": 50}
    return {**about, "top": top, "target": top[-1], "tops": None, "scores": scores, **numbers}


def apart(asked: Any, turn: Any) -> Any:
    row = {"component": "L0.mlp", "kind": "mlp", "layer": 0, "value": float(asked["position"]), "into": None}
    closure = {"sum": row["value"], "whole": row["value"], "error": 0.0, "bound": 0.0}
    return {"rows": [row], **closure, "choices": {"level": "write"}, "token": " w", "against": None, "points": {}}


def test_two_thousand_tokens_draw_only_what_is_seen(browser: Any):
    answers = {
        "prompt.open": long,
        "prompt.parts": apart,
        "prompt.cell": lambda asked, turn: {"tops": [{"id": 1, "token": asked["point"], "prob": 0.5}]},
    }
    served = serve(answers, {"model": "long", "pages": ["prompt"], "prompt": "x"}, browser=False)
    try:
        with opened(browser, served.url) as page:
            settled(page)
            assert page.locator(".cell.chosen").get_attribute("data-position") == "1999"
            assert page.evaluate("document.querySelector('.sheet').offsetWidth") > LONG * 80
            for left in (0, 30_000, 84 * 1000, 10**9):
                page.evaluate(f"document.querySelector('.grid').scrollLeft = {left}")
                page.wait_for_timeout(60)
                seen = page.evaluate(
                    "(() => { const g = document.querySelector('.grid'), b = g.getBoundingClientRect();"
                    " return document.elementFromPoint(b.left + b.width / 2, b.top + 100).className })()"
                )
                assert "cell" in seen
                assert page.locator(".cell").count() < 1200
            page.focus(".grid")
            page.keyboard.press("Home")
            page.keyboard.press("ArrowRight")
            page.keyboard.press("Enter")
            page.wait_for_url("**position=1**")
            assert shown(page) == {"L0.mlp": 1.0}
            assert page.locator(".said .guesses .token").first.inner_text() == "L59.resid_post"
    finally:
        served.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Any, url: str, scheme: str):
    with opened(browser, url, 390, 800, color_scheme=scheme) as page:
        shown(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click(".bars li[data-component='L3.mlp']")
        page.wait_for_selector(".bars li[data-component*='.N']")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        picture(page, f"prompt-390-{scheme}")


def test_terms_are_explained_where_they_stand(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        term = page.locator(".closure .term")
        assert not term.locator(".tip").is_visible()
        term.focus()
        assert "sum of the parts" in term.locator(".tip").inner_text()
        box = term.locator(".tip").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 1280
        term.locator("a").click()
        page.wait_for_selector("dl.terms")


def test_the_file_works_with_the_network_off(browser: Any, tmp_path: Any):
    path = trace().html(tmp_path / "trace.html")
    asked: list[str] = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("main[data-ready=true]")
    page.wait_for_selector(".bars li")
    agree(shown(page), values(trace().scores()))
    page.click(".bars li[data-component='L3.mlp']")
    page.wait_for_selector(".bars li[data-component*='.N']")
    rows = shown(page)
    agree({name: value for name, value in rows.items() if ".N" in name}, values(trace().scores(level="neuron")))
    closes(page, rows, float(trace().scores()["L3.mlp"]))
    page.click(".bars li[data-component*='.N'] .name")
    page.wait_for_selector(".crumbs b:has-text('.N')")
    page.click(".cell[data-point='8'][data-position='1']")
    page.wait_for_selector(".status:has-text('does not hold')")
    assert "capital" in page.inner_text(".said .where")
    table = list(csv.DictReader(io.StringIO(saved(page, "[data-part=grid] .savers button:has-text('CSV')").decode())))
    lens = trace().lens().frame()
    assert [row["top"] for row in table] == lens["top"].to_list()
    assert [float(row["kl"]) for row in table] == pytest.approx(lens["kl"].to_list(), rel=1e-5, abs=1e-9)
    assert asked == [path.as_uri()] and not said
    picture(page, "file-1280")
    assert not re.search(r"https?://(?!www\.w3\.org/)", path.read_text(encoding="utf-8"))
    context.close()
