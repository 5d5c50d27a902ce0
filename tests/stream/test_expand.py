"""Subvalues as vectors: they sum to the stream, each is what its label alone gives, and gigabytes of them are refused."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.score import component
from mainstem.stream import LEVELS, _expand, carry, push
from stream._runs import passes, plant_biases
from zoo import ZOO


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "bert", "mixtral", "mamba", "t5", "resnet", "gemma2"])
def test_subvalues_carried_to_the_end_sum_to_what_is_there(name, level):
    for run in passes(name, change=plant_biases):
        parts = carry(run, None, level)
        total = sum(g.flat().sum(0) for g in parts.groups)
        size = sum(g.flat().abs().sum(0) for g in parts.groups).max()
        assert float((total - run.output()).abs().max()) <= 1e-12 * float(size)


@pytest.mark.parametrize(
    ("name", "level"), [("gpt2", "edge"), ("llama", "head"), ("bloom", "dim"), ("mixtral", "neuron"), ("resnet", "neuron")]
)
def test_each_vector_is_what_its_label_alone_gives(name, level):
    run = passes(name)[0]
    last = len(run.stream.points) - 1
    group = next(g for g in carry(run, last, level).groups if g.axes)
    start = next(t for t, p in enumerate(run.stream.points) for w in p.writes if w.label == group.label)
    flat = group.flat()
    for i in {0, 1, len(flat) // 2, len(flat) - 1}:
        alone = push(run, component(run, group.name(i))[None], start, last)[0]
        torch.testing.assert_close(flat[i], alone, rtol=1e-10, atol=1e-14)


def test_vectors_of_gigabytes_are_refused_with_the_way_round(monkeypatch):
    monkeypatch.setattr(_expand, "_MOST", 1000)
    with pytest.raises(InputError, match=r"score them first, with scores\(level='neuron'\)"):
        carry(passes("gpt2")[0], None, "neuron")


def test_the_zoo_has_what_is_asked_of_it():
    assert {"gpt2", "llama", "bloom", "bert", "mixtral", "mamba", "t5", "resnet", "gemma2"} <= set(ZOO)
