"""The direction page driven by clicks and keys: every number on it is the one that Python gives."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

import mainstem as ms
from view._chromium import chromium, opened, picture, settled

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
PROMPTS = "The capital of France is\n\nThe language of Chile is"
HACK = "<script>alert(1)</script>\u202e né"


@cache
def model() -> Any:
    return ms.load("default")


@cache
def trace(prompt: str) -> Any:
    return model().trace(prompt)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = ms.view(model(), browser=False)
    yield f"{served.url}#direction"
    served.stop()


def coloured(page: Any) -> dict[tuple[int, int], float]:
    """The number of every coloured token."""
    settled(page)
    rows = page.eval_on_selector_all(
        ".lit[data-value]", "rows => rows.map(r => [+r.dataset.prompt, +r.dataset.position, +r.dataset.value])"
    )
    return {(p, i): value for p, i, value in rows}


def expected(vector: torch.Tensor, point: str, prompts: str = PROMPTS, first: bool = False) -> dict[tuple[int, int], float]:
    unit = vector.double() / vector.double().norm()
    rows = [(trace(p).point(point)[0].double() @ unit).tolist() for p in prompts.split("\n\n")]
    return {(p, i): v for p, row in enumerate(rows) for i, v in enumerate(row) if i or first}


def choose(page: Any, kind: str, **typed: str) -> None:
    page.select_option("[aria-label='kind of direction']", kind)
    settled(page)
    for label, said in typed.items():
        page.fill(f"[aria-label='{label}']", said)
        page.keyboard.press("Enter")
        settled(page)


def type_prompts(page: Any, said: str = PROMPTS) -> None:
    page.fill("[aria-label=prompts]", said)
    page.click("button.main")
    settled(page)


def test_it_works_at_once_and_leaves_the_first_position_out(browser: Any, url: str):
    with opened(browser, url) as page:
        shown = coloured(page)
        assert len({p for p, _ in shown}) == 8 and not [i for _, i in shown if i == 0]
        assert "The first position of each prompt is left out" in page.inner_text("[data-part=tokens]")
        assert page.locator("[data-slider]").count() == 30
        assert "centred on zero" in page.inner_text(".legend")
        page.check("[data-switch=first]")
        assert [i for _, i in coloured(page) if i == 0]
        picture(page, "direction-1280")


def test_directions_of_tokens_neurons_and_heads(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        type_prompts(page)
        page.select_option("[aria-label=point]", "L3.resid_post")
        choose(page, "token", token=" France")
        assert coloured(page) == pytest.approx(expected(model().direction(" France").vector, "L3.resid_post"), rel=1e-5, abs=1e-5)
        choose(page, "difference", token=" France", less=" Chile")
        vector = model().direction(" France", " Chile").vector
        assert coloured(page) == pytest.approx(expected(vector, "L3.resid_post"), rel=1e-5, abs=1e-5)
        choose(page, "neuron", neuron="L2.mlp.N7")
        assert coloured(page) == pytest.approx(
            expected(model().direction("L2.mlp.N7").vector, "L3.resid_post"), rel=1e-5, abs=1e-5
        )
        choose(page, "head", head="L3.attn.H2")
        page.select_option("[aria-label=end]", "reads")
        shown = coloured(page)
        vector = model().direction("L3.attn.H2", end="reads").vector
        assert shown == pytest.approx(expected(vector, "L3.resid_post"), rel=1e-5, abs=1e-5)
        again = page.url
        assert "label=L3.attn.H2" in again and "end=reads" in again
    with opened(browser, again) as page:
        assert coloured(page) == shown


def test_sliders_mix_principal_directions_at_unit_length(browser: Any, url: str):
    texts = PROMPTS.split("\n\n")
    with opened(browser, url) as page:
        settled(page)
        type_prompts(page)
        page.select_option("[aria-label='fitted on']", "prompts")
        settled(page)
        for standardised in (False, True):
            page.set_checked("[data-switch=standardised]", standardised)
            settled(page)
            found = model().principal(texts, "L2.resid_post", 30, standardised)
            assert page.locator("[data-slider]").count() == len(found)
            assert coloured(page) == pytest.approx(expected(found[0].vector, "L2.resid_post"), rel=1e-4, abs=1e-5)
            page.locator("[data-slider='2']").fill("0.6")
            page.locator("[data-slider='3']").fill("-0.5")
            weights = {0: 0.8 * 0.75**0.5, 1: 0.6 * 0.75**0.5, 2: -0.5}
            mixed = sum(w * found[i].vector for i, w in weights.items())
            assert coloured(page) == pytest.approx(expected(mixed, "L2.resid_post"), rel=1e-3, abs=1e-3)
            assert "weights=1%3A0.6928%2C2%3A0.5196%2C3%3A-0.5" in page.url
            picture(page, f"direction-mix-{standardised}")
            page.locator("[data-slider='1']").fill("1")


def test_a_click_says_what_comes_next(browser: Any, url: str):
    with opened(browser, url) as page:
        settled(page)
        type_prompts(page)
        page.click(".lit[data-prompt='0'][data-position='4']")
        settled(page)
        best = trace("The capital of France is").logits[0, 4].softmax(-1).topk(10)
        words = [trace("The capital of France is").word(int(i)).replace(" ", "·") for i in best.indices]
        assert page.locator(".said .guesses .token").all_inner_texts() == words
        assert page.locator(".said .guesses .figure").first.inner_text() == f"{100 * float(best.values[0]):.1f}%"
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        settled(page)
        assert page.get_attribute(".said", "data-at") == "0.1" and "at=0.1" in page.url


def planted() -> tuple[Any, torch.Tensor]:
    """A model in which two tokens enter far along a direction, and no other does."""
    made = ms.load("tiny")
    table = made.module.transformer.wte.weight
    vector = torch.nn.functional.normalize(torch.randn(table.shape[1], generator=torch.Generator().manual_seed(4)), dim=0)
    with torch.no_grad():
        table -= (table @ vector)[:, None] * vector
        for word in (" France", " is"):
            table[made.ids(word)[0]] += 30 * vector
    return made, vector


def test_a_planted_direction_lights_the_planted_tokens(browser: Any, tmp_path: Path):
    made, vector = planted()
    files = [ms.Direction(vector, "planted", "entry").save(tmp_path / f"planted{form}") for form in (".safetensors", ".json")]
    served = ms.view(made, browser=False)
    try:
        with opened(browser, f"{served.url}#direction?point=entry") as page:
            settled(page)
            type_prompts(page, f"The capital of France is\n\n{HACK} France")
            page.set_input_files("[aria-label='upload a direction']", files[0])
            page.wait_for_url(re.compile("kept=planted"))
            shown = coloured(page)
            tokens = [made.trace(p).tokens[0] for p in ("The capital of France is", f"{HACK} France")]
            lit = {(p, i) for (p, i), value in shown.items() if value > 15}
            assert lit == {(p, i) for p, row in enumerate(tokens) for i, word in enumerate(row) if word in (" France", " is")}
            assert "<script>" in page.inner_text(".strips").replace("\n", "") and page.locator("main script").count() <= 2
            picture(page, "direction-planted")
            for form, name in ((".safetensors", "safetensors"), (".json", "JSON")):
                with page.expect_download() as waited:
                    page.click(f"text=Download {name}")
                waited.value.save_as(tmp_path / f"back{form}")
                back = ms.Direction.load(tmp_path / f"back{form}")
                torch.testing.assert_close(back.unit, vector.double() / vector.double().norm())
                assert (back.name, back.point) == ("planted", "entry")
            page.fill("[aria-label=name]", HACK)
            page.click("button:text-is('Save')")
            page.wait_for_url(re.compile("kept=%3Cscript"))
            assert coloured(page) == pytest.approx(shown, rel=1e-6)
            page.set_input_files("[aria-label='upload a direction']", {"name": "x.json", "mimeType": "", "buffer": b"[1, 2]"})
            page.wait_for_selector(".status.wrong")
            assert "2 wide" in page.inner_text(".status")
    finally:
        served.stop()


def test_mistakes_are_said_and_can_be_mended(browser: Any, url: str):
    with opened(browser, f"{url}?kind=neuron&label=nonsense") as page:
        page.wait_for_selector(".status.wrong")
        assert "there is no neuron or head 'nonsense'" in page.inner_text(".status")
        page.fill("[aria-label=neuron]", "L0.mlp.N3")
        page.keyboard.press("Enter")
        assert coloured(page)
        assert not page.locator(".status.wrong").count()


def test_it_fits_a_phone_and_the_dark(browser: Any, url: str):
    for theme, width in (("dark", 1280), ("dark", 390), ("light", 390)):
        with opened(browser, f"{url}?centre=range", width, 900, color_scheme=theme) as page:
            coloured(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert "from the lowest to the highest" in page.inner_text(".legend")
            picture(page, f"direction-{theme}-{width}")


def test_the_file_says_how_it_was_made(browser: Any, url: str, tmp_path: Path):
    with opened(browser, f"{url}?weights=1:0.6,2:0.8") as page:
        settled(page)
        with page.expect_download() as waited:
            page.click("text=Download JSON")
        waited.value.save_as(tmp_path / "mix.json")
        said = json.loads((tmp_path / "mix.json").read_text())
        assert said["width"] == 192 and said["about"].startswith("+0.6000 PC 1 +0.8000 PC 2; 14")
