"""One write taken apart, the others whole: its rows are those that it has where every write is taken apart, and the sum closes."""

from functools import cache
from typing import Any

import pytest
from torch import nn

import real
from mainstem.core import InputError

PROMPT = "The capital of France is"
SCORES = ["dla", "logprob_increase", "path", "prob_increase"]


@cache
def trace() -> Any:
    return real.model("default").trace(PROMPT)


def rows(result: Any) -> dict[str, float]:
    return dict(result.frame().select("component", "value").iter_rows())


@pytest.mark.parametrize("by", SCORES)
@pytest.mark.parametrize(("level", "write"), [("head", "L2.attn"), ("edge", "L2.attn"), ("neuron", "L1.mlp")])
def test_its_rows_are_those_of_the_level_and_the_others_are_whole(by: str, level: str, write: str):
    every, coarse = rows(trace().scores(level=level, by=by)), rows(trace().scores(by=by))
    found = trace()._within(write).scores(level=level, by=by)
    alone = rows(found)
    inner = {name: value for name, value in alone.items() if name.startswith(f"{write}.")}
    # The constant of a write is a row of its own where the level takes it apart.
    others = {name: value for name, value in alone.items() if name not in inner}
    assert len(inner) > 5 and inner == pytest.approx({name: every[name] for name in inner}, abs=2e-5)
    assert others == pytest.approx({name: coarse[name] for name in others}, abs=2e-5)
    assert set(others) == {name for name in coarse if name != write and not name.startswith(f"{write}.")}
    assert found.error <= found.bound
    assert sum(alone.values()) == pytest.approx(float(found.whole), abs=1e-3) or by == "prob_increase"


def test_what_is_asked_of_one_write_one_after_the_other_takes_one_run(monkeypatch: pytest.MonkeyPatch):
    here, runs = trace()._within("L3.attn"), 0
    forward = type(trace().run.module).forward

    def counted(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        nonlocal runs
        runs += 1
        return forward(module, *args, **kwargs)

    monkeypatch.setattr(type(trace().run.module), "forward", counted)
    for level in ("head", "edge", "head"):
        for by in ("dla", "path"):
            here.scores(level=level, by=by)
    here.words(["L3.attn.H0", "L3.attn.H1"])
    assert runs == 1
    trace().scores(level="head")
    assert runs > 1


def test_it_is_the_same_trace_while_one_write_is_looked_into():
    one = trace()._within("L3.attn")
    assert trace()._within("L3.attn") is one
    assert trace()._within("L3.mlp") is not one
    assert trace().run.only is None
    with pytest.raises(InputError, match="no write"):
        trace()._within("L99.attn")
