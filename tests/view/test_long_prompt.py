"""A long prompt: columns of the grid are read as they are seen, no more of them is held or drawn than that, and their numbers are those of the whole."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch

import mainstem as ms
from mainstem.api import _kept, _looking
from mainstem.api._cells import MOST, NUMBERS, columns, grid
from mainstem.api._looking import Looking
from mainstem.core import InputError, heeding
from mainstem.score import Lens, lens
from mainstem.view import Superseded
from stream._runs import main
from view._chromium import chromium, opened, settled
from zoo import ZOO

LOGITS = sorted(set(ZOO) - {"tabular", "tabular_linear", "second_path"})
FIELDS = ("tokens", "top_logprob", "logit", "logprob", "rank", "entropy", "kl")


@cache
def model() -> Any:
    return ms.load("default")


@cache
def prompt() -> str:
    """Longer than is given whole, and nearly as long as the model reads."""
    words = "The capital of France is Paris. The tower is in the city of Rome. "
    return model().loaded.codec.tokenizer.decode(model().ids(words * 60)[:250])


class Quiet:
    """A turn that nobody supersedes."""

    def check(self) -> None:
        pass

    def say(self, what: str, done: int = 0, of: int = 0) -> None:
        pass


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("norm", ["own", "final"])
def test_stretches_of_a_lens_are_the_lens(name: str, norm: str):
    run = main(name)
    output = run.output()
    target = output.argmax(-1)
    whole, length = lens(run, target, norm), output.shape[1] if output.ndim == 3 else 0
    if output.ndim != 3:
        assert length == 0
        return
    for span in {(0, length), (0, 1), (length // 2, length), (length - 1, length)}:
        some = lens(run, target[:, span[0] : span[1]], norm, span=span)
        for field in FIELDS:
            want = getattr(whole, field)[:, :, span[0] : span[1]]
            torch.testing.assert_close(getattr(some, field), want, rtol=1e-12, atol=1e-12)


def numbers(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in NUMBERS}


def test_columns_are_those_of_the_whole_grid():
    trace = model().trace(prompt())
    opened_ = grid(trace, {})
    length, points = len(opened_["tokens"]), len(opened_["points"])
    assert length > MOST and opened_["top"] == [[] for _ in range(points)] and opened_["target"] == []
    every: Lens = trace.lens().values
    for first in range(0, length, MOST):
        end = min(first + MOST, length)
        some = columns(trace, {"first": first, "end": end})
        assert [[some["words"][n] for n in row] for row in some["top"]] == [
            [trace.word(i) for i in row] for row in every.tokens[:, 0, first:end].tolist()
        ]
        torch.testing.assert_close(torch.tensor(some["kl"]), every.kl[:, 0, first:end], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(torch.tensor(some["logprob"]), every.logprob[:, 0, first:end], rtol=1e-4, atol=1e-5)
        assert some["rank"] == every.rank[:, 0, first:end].tolist()


@pytest.mark.parametrize("span", [(-1, 3), (0, 0), (5, 4), (0, MOST + 1), (240, 300), (True, 3), ("0", 3), (None, 3)])
def test_columns_that_there_are_not(span: tuple[Any, Any]):
    with pytest.raises(InputError, match="columns are from 0 to"):
        columns(model().trace(prompt()), {"first": span[0], "end": span[1]})


def test_long_prompts_are_not_all_held(monkeypatch: pytest.MonkeyPatch):
    looking, last = Looking(model()), model().map.main.points[-1].name

    def held(count: int, words: str) -> list[int]:
        for i in range(count):
            looking.answers()["prompt.cell"]({"prompt": f"{i} {words}", "point": last, "position": 0}, Quiet())
        return [len(trace.tokens[0]) for trace in looking._traces.values()]

    assert len(held(6, "The capital")) == 4
    monkeypatch.setattr(_looking, "_TOKENS", 500)
    long = held(6, prompt()[:700])
    assert sum(long) <= 500 < sum(long) + long[-1]
    monkeypatch.setattr(_looking, "_TOKENS", 1)
    assert len(held(2, "The capital")) == 1


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    pytest.importorskip("fastapi")
    served = ms.view(model(), prompt=prompt(), browser=False)
    yield served.url
    served.stop()


def read(page: Any) -> None:
    """Waits until every cell on the screen is read."""
    page.wait_for_selector(".cell:not(.unread)")
    page.locator(".cell.unread").first.wait_for(state="detached")
    settled(page)


def agree(page: Any) -> int:
    """Every cell on the screen says what Python's lens does. Returns how many there are. Parameters: `page`."""
    found = model().trace(prompt()).lens()
    cells = page.eval_on_selector_all(
        ".cell", "cells => cells.map(c => [+c.dataset.point, +c.dataset.position, c.getAttribute('aria-label')])"
    )
    for point, position, said in cells:
        want = float(found.values.top_logprob[point, 0, position].exp())
        assert f"token {position} " in said and float(said.rpartition(" ")[2].rstrip("%")) == pytest.approx(
            100 * want, abs=0.11
        ), said
    return len(cells)


