"""The quick ways give what the dense ones give: few entries for a direction, rows that are multiples, one position, held levels."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mainstem.core import Parts
from mainstem.score import _lens as lenses
from mainstem.score import _reader as readers
from mainstem.score import direct, lens
from mainstem.stream import Entries, Pass, Ranks, applies, pull, readout, take
from mainstem.stream import _aim as aims
from mainstem.stream import _parts as parts_room
from stream._runs import built, main, mapped, passes, plant_biases
from zoo import ZOO

SAME = {"rtol": 1e-12, "atol": 1e-12}
TOKENS = [
    "gpt2",
    "gptj",
    "neox",
    "llama",
    "gemma2",
    "falcon",
    "bloom",
    "granite",
    "mixtral",
    "mamba",
    "bert",
    "t5",
    "shared",
    "experts",
]
PLAIN = ["resnet", "vit", "cifar", "tabular_linear"]


def entries(run: Pass, how: str) -> Entries:
    """Targets of every kind: one token everywhere, a contrast, one a prompt at one place, another one at every place."""
    shape, size = run.output().shape[:-1], run.output().shape[-1]
    each = torch.arange(shape.numel()).reshape(shape) * 7 % size
    if how == "one":
        ids, weights = torch.full((*shape, 1), size - 1), torch.ones(*shape, 1)
    elif how == "contrast":
        ids = torch.tensor([0, size - 1]).expand(*shape, 2)
        weights = torch.tensor([1.0, -1.0]).expand(*shape, 2)
    elif how == "each":
        ids, weights = each[..., None], torch.ones(*shape, 1)
    else:
        ids, weights = each[..., None], torch.zeros(*shape, 1)
        weights[:, -1] = 1.0
    return Entries(ids, weights.to(run.output().dtype))


def close(one: Parts, other: Parts) -> None:
    """Group by group the same numbers, as shares of the largest."""
    assert [g.label for g in one.groups] == [g.label for g in other.groups]
    for a, b in zip(one.groups, other.groups, strict=True):
        torch.testing.assert_close(a.values, b.values, **SAME, msg=lambda text, a=a: f"{a.label}: {text}")
    torch.testing.assert_close(one.whole, other.whole, **SAME)
    assert one.error <= one.bound


def levels(run: Pass) -> list[str]:
    return ["write", *(n for n in ("head", "edge", "neuron") if any(applies(w, n) for w in run.stream.writes))]


@pytest.fixture
def dense(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns every quick way off: what is left is a dense direction, transposes by autograd, and whole tensors of logits."""

    def off() -> None:
        monkeypatch.setattr(aims, "last_product", lambda program: None)
        monkeypatch.setattr(parts_room, "split", lambda affine: None)
        monkeypatch.setattr(readers, "last_product", lambda program: None)

    return off


@pytest.mark.parametrize("how", ["one", "contrast", "each", "place"])
@pytest.mark.parametrize("name", [*TOKENS, *PLAIN])
def test_entries_give_what_the_dense_direction_gives(name, how):
    """With large biases everywhere, so that no constant can be lost on the way."""
    for run in passes(name, change=plant_biases):
        if how == "place" and run.output().ndim != 3:
            continue
        target = entries(run, how)
        every = run.output().ndim == 3 and how != "place"
        quick = [direct(run, target, level, every) for level in levels(run)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aims, "last_product", lambda program: None)
            patch.setattr(parts_room, "split", lambda affine: None)
            slow = [direct(run, target.dense(run.output()), level, every) for level in levels(run)]
        for one, other in zip(quick, slow, strict=True):
            close(one, other)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bloom", "granite", "bert"])
def test_the_readout_is_narrowed_to_the_entries(name):
    """So that the comparison above is one of two ways: no tensor as wide as the vocabulary is in the sweep."""
    run = main(name)
    sweep = pull(run, entries(run, "contrast"))
    assert sweep.aim.output.shape[-1] == sweep.aim.weights.shape[-1] == 2
    assert all(c.shape[-1] <= 48 for _, c, _ in sweep.constants)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bloom", "granite", "bert"])
