"""bfloat16 and float16: sums close through rows of rounding, which are small, and the model is run as it is."""

import pytest
import torch

from mainstem.core import NotClosedError
from mainstem.find import find
from mainstem.score import direct
from mainstem.stream import LEVELS, Pass, applies, carry, take
from stream._runs import built, mapped
from zoo import ZOO

LOW = ["gpt2", "llama", "bert", "gemma2", "granite", "falcon", "bloom", "vit", "resnet", "cifar", "tabular", "mixtral", "mamba"]


def low(name: str, dtype: torch.dtype = torch.bfloat16) -> Pass:
    """A model of the zoo run in low precision."""
    module, args, kwargs = built(name, dtype)
    return take(module, mapped(name), args, kwargs)


@pytest.mark.parametrize("name", LOW)
def test_every_level_closes_with_its_rounding(name):
    run = low(name)
    assert run.low
    assert run.dtype == torch.float32
    direction = torch.randn_like(run.output())
    truth = (direction.double() * run.output().double()).flatten(1).sum(1)
    for level in LEVELS:
        if level == "write" or any(applies(w, level) for w in run.stream.writes):
            parts = direct(run, direction, level)
            total = sum(g.flat().double().sum(0) for g in parts.groups)
            assert float((total - truth).abs().max()) <= parts.bound, level
            taken = {w.label for w in run.stream.writes if applies(w, level)}
            rounded = {g.label.removesuffix(".rounding") for g in parts.groups if g.kind == "rounding"}
            assert rounded == taken | {p.name for p in run.stream.points} | {"readout"}


@pytest.mark.parametrize("name", LOW)
def test_roundings_are_small_and_not_nothing(name):
    run = low(name)
    parts = carry(run)
    size = sum(g.values.abs() for g in parts.groups if g.kind != "rounding").max()
    rounded = torch.stack([g.values for g in parts.groups if g.kind == "rounding"])
    assert 0 < float(rounded.abs().max()) < 0.05 * float(size)


def test_roundings_are_what_the_additions_lost():
    run = low("gpt2")
    parts, x = carry(run, 1), run.point(0)
    exact = x.double() + run.write(run.stream.writes[0]).double()
    rounding = run.point(1).double() - exact
    assert float(rounding.abs().max()) > 0
    torch.testing.assert_close(parts["L0.resid_mid.rounding"].double(), rounding, rtol=0, atol=1e-7)
    steps = torch.finfo(torch.bfloat16).eps * run.point(1).abs()
    assert bool((rounding.abs() <= steps).all())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_run_is_the_models_own(dtype):
    module, args, _ = built("llama", dtype)
    run = low("llama", dtype)
    with torch.no_grad():
        plain = module(*args).logits
    assert plain.dtype == dtype
    assert torch.equal(run.output(), plain.float())
    assert run.raw_point(1).dtype == dtype
    assert run.point(1).dtype == torch.float32


def test_a_missing_write_cannot_hide_in_the_bound(monkeypatch):
    """A bound of bfloat16 itself would be so wide that most writes could be left out."""
    from mainstem.score import _apart

    run = low("gpt2")
    everything = _apart.rows
    for dropped in ("L0.attn", "L1.mlp"):
        with monkeypatch.context() as patch:
            patch.setattr(_apart, "rows", lambda *of, dropped=dropped: [r for r in everything(*of) if r.label != dropped])
            with pytest.raises(NotClosedError):
                direct(run, torch.randn_like(run.output()))


def test_full_precision_has_no_rounding_rows():
    module, args, kwargs = ZOO["gpt2"]()
    run = take(module, find(module, *args, **kwargs), args, kwargs)
    assert not any(g.kind == "rounding" for g in direct(run, torch.randn_like(run.output()), "neuron").groups)
