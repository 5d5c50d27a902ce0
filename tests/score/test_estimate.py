"""Large scores are announced, and writes are opened a few at a time."""

import logging

import pytest
import torch

import mainstem as ms
from mainstem.score import _estimate
from mainstem.score._estimate import batches, size
from mainstem.stream import LEVELS


@pytest.fixture(scope="module")
def trace():
    return ms.load("default").trace("The capital of France is")


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("every", [False, True])
def test_the_estimate_is_what_the_writes_scores_take(trace, level, every):
    scores = trace.scores(0, level, positions="all" if every else None)
    writes = [g for g in scores.parts.groups if g.kind not in ("entry", "constant")]
    assert size(trace.run, level, every) == sum(g.values.numel() * g.values.element_size() for g in writes)


@pytest.mark.parametrize("by", ["dla", "logprob_increase", "prob_increase"])
def test_a_large_one_is_announced(trace, monkeypatch, caplog, by):
    monkeypatch.setattr(_estimate, "_LARGE", 100)
    with caplog.at_level(logging.WARNING, "mainstem"):
        trace.scores(0, "edge", by, positions="all", within=0.1 if by != "dla" else None)
    assert "score one position" in caplog.text


def test_a_small_one_is_not(trace, caplog):
    with caplog.at_level(logging.WARNING, "mainstem"):
        trace.scores(0, "edge")
    assert not caplog.text


def test_a_smaller_budget_opens_fewer_writes_at_a_time_with_the_same_scores(trace, monkeypatch):
    whole = trace.scores(0, "neuron").tensor
    writes = [w for w in trace.stream.writes if w.kind == "mlp"]
    assert len(list(batches(trace.run, writes))) == 1
    monkeypatch.setattr(_estimate, "_BUDGET", 1)
    assert [len(some) for some in batches(trace.run, writes)] == [1] * len(writes)
    torch.testing.assert_close(trace.scores(0, "neuron").tensor, whole, rtol=0, atol=0)
