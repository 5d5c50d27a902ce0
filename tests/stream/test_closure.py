"""Every level of every model of the zoo sums to the model's own output: in float64 to rounding, in float32 within the bound."""

import pytest
import torch
from torch import Tensor

from mainstem.core import NotClosedError, Parts
from mainstem.score import direct
from mainstem.stream import LEVELS, Pass, applies
from stream._runs import main, passes, plant_biases, returned
from zoo import ZOO

EXACT = 1e-12  # of the sum of the parts' sizes, in float64
BIASLESS = ("llama", "gemma2", "granite", "mixtral", "mamba", "t5")  # or biases only inside of what a write is a product of


def levels(run: Pass) -> list[str]:
    """The levels that take some write of this stream apart."""
    return [level for level in LEVELS if level == "write" or any(applies(w, level) for w in run.stream.writes)]


def total(parts: Parts) -> tuple[Tensor, Tensor]:
    """Sum of all values and of their sizes, added up here in float64."""
    rest = parts.groups[0].values.ndim - len(parts.groups[0].axes)
    flat = [g.values.detach().double().reshape(-1, *g.values.shape[g.values.ndim - rest :]) for g in parts.groups]
    return sum(f.sum(0) for f in flat), sum(f.abs().sum(0) for f in flat)


def closes(run: Pass, direction: Tensor, level: str) -> Parts:
    """The parts of a level, after their sum was held against the output itself."""
    truth = (direction * run.output()).flatten(1).sum(1)
    parts = direct(run, direction, level)
    found, size = total(parts)
    assert bool(((found - truth).abs() <= EXACT * size).all()), level
    return parts


@pytest.mark.parametrize("name", ZOO)
def test_every_level_sums_to_the_output_in_float64(name):
    """With large biases planted wherever there are any: no row of constants can be left out unnoticed."""
    for run in passes(name, change=plant_biases):
        direction = torch.randn_like(run.output())
        for level in levels(run):
            parts = closes(run, direction, level)
            constants = [g for g in parts.groups if g.kind == "constant"]
            assert bool(constants) == (name not in BIASLESS)
            assert all(bool((g.values.abs() > 1e3 * parts.bound).any()) for g in constants)


@pytest.mark.parametrize("name", ZOO)
def test_every_level_sums_to_the_output_in_float32(name):
    run = main(name, torch.float32)
    torch.testing.assert_close(run.output(), returned(name, torch.float32), rtol=0, atol=0)
    direction = torch.randn_like(run.output())
    truth = (direction.double() * run.output().double()).flatten(1).sum(1)
    for level in {"write", "edge", "neuron"} & set(levels(run)):
        parts = direct(run, direction, level)
        assert float((total(parts)[0] - truth).abs().max()) <= parts.bound
        assert parts.error <= parts.bound


@pytest.mark.parametrize("name", ["gpt2", "llama", "bloom", "bert", "mixtral", "mamba", "experts"])
def test_every_level_sums_at_every_position(name):
    run = main(name)
    direction = torch.randn_like(run.output())
    truth = (direction * run.output()).sum(-1)
    for level in levels(run):
        parts = direct(run, direction, level, keep_pos=True)
        found, size = total(parts)
        assert parts.rest == ("batch", "pos")
        assert bool(((found - truth).abs() <= EXACT * size).all()), level
        for with_places, without in zip(parts.groups, direct(run, direction, level).groups, strict=True):
            torch.testing.assert_close(with_places.values.sum(-1), without.values, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("name", ["gpt2", "bloom", "bert", "resnet", "vit", "experts"])
def test_without_a_row_of_constants_nothing_closes(name):
    run = passes(name, change=plant_biases)[0]
    direction = torch.randn_like(run.output())
    for level in levels(run):
        parts = closes(run, direction, level)
        for left_out in [g for g in parts.groups if g.kind == "constant"]:
            kept = [g for g in parts.groups if g is not left_out]
            miss = sum(g.flat().sum(0) for g in kept) - (direction * run.output()).flatten(1).sum(1)
            assert float(miss.abs().max()) > 1e3 * parts.bound, left_out.label


def test_a_missing_row_is_refused(monkeypatch):
    from mainstem.score import _apart

    run = main("gpt2")
    everything = _apart.rows
    monkeypatch.setattr(_apart, "rows", lambda *of: [r for r in everything(*of) if r.label != "L1.mlp"])
    with pytest.raises(NotClosedError, match="parts miss the whole"):
        direct(run, torch.randn_like(run.output()))


def test_a_wrong_constant_is_refused(monkeypatch):
    from mainstem.stream import _parts

    run = main("gpt2")
    monkeypatch.setattr(_parts.Affine, "constant", lambda self, *likes: torch.zeros_like(self(*likes)))
    monkeypatch.setattr(_parts.Product, "constant", lambda self: None)
    with pytest.raises(NotClosedError):
        direct(passes("gpt2", change=plant_biases)[0], torch.randn_like(run.output()), "neuron")


def test_float64_is_float64_throughout():
    """RMS norms cast to float32 inside; the plain module in float64 is off by that, ours is not."""
    run, plain = main("llama"), returned("llama", torch.float64)
    module = run.module.requires_grad_(False)
    x = run.point(len(run.stream.points) - 1)
    normed = x * (x.square().mean(-1, keepdim=True) + module.config.rms_norm_eps).rsqrt() * module.model.norm.weight
    assert float((run.output() - normed @ module.lm_head.weight.T).abs().max()) < 1e-14
    assert 1e-10 < float((plain - run.output()).abs().max()) < 1e-6