@pytest.mark.parametrize("how", ["one", "contrast", "place"])
def test_one_target_has_directions_that_are_multiples(name, how):
    """In pre-norm models and post-norm ones: frozen norms scale rows. Behind BERT's head, with its activation, they do not."""
    run = main(name)
    sweep = pull(run, entries(run, how))
    rows = sweep.at[0].reshape(-1, sweep.at[0].shape[-1])
    found = sweep.ranks.of(rows)
    if name == "bert" and how != "place":
        assert found is None
        return
    assert found is not None
    torch.testing.assert_close(found.times(torch.eye(rows.shape[1], dtype=rows.dtype)), rows, **SAME)


def test_rows_that_are_not_multiples_are_none():
    rows = torch.randn(12, 5, dtype=torch.float64)
    assert Ranks().of(rows) is None
    scaled = torch.randn(12, 1, dtype=torch.float64) * rows[:1]
    found = Ranks().of(scaled)
    torch.testing.assert_close(found.times(torch.eye(5, dtype=torch.float64)), scaled, **SAME)
    off = scaled.clone()
    off[3, 2] += 1e-9
    assert Ranks().of(off) is None
    kinds = torch.arange(12) % 3
    several = torch.randn(12, 1, dtype=torch.float64) * rows[:3][kinds]
    several[5] = 0
    assert Ranks().of(several) is None
    found = Ranks(kinds, 3).of(several)
    torch.testing.assert_close(found.times(torch.eye(5, dtype=torch.float64)), several, **SAME)
    assert Ranks(torch.arange(12) // 4, 3).of(several) is None
    nothing = Ranks().of(torch.zeros(4, 5))
    assert not bool(nothing.times(torch.eye(5)).any())
    assert Ranks().of(scaled.clone().requires_grad_()) is None


@pytest.mark.parametrize("name", TOKENS)
def test_a_run_of_one_position_says_what_the_whole_run_says(name):
    module, args, kwargs = built(name)
    whole = take(module, mapped(name), args, kwargs)
    if whole.output().ndim != 3:
        pytest.skip("an output without positions")
    n = whole.output().shape[1]
    only = torch.arange(whole.output().shape[0]) * 3 % n
    one = take(module, mapped(name), args, kwargs, only=only)
    rows = torch.arange(len(only))
    if one.cut is None:
        assert name == "t5"  # the encoder's ids are of another length than the decoder's
        return
    torch.testing.assert_close(one.output(), whole.output()[rows, only][:, None], **SAME)
    assert one.output().shape == (len(only), 1, whole.output().shape[-1])
    for t in range(len(whole.stream.points)):
        torch.testing.assert_close(one.point(t), whole.point(t), **SAME)
    size = whole.output().shape[-1]
    there = torch.zeros(*whole.output().shape[:2], 1, dtype=whole.dtype)
    there[rows, only] = 1.0
    for level in levels(whole):
        all_of_it = Entries(torch.full((*whole.output().shape[:2], 1), size - 2), there)
        here = Entries(torch.full((len(only), 1, 1), size - 2), torch.ones(len(only), 1, 1, dtype=whole.dtype))
        close(direct(one, here, level), direct(whole, all_of_it, level))
        close(direct(one, here.dense(one.output()), level), direct(whole, all_of_it, level))


@pytest.mark.parametrize("norm", ["own", "final"])
@pytest.mark.parametrize("name", [*TOKENS, *PLAIN])
def test_the_lens_in_tiles_is_the_dense_lens(name, norm, dense, monkeypatch):
    """With tiles of a few rows that end within a point, and of several points at once."""
    run = passes(name, change=plant_biases)[0]
    target = torch.arange(run.output().shape[:-1].numel()).reshape(run.output().shape[:-1]) % run.output().shape[-1]
    one_tile = lens(run, target, norm)
    monkeypatch.setattr(lenses, "TILE", 5 * run.output().shape[-1])
    tiles = lens(run, target, norm)
    dense()
    whole = lens(run, target, norm)
    for column in ("tokens", "top_logprob", "logit", "logprob", "rank", "entropy", "kl"):
        for found in (one_tile, tiles):
            torch.testing.assert_close(getattr(found, column), getattr(whole, column), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("norm", ["own", "final"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bert", "falcon"])
def test_the_lens_of_one_position_is_a_column_of_the_lens(name, norm):
    module, args, kwargs = built(name)
    whole = take(module, mapped(name), args, kwargs)
    only = torch.tensor([4, 0])
    one = take(module, mapped(name), args, kwargs, only=only)
    assert one.cut is not None
    every = lens(whole, torch.full(whole.output().shape[:2], 3), norm)
    for run in (whole, one):
        found = lens(run, torch.full((2, 1), 3), norm, only)
        for column in ("tokens", "logprob", "rank", "entropy", "kl"):
            torch.testing.assert_close(
                getattr(found, column), getattr(every, column)[:, [0, 1], only][..., None], rtol=1e-11, atol=1e-11
            )


def test_the_readout_is_noted_in_the_one_run(monkeypatch):
    run = main("llama")
    monkeypatch.setattr(type(run.module), "forward", None)
    torch.testing.assert_close(readout(run).live(run.face(4)), run.output(), **SAME)


@pytest.mark.parametrize("name", ["gpt2", "llama", "mixtral", "bert", "falcon", "mamba"])
def test_held_levels_need_no_second_run_and_give_the_same(name, monkeypatch):
    module, args, kwargs = built(name)
    once = take(module, mapped(name), args, kwargs)
    names = [level for level in levels(once) if level != "write"]
    held = take(module, mapped(name), args, kwargs, levels=names)
    again = [direct(once, entries(once, "one"), level) for level in names]
    monkeypatch.setattr(type(module), "forward", None)  # it cannot be run again
    for level, other in zip(names, again, strict=True):
        close(direct(held, entries(held, "one"), level), other)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_gradients_of_scores_do_not_depend_on_the_way(name, dense):
    module, args, kwargs = built(name)

    def gradient(how: str) -> list[Tensor]:
        run = take(module, mapped(name), args, kwargs, grad=True)
        parts = direct(run, entries(run, "one"), how, keep_pos=True)
        loss = sum(g.values.square().sum() for g in parts.groups)
        return [p for p in torch.autograd.grad(loss, list(module.parameters()), allow_unused=True) if p is not None]

    quick = [gradient(how) for how in ("write", "neuron", "head")]
    dense()
    for one, other in zip(quick, [gradient(how) for how in ("write", "neuron", "head")], strict=True):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2"])
def test_low_precision_keeps_its_rows_of_rounding(name):
    module, args, kwargs = built(name, torch.bfloat16)
    run = take(module, mapped(name), args, kwargs)
    for level in levels(run):
        quick, slow = (direct(run, g, level) for g in (entries(run, "one"), entries(run, "one").dense(run.output())))
        assert [g.label for g in quick.groups] == [g.label for g in slow.groups]
        assert any(g.kind == "rounding" for g in quick.groups)
        assert quick.error <= quick.bound
        for a, b in zip(quick.groups, slow.groups, strict=True):
            torch.testing.assert_close(a.values, b.values, rtol=1e-3, atol=1e-4)


def test_a_module_that_needs_all_rows_gets_them():
    module, args, kwargs = ZOO["gpt2"]()
    whole = module.lm_head.forward
    module.lm_head.forward = lambda x: whole(x).view(2, 7, -1)
    only = torch.tensor([6, 6])
    run = take(module, mapped("gpt2"), args, kwargs, only=only)
    assert run.cut is None
    assert run.output().shape[:2] == (2, 7)
