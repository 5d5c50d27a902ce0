"""The channel page driven by clicks: its numbers are the module's own weights and activations."""

import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import mainstem as ms
from view._chromium import chromium, opened, picture, settled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
COLOURS = ["red", "lime", "blue", "black", "white", "orange", "purple", "teal", "gray", "olive"]


@cache
def model() -> Any:
    return ms.load("default-image")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain images, one of which is broken."""
    place = tmp_path_factory.mktemp("images")
    for i, colour in enumerate(COLOURS):
        made = Image.new("RGB", (40, 32), colour)
        made.paste("yellow", (4 + i, 4, 20 + i, 20))
        made.save(place / f"{i}-{colour}.png")
    (place / "broken.jpg").write_bytes(b"no image")
    return place


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    served = ms.view(model(), browser=False, data=folder)
    yield f"{served.url}#channel"
    served.stop()


def thumbs(page: Any, point: str) -> list[tuple[str, float]]:
    settled(page)
    rows = page.eval_on_selector_all(f".block[data-point='{point}'] .thumb", "rows => rows.map(r => [r.title, +r.dataset.value])")
    return [(title.split(":")[0], value) for title, value in rows]


def test_images_and_class_weights_are_the_models_own(browser: Any, url: str, folder: Path):
    files = sorted(f for f in folder.iterdir() if f.suffix == ".png")
    trace = model().trace(files)
    flat = trace.point("L4.resid_post")[:, 7].flatten(1)
    weights = model().module.get_parameter("head.weight").detach()[:, 7]
    with opened(browser, f"{url}?channel=7") as page:
        page.wait_for_selector("[aria-label='images by']")
        for by, values in (("peak", flat.amax(1)), ("", flat.mean(1))):
            page.select_option("[aria-label='images by']", by)
            order = values.argsort(descending=True)[:8].tolist()
            assert thumbs(page, "L4.resid_post") == [(files[i].name, pytest.approx(float(values[i]), rel=1e-5)) for i in order]
        assert "1 could not be read" in page.inner_text("[data-part=images]")
        shown = page.eval_on_selector_all("[data-class]", "rows => rows.map(r => [+r.dataset.class, +r.dataset.weight])")
        rows = [(int(i), w) for i, w in shown if w == w]
        best = weights.abs().topk(5).indices.tolist()
        assert rows == [(i, pytest.approx(float(weights[i]), rel=1e-5)) for i in best]
        page.click(f"[data-class='{best[1]}']")
        settled(page)
        assert page.get_attribute("[data-part=spread]", "data-class") == trace.word(best[1])
        page.click("[aria-label='channel after']")
        settled(page)
        assert "channel=8" in page.url
        picture(page, "channel-1280")


def test_it_is_followed_back_write_by_write_and_channel_by_channel(browser: Any, url: str, folder: Path):
    with opened(browser, f"{url}?channel=7&point=L3.resid_post") as page:
        settled(page)
        name = page.get_attribute(".thumb >> nth=1", "title").split(":")[0]
        page.click(".thumb >> nth=1")
        settled(page)
        face = model().trace([folder / name]).point("L3.resid_post")[0, 7]
        said = page.locator(".apart .closure")
        assert float(said.get_attribute("data-whole")) == pytest.approx(float(face.max()), rel=1e-5, abs=1e-6)
        assert said.inner_text().startswith("✓")
        write = page.locator("li[data-component='L1.conv']")
        value = float(write.get_attribute("data-value"))
        write.click()
        settled(page)
        assert float(page.locator(".apart .closure").get_attribute("data-sum")) == pytest.approx(value, abs=1e-5)
        page.click("li[data-component^='channel ']")
        settled(page)
        assert "point=L1.resid_post" in page.url
        page.go_back()
        page.keyboard.press("Escape")
        settled(page)


def test_planted_weights_are_found(browser: Any, folder: Path):
    planted = ms.load("default-image")
    matrix = planted.module.get_parameter("head.weight")
    with torch.no_grad():
        matrix[:, 33] = torch.tensor([0, 0, 9.0, 0, -8, 0, 7, -6, 5, 0.1])
    served = ms.view(planted, browser=False, data=folder)
    try:
        with opened(browser, f"{served.url}#channel?class=bird") as page:
            settled(page)
            page.click("[data-channel='33']")
            settled(page)
            rows = page.eval_on_selector_all(
                "[data-class][data-weight]", "rows => rows.map(r => [+r.dataset.class, +r.dataset.weight])"
            )
            assert [(int(i), w) for i, w in rows] == [(2, 9), (4, -8), (6, 7), (7, -6), (8, 5)]
            assert "channel 33, +9.000" in page.inner_text("[data-part=spread]")
    finally:
        served.stop()


def test_without_images_it_says_what_to_give(browser: Any):
    served = ms.view(model(), browser=False)
    try:
        with opened(browser, f"{served.url}#channel") as page:
            settled(page)
            assert "--data FOLDER" in page.inner_text("[data-part=images]")
            assert page.locator("[data-class][data-weight]").count() == 5
    finally:
        served.stop()


def test_what_is_not_there_is_said(browser: Any, url: str, tmp_path: Path):
    with opened(browser, f"{url}?channel=999") as page:
        page.wait_for_selector(".status.wrong")
        assert "there are 0 to 191" in page.inner_text(".status")
        page.fill("[aria-label=channel]", "3")
        page.keyboard.press("Enter")
        page.wait_for_selector(".thumb")
    for place, why in ((tmp_path, "there are no images"), (tmp_path / "none", "there is no folder")):
        with pytest.raises(ms.InputError, match=why):
            ms.view(model(), browser=False, data=place)
    with pytest.raises(ms.InputError, match="reads no images"):
        ms.view("tiny", browser=False, data=tmp_path)


def test_it_fits_a_phone_and_the_dark(browser: Any, url: str):
    with opened(browser, url, 390, 900, color_scheme="dark") as page:
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        picture(page, "channel-390")


def test_the_goldfish_finds_its_channel(browser: Any, tmp_path: Path, shared: Path, real_model: Any):
    files = sorted((shared / "images" / "imagenet_1000").glob("*.jpg"))[1::25]
    if not files:
        pytest.skip("the folder images/imagenet_1000 of the assets is not here")
    for file in files:
        shutil.copy(file, tmp_path)
    served = ms.view(ms.load(real_model("resnet50")), browser=False, data=tmp_path)
    try:
        with opened(browser, f"{served.url}#channel?class=goldfish") as page:
            page.set_default_timeout(300_000)
            page.wait_for_selector("[data-part=spread] [data-channel]")
            page.locator("[data-part=spread] [data-channel]").first.click()
            assert thumbs(page, "L15.resid_post")[0][0].startswith("0001_n01443537_goldfish")
            assert "goldfish" in page.locator("[data-class][data-weight]").all_inner_texts()
            page.click(".thumb >> nth=0")
            settled(page)
            assert page.locator(".apart .closure").inner_text().startswith("✓")
            picture(page, "channel-goldfish")
    finally:
        served.stop()
