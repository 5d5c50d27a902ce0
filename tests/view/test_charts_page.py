"""The charts page and the map page driven by clicks, against the files and the model they show."""

import base64
import csv
import io
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import mainstem as ms
from mainstem.cli import app
from mainstem.core import InputError
from mainstem.view import plot
from view._chromium import MINUS, chromium, opened, picture, settled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("altair")
HACK = "<b>&x.csv"


@cache
def model() -> Any:
    return ms.load("tiny")


@cache
def measured() -> Any:
    return ms.measure(model(), [fact.prompt for fact in ms.facts("capital")[:8]], ["kurtosis", "rms"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    measured().save(place / "a.safetensors")
    measured().save(place / "b.safetensors")
    trace = model().trace("The capital of France is")
    trace.scores().save(place / "scores.parquet")
    trace.scores().chart().save(place / "chart.json")
    (place / "inner").mkdir()
    rows = [f"m{i},{10 ** (2 * j)},{3 - i - j / 3}" for i in range(2) for j in range(4)]
    (place / "inner" / HACK).write_text("\n".join(["model,parameters,loss", *rows]))
    (place / "picture.svg").write_text(_SVG)
    (place / "notes.txt").write_text("no chart")
    (place / "other.json").write_text("[1]")
    (place / "fetches.json").write_text(
        json.dumps({"$schema": "vega-lite", "data": {"url": "http://127.0.0.1:1/x.csv"}, "mark": "bar"})
    )
    return place


_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='60' height='20'><script>alert(1)</script><rect width='60' height='20'/></svg>"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    served = ms.view(model(), browser=False, run=folder)
    yield served.url
    served.stop()


def shown(page: Any) -> str:
    """The picture on the page, as text."""
    settled(page)
    kind, _, data = page.get_attribute(".drawn img", "src").partition(",")
    assert page.evaluate("() => { const i = document.querySelector('.drawn img'); return i.complete && i.naturalWidth > 0; }")
    return base64.b64decode(data).decode() if "svg" in kind else kind


def pick(page: Any, name: str) -> None:
    page.click(f".stored button:text-is({json.dumps(name)})")
    page.wait_for_selector(f"[data-part=chart] h2:text-is({json.dumps(name)})")


def test_a_folder_is_listed_and_its_first_is_drawn(browser: Any, url: str):
    assert url.endswith("#charts")
    with opened(browser, url) as page:
        page.wait_for_selector(".stored button[aria-pressed=true]")
        names = page.locator(".stored button").all_inner_texts()
        expected = [
            "a.safetensors",
            "b.safetensors",
            "chart.json",
            "fetches.json",
            f"inner/{HACK}",
            "picture.svg",
            "scores.parquet",
        ]
        assert names == expected
        assert "Kurtosis" in shown(page)
        page.select_option("[aria-label=measure]", "rms")
        page.wait_for_url("**measure=rms**")
        settled(page)
        frame = measured().frame("rms")
        assert page.inner_text("summary") == f"{len(frame)} rows"
        page.click("summary")
        cells = page.locator("table.frame tbody tr").nth(2).locator("td").all_inner_texts()
        assert float(cells[-1].replace(MINUS, "-")) == pytest.approx(frame["value"][2], abs=1e-5)
        page.select_option("[aria-label='beside it']", "b.safetensors")
        page.wait_for_url("**beside=b.safetensors**")
        assert "b.safetensors" in shown(page)
        picture(page, "charts-1280")


def test_tables_charts_and_pictures(browser: Any, url: str, tmp_path: Path):
    with opened(browser, url) as page:
        page.set_default_timeout(120_000)
        page.wait_for_selector(".drawn img")
        pick(page, "scores.parquet")
        svg = shown(page)
        assert all(name in svg for name in ("L0.attn", "L1.mlp", "entry.embed"))
        pick(page, f"inner/{HACK}")
        assert page.input_value("[aria-label=across]") == "parameters" and "log scale" in shown(page)
        assert page.input_value("[aria-label='a line for each']") == "model"
        for form in ("CSV", "SVG", "PNG", "HTML", "JSON"):
            with page.expect_download() as waited:
                page.click(f".savers button:text-is('{form}')")
            waited.value.save_as(tmp_path / f"x.{form.lower()}")
        rows = list(csv.DictReader(io.StringIO((tmp_path / "x.csv").read_text())))
        assert [float(r["loss"]) for r in rows[:2]] == [3.0, pytest.approx(3 - 1 / 3)]
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG") and "<svg" in (tmp_path / "x.svg").read_text()
        pick(page, "chart.json")
        assert "Score by layer" in shown(page)
        pick(page, "picture.svg")
        assert "<rect" in shown(page)
    with opened(browser, (tmp_path / "x.html").as_uri(), offline=True) as page:
        assert "loss" in page.inner_text("main")


def test_what_reaches_out_or_is_not_there_is_refused(browser: Any, url: str):
    with opened(browser, url) as page:
        page.wait_for_selector(".drawn img")
        page.click(".stored button:text-is('fetches.json')")
        page.wait_for_selector(".status.wrong")
        assert "takes data from an address" in page.inner_text(".status")
    for name in ("../secret.csv", "/etc/passwd", "notes.txt"):
        with opened(browser, f"{url}?name={name}") as page:
            page.wait_for_selector(".status.wrong")
            assert f"there is no '{name}' here" in page.inner_text(".status")


def test_a_run_is_shown_as_it_is_measured(browser: Any, tmp_path: Path):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(fact.prompt for fact in ms.facts("capital")[:8]))
    ms.scan(model(), texts, ["rms"], tmp_path / "run")
    served = ms.view(model(), browser=False, run=tmp_path / "run")
    try:
        with opened(browser, served.url) as page:
            page.wait_for_selector(".drawn img")
            assert page.locator(".stored button").first.inner_text() == "the run itself"
            assert "RMS" in shown(page) or "rms" in shown(page)
    finally:
        served.stop()


def test_the_map_has_the_models_own_numbers(browser: Any, url: str):
    run = model()._traced(None).run
    with opened(browser, url.replace("#charts", "#map")) as page:
        page.wait_for_selector("[data-part=stream]")
        rows = page.eval_on_selector_all(
            "tr[data-point]", "rows => rows.map(r => [r.dataset.point, +r.dataset.width, +r.dataset.size])"
        )
        assert [name for name, _, _ in rows] == [p.name for p in model().map.main.points]
        for t, (_, width, size) in enumerate(rows):
            assert width == model().map.main.width
            assert size == pytest.approx(float(run.point(t).norm(dim=-1).mean()), rel=1e-5)
        assert page.evaluate("() => { const i = document.querySelector('.diagram'); return i.complete && i.naturalWidth > 100; }")
        assert "narrows" in page.inner_text("[data-part=stream]")
        picture(page, "map-1280")


@pytest.mark.parametrize("name", ["map", "charts"])
def test_they_fit_a_phone_and_the_dark(browser: Any, url: str, name: str):
    with opened(browser, url.replace("#charts", f"#{name}"), 390, 900, color_scheme="dark") as page:
        page.wait_for_selector("[data-part=stream], .drawn img")
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        picture(page, f"{name}-390")


def test_plot_marks_zero_and_says_its_scale():
    rows = [{"a.b": i, "y": (-1) ** i * i, "c": "u"} for i in range(3)]
    spec = plot(rows, "a.b", "y", "c").to_dict()
    assert spec["layer"][0]["encoding"]["x"]["field"] == "a\\.b" and spec["layer"][1]["encoding"]["y"] == {"datum": 0}
    assert plot([{"n": "p", "v": 1.5}, {"n": "q", "v": -2}], "n", "v").to_dict()["layer"][0]["mark"]["type"] == "bar"
    with pytest.raises(InputError, match="no row"):
        plot([{"n": "p", "v": None}], "n", "v")


def test_the_command_line_takes_a_folder(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path):
    asked: list[Any] = []

    class Looked:
        url = "http://here"

        def wait(self) -> None: ...

    monkeypatch.setattr("mainstem.api.view", lambda *given: asked.append(given[1:]) or Looked())
    for call in ([str(folder)], [str(folder / "a.safetensors")], ["a prompt"], ["--data", str(tmp_path)]):
        assert CliRunner().invoke(app, ["view", "--model", "tiny", *call]).exit_code == 0
    runs = [folder, folder / "a.safetensors", None, None]
    assert [(a[0], a[4]) for a in asked] == [(None, runs[0]), (None, runs[1]), ("a prompt", None), (None, None)]
    assert asked[3][3] == tmp_path


@pytest.mark.parametrize(("name", "dark"), [("chart.json", True), ("picture.svg", False)])
def test_a_chart_is_dark_on_a_dark_page_and_a_picture_is_itself(browser: Any, url: str, name: str, dark: bool):
    with opened(browser, url, color_scheme="dark") as page:
        page.wait_for_selector(".stored button[aria-pressed=true]")
        pick(page, name)
        settled(page)
        image = Image.open(io.BytesIO(page.locator(".drawn").screenshot())).convert("L")
        assert (image.getpixel((2, image.height // 2)) < 60) == dark, "its paper"