@pytest.mark.parametrize("width", [1280, 390])
def test_what_is_seen_is_read_and_little_else_is_drawn(browser: Any, url: str, width: int):
    points = len(model().map.main.points)
    with opened(browser, url, width) as page:
        read(page)
        most = points * (1280 // 84 + 8)
        assert 0 < agree(page) <= most
        for share in (0, 0.5, 0.9):
            page.eval_on_selector(".grid", f"grid => {{ grid.scrollLeft = {share} * grid.scrollWidth; }}")
            page.wait_for_timeout(50)
            read(page)
            assert 0 < agree(page) <= most


def test_a_cell_late_in_the_prompt_is_taken_apart(browser: Any, url: str):
    with opened(browser, url) as page:
        read(page)
        last = len(model().trace(prompt()).tokens[0]) - 1
        rows = dict(
            page.eval_on_selector_all(
                ".bars li[data-component]", "rows => rows.map(r => [r.dataset.component, +r.dataset.value])"
            )
        )
        want = dict(model().trace(prompt()).scores(positions=last).frame().select("component", "value").iter_rows())
        assert rows == pytest.approx(want, abs=1e-4)
        page.click(".bars li[data-component='L3.attn']")
        settled(page)
        page.click(".bars li[data-component='L3.attn.H0']")
        settled(page)
        shown = page.eval_on_selector_all(".bars li[data-component]", "rows => rows.map(r => +r.dataset.value)")
        head = model().trace(prompt()).scores(level="head", positions=last).parts["L3.attn.H0"]
        assert len(shown) == 25 and sum(shown) == pytest.approx(float(head), abs=1e-4)
        assert "the other" in page.inner_text(".bars")


def test_the_file_of_a_long_prompt_holds_columns_about_the_traced_one(
    browser: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_kept, "_CELLS", 100 * len(model().map.main.points))
    path = model().trace(prompt()).html(tmp_path / "trace.html", position=150)
    with opened(browser, path.as_uri(), offline=True) as page:
        assert "holds columns 100 to 199" in page.inner_text("[data-part=grid]")
        page.wait_for_selector(".cell.chosen:not(.unread)")
        page.eval_on_selector(".grid", "grid => { grid.scrollLeft = 0; }")
        page.wait_for_selector(".cell.unread[data-position='0']")


def test_a_grid_that_nobody_waits_for_is_given_up():
    trace, calls = model().trace(prompt()), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 3:
            raise Superseded

    with pytest.raises(Superseded), heeding(check):
        columns(trace, {"first": 0, "end": 16})
    assert columns(trace, {"first": 0, "end": 1})["first"] == 0


class Huge:
    """A tokenizer that must not be asked."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} of the tokenizer was asked for")


def test_megabytes_are_refused_at_once(monkeypatch: pytest.MonkeyPatch):
    codec = model().loaded.codec
    assert codec.letters is not None
    monkeypatch.setattr(codec, "tokenizer", Huge())
    ask = Looking(model()).answers()["prompt.open"]
    for text in ("a" * 15 * 2**20, "a" * (codec.letters + 1)):
        with pytest.raises(InputError, match=f"the prompt has {len(text):,} characters"):
            ask({"prompt": text}, Quiet())
        with pytest.raises(InputError, match=f"the prompt has {len(text):,} characters"):
            model().trace(text)
