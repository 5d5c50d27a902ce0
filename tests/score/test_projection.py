"""Projection share: the parts of the last point along itself sum to one, whatever the stream goes through."""

import pytest
import torch

from mainstem.score import Choices, score_named
from mainstem.stream import carry
from score.test_alternatives import levels, made, same
from stream._runs import main, passes, plant_biases
from zoo import ZOO

TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def shares(run, level, goal=None):
    return score_named("projection").rows(run, goal or same(run, [1], None), Choices(level))


@pytest.mark.parametrize("name", sorted(ZOO))
def test_parts_sum_to_one(name):
    for run in passes(name, change=plant_biases):
        for level in levels(run):
            parts = shares(run, level)
            torch.testing.assert_close(parts.tensor.sum(0), torch.ones(run.prompts, dtype=torch.float64), rtol=0, atol=1e-12)
            assert parts.error <= parts.bound < 1e-10


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "bert", "gemma2", "resnet", "tabular"])
def test_a_part_is_its_carried_vector_along_the_last_point(name):
    run = passes(name, change=plant_biases)[0]
    last = len(run.stream.points) - 1
    carried, x = carry(run, last, "neuron"), run.point(last)
    there = (slice(None), -1) if run.output().ndim == 3 else (slice(None),)
    x = x[there].flatten(1)
    found = shares(run, "neuron")
    for group in carried.groups:
        vectors = group.flat()[(slice(None), *there)].flatten(2)
        want = (vectors * x).sum(-1) / x.square().sum(-1)
        torch.testing.assert_close(found[group.label].reshape(want.shape), want, **TIGHT)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2"])
def test_rounding_is_a_part_in_low_precision(name, dtype):
    parts = shares(main(name, dtype), "neuron")
    assert parts.error <= parts.bound < 1e-3
    assert any(g.kind == "rounding" for g in parts.groups) == (dtype == torch.bfloat16)


def test_a_cell_of_several_places_has_their_mean():
    run = main("gpt2")
    places, ids = torch.tensor([[0, 4], [0, 5], [1, 2]]), torch.tensor([[3], [9], [7]])
    every = shares(run, "head", same(run, [1], None, every=True))
    found = shares(run, "head", made(places, ids, None, torch.Size([2]), places[:, 0]))
    torch.testing.assert_close(found.whole, torch.ones(2, dtype=torch.float64))
    want = torch.stack([(every.tensor[:, 0, 4] + every.tensor[:, 0, 5]) / 2, every.tensor[:, 1, 2]], 1)
    torch.testing.assert_close(found.tensor, want, **TIGHT)


def test_padding_has_no_share():
    run = main("gpt2")
    goal = same(run, [1], None, every=True)
    goal.weights[:2] = 0
    parts = shares(run, "write", goal)
    assert float(parts.tensor[:, 0, :2].abs().max()) == 0.0
    torch.testing.assert_close(parts.whole[0, 2:], torch.ones(5, dtype=torch.float64))


def test_it_says_nothing_of_the_target():
    run = main("gpt2")
    assert torch.equal(shares(run, "head").tensor, shares(run, "head", same(run, [7], [2])).tensor)
