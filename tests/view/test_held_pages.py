"""The direction and the channel page as files, opened with the network off: their numbers are Python's, and what they do not hold they say."""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mainstem as ms
from mainstem.view import _held
from view._chromium import chromium, opened, picture

TEXTS = ["The capital of France is", "<script>alert(1)</script>\u202e né"]
POINTS = ["L2.resid_post", "L3.resid_post"]
COLOURS = ["red", "lime", "blue", "black", "white", "orange", "purple", "teal", "gray", "olive"]


@cache
def model() -> Any:
    return ms.load("default")


@cache
def images() -> Any:
    return ms.load("default-image")


@cache
def directions() -> list[ms.Direction]:
    return [model().direction(" Paris"), model().direction("L3.mlp.N7")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("held") / "direction.html"
    return ms.direction_page(place, model(), directions(), TEXTS, POINTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("images")
    for i, colour in enumerate(COLOURS):
        made = Image.new("RGB", (40, 32), colour)
        made.paste("yellow", (4 + i, 4, 20 + i, 20))
        made.save(place / f"{i}-{colour}.png")
    return place


@pytest.fixture(scope="module")
def channels(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Path:
    return ms.channel_page(tmp_path_factory.mktemp("held") / "channel.html", [7, 3], images(), folder, backs=2)


def coloured(page: Any) -> dict[tuple[int, int], float]:
    """The number of every coloured token."""
    rows = page.eval_on_selector_all(
        ".lit[data-value]", "rows => rows.map(r => [+r.dataset.prompt, +r.dataset.position, +r.dataset.value])"
    )
    return {(p, i): value for p, i, value in rows}


def along(vector: torch.Tensor, point: str, first: bool = False) -> dict[tuple[int, int], float]:
    one = ms.Direction(vector)
    rows = [one.along(model().trace(text), point)[0].tolist() for text in TEXTS]
    return {(p, i): v for p, row in enumerate(rows) for i, v in enumerate(row) if i or first}


def test_directions_points_and_first_positions_are_chosen(browser: Any, file: Path):
    with opened(browser, file.as_uri(), offline=True) as page:
        assert page.input_value("[aria-label='direction']") == directions()[0].name
        assert coloured(page) == pytest.approx(along(directions()[0].vector, POINTS[0]), rel=1e-5, abs=1e-6)
        for name in [one.name for one in directions()]:
            vector = next(one.vector for one in directions() if one.name == name)
            page.select_option("[aria-label='direction']", name)
            for point in POINTS:
                page.select_option("[aria-label=point]", point)
                for first in (True, False):
                    page.set_checked("[data-switch=first]", first)
                    assert coloured(page) == pytest.approx(along(vector, point, first), rel=1e-5, abs=1e-6)
        assert page.locator("[data-slider]").count() == 0


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("standardised", [False, True])
def test_principal_directions_are_mixed(browser: Any, file: Path, first: bool, standardised: bool):
    found = model().principal(TEXTS, POINTS[0], 30, standardised, first)
    with opened(browser, file.as_uri(), offline=True) as page:
        page.select_option("[aria-label='direction']", "")
        page.set_checked("[data-switch=standardised]", standardised)
        page.set_checked("[data-switch=first]", first)
        assert coloured(page) == pytest.approx(along(found[0].vector, POINTS[0], first), rel=1e-4, abs=1e-5)
        page.eval_on_selector(
            "[data-slider='2']",
            "s => { s.value = 0.6; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')); }",
        )
        mix = 0.8 * found[0].unit + 0.6 * found[1].unit
        assert coloured(page) == pytest.approx(along(mix, POINTS[0], first), rel=1e-3, abs=1e-3)
        assert "weights=" in page.url


def test_colours_tokens_and_their_next_words(browser: Any, file: Path):
    last = model().trace(TEXTS[0])
    best = last.logits[0, 3].log_softmax(-1).topk(1)
    with opened(browser, file.as_uri(), offline=True) as page:
        zero = page.inner_text(".legend")
        page.select_option("[aria-label=centre]", "range")
        assert page.inner_text(".legend") != zero and "from the lowest" in page.inner_text(".legend")
        page.click(".lit[data-prompt='0'][data-position='3']")
        assert page.get_attribute(".said", "data-at") == "0.3"
        row = page.inner_text(".guesses li >> nth=0")
        assert last.word(int(best.indices[0])).strip() in row and f"{100 * float(best.values[0].exp()):.1f}%" in row
        page.click(".lit[data-prompt='1'][data-position='2']")
        picture(page, "held-direction-1280")


def test_texts_show_as_themselves_and_what_is_not_held_is_said(browser: Any, file: Path):
    with opened(browser, file.as_uri(), 390, offline=True) as page:
        said = page.inner_text(".coloured >> nth=1")
        assert "<script>alert(1)</script>" in said and "\u202e" not in said
        assert "mainstem view" in page.inner_text("header")
        ends = page.eval_on_selector_all(
            "header, main section", "all => all.map(e => [e.getBoundingClientRect().top, e.getBoundingClientRect().bottom])"
        )
        assert all(below[0] - above[1] < 40 for above, below in pairwise(ends))
        assert page.locator("textarea, input[type=file], .shelf").count() == 0
        page.goto(f"{file.as_uri()}#direction?kept=nothing")
        page.reload()
        page.wait_for_selector(".status.wrong:has-text('this file does not hold that')")
        picture(page, "held-direction-390")


def test_the_file_fetches_nothing_and_runs_only_its_own_script(file: Path, channels: Path):
    for place in (file, channels):
        html = place.read_text(encoding="utf-8")
        assert "default-src 'none'" in html and "http://" not in html.replace("http://www.w3.org", "") and "https://" not in html
        assert "<script>alert" not in html and place.stat().st_size < 2**20


def test_images_classes_and_their_weights(browser: Any, channels: Path, folder: Path):
    files = sorted(folder.iterdir())
    trace = images().trace(files)
    flat = trace.point("L4.resid_post").flatten(2)
    weights = images().module.get_parameter("head.weight").detach()
    with opened(browser, channels.as_uri(), offline=True) as page:
        for channel in (7, 3):
            page.select_option("select[aria-label=channel]", str(channel))
            for by, values in (("peak", flat[:, channel].amax(1)), ("", flat[:, channel].mean(1))):
                page.select_option("[aria-label='images by']", by)
                order = values.argsort(descending=True)[:8].tolist()
                rows = page.eval_on_selector_all(
                    ".block[data-point='L4.resid_post'] .thumb",
                    "rows => rows.map(r => [r.title.split(':')[0], +r.dataset.value])",
                )
                assert [tuple(row) for row in rows] == [(files[i].name, pytest.approx(float(values[i]), rel=1e-5)) for i in order]
            assert page.eval_on_selector_all(".thumb img", "all => all.every(i => i.complete && i.naturalWidth > 0)")
            best = weights[:, channel].abs().topk(5).indices.tolist()
            shown = page.eval_on_selector_all(
                ".weights [data-class]", "rows => rows.map(r => [+r.dataset.class, +r.dataset.weight])"
            )
            assert [tuple(row) for row in shown] == [(i, pytest.approx(float(weights[i, channel]), rel=1e-5)) for i in best]
            page.click(f".weights [data-class='{best[1]}']")
            assert page.get_attribute("[data-part=spread]", "data-class") == trace.word(best[1])
            assert f"{weights.shape[1]} weights" in page.get_attribute("svg.histogram", "aria-label")
            page.click("button[aria-label='channel after']")
            assert page.input_value("select[aria-label=channel]") != str(channel)
        picture(page, "held-channel-1280")


def test_where_a_peak_comes_from_closes(browser: Any, channels: Path, folder: Path):
    files = sorted(folder.iterdir())
    flat = images().trace(files).point("L4.resid_post")[:, 7].flatten(1)
    order = flat.mean(1).argsort(descending=True).tolist()
    followed = {*order[:2], *flat.amax(1).topk(2).indices.tolist()}  # the strongest by mean and by peak
    with opened(browser, channels.as_uri(), 390, offline=True) as page:
        can = page.locator(".block[data-point='L4.resid_post'] .thumb:not([disabled])")
        assert {int(one.get_attribute("data-image") or -1) for one in can.all()} == followed
        for image in order[:2]:
            page.click(f".block[data-point='L4.resid_post'] .thumb[data-image='{image}']")
            page.wait_for_selector(f"h2:has-text('{files[image].name}')")
            said = page.locator("[data-part=back] .closure")
            assert float(said.get_attribute("data-whole") or "nan") == pytest.approx(float(flat[image].amax()), rel=1e-5)
            assert said.inner_text().startswith("✓")
        assert page.locator("[data-part=back] li.open").count() == 0
        picture(page, "held-channel-390")


def test_what_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    place = tmp_path / "page.html"
    one, many = directions()[0], [f"{i} of them or of those that were there" for i in range(200)]
    every = [p.name for p in model().map.main.points]
    wrong = [
        (lambda: ms.direction_page(place, model(), [one, one]), "two directions are called"),
        (lambda: ms.direction_page(place, model(), principal=False), "there is no direction to show"),
        (lambda: ms.direction_page(place, model(), texts=[]), "give 1 to"),
        (lambda: ms.direction_page(place, model(), [ms.Direction(torch.ones(3))]), "it is of another model"),
        (lambda: ms.direction_page(place, model(), points=["L99.resid_post"]), "there is no point"),
        (lambda: ms.direction_page(place, model(), texts=many, points=every), "would have about"),
        (lambda: ms.channel_page(place, [7], model()), "reads no images"),
        (lambda: ms.channel_page(place, [], images()), "name the channels"),
        (lambda: ms.channel_page(place, [10**6], images()), "there is no channel 1000000"),
    ]
    for work, said in wrong:
        with pytest.raises(ms.InputError, match=said):
            work()
    monkeypatch.setattr(_held, "LARGEST", 1000)
    with pytest.raises(ms.InputError, match="give fewer channels or classes"):
        ms.channel_page(place, [7], images())
    assert not place.exists() and not list(tmp_path.iterdir())


def test_one_direction_text_or_channel_needs_no_list(tmp_path: Path):
    for given in (" Paris", [" Paris"]):
        with pytest.raises(ms.InputError, match=r"m\.direction\(' Paris'\)"):
            ms.direction_page(tmp_path / "d.html", model(), given, TEXTS)  # type: ignore[arg-type]
    made = ms.direction_page(tmp_path / "d.html", model(), directions()[0], "The capital", principal=False)
    assert "This file holds 1 texts" in made.read_text(encoding="utf-8")
    assert ms.channel_page(tmp_path / "c.html", 3, images()).is_file()


def test_a_channel_page_without_images_has_its_classes(browser: Any, tmp_path: Path):
    with opened(browser, ms.channel_page(tmp_path / "c.html", [0], images()).as_uri(), offline=True) as page:
        assert page.locator(".weights [data-class]").count() == 5
        assert "was made without" in page.inner_text("[data-part=images]")
