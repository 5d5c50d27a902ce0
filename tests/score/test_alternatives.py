"""Attribution of alternatives, contrasts of them and sequences: the rows are the log-sum-exp of the model's own logits."""

from itertools import product

import pytest
import torch
from torch import Tensor

from mainstem.core import Parts
from mainstem.score import Goal, direct
from mainstem.stream import Entries, Pass, applies, take
from stream._runs import built, main, mapped, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
TOKENS = ["gpt2", "gptj", "neox", "llama", "gemma2", "falcon", "bloom", "granite", "mixtral", "mamba", "bert", "t5"]
PLAIN = ["resnet", "vit", "cifar"]
SETS = {"any_of": ([1, 0, 2], None), "contrast": ([1, 2], [0, 1]), "among": ([2], [2, 0, 1]), "token": ([2], [0])}


def same(run: Pass, ids: list[int], against: list[int] | None, every: bool = False) -> Goal:
    """The same alternatives for every prompt, at its last place or at all."""
    shape = run.output().shape[:-1] if every else run.output().shape[:1]
    at = [torch.arange(n) for n in shape]
    places = torch.cartesian_prod(*at).reshape(shape.numel(), -1)
    if run.output().ndim == 3 and not every:
        places = torch.cat([places, torch.full_like(places, run.output().shape[1] - 1)], 1)
    n = len(places)
    return made(places, torch.tensor(ids).expand(n, -1), None if against is None else torch.tensor(against).expand(n, -1), shape)


def made(places: Tensor, ids: Tensor, against: Tensor | None, shape: torch.Size, owner: Tensor | None = None) -> Goal:
    n = len(places)
    full = torch.ones_like(ids, dtype=torch.bool), None if against is None else torch.ones_like(against, dtype=torch.bool)
    return Goal(
        places, ids, full[0], against, full[1], torch.ones(n), torch.arange(n) if owner is None else owner, tuple(shape), ""
    )


def odds(logits: Tensor, ids: list[int], against: list[int] | None) -> Tensor:
    """The oracle: log of the sum of exponentials, less that of the other side."""
    wanted = logits[..., ids].exp().sum(-1).log()
    return wanted if against is None else wanted - logits[..., against].exp().sum(-1).log()


def levels(run: Pass) -> list[str]:
    return ["write", *(n for n in ("head", "edge", "neuron") if any(applies(w, n) for w in run.stream.writes))]


def assert_closes(parts: Parts, wanted: Tensor, **close: float) -> None:
    torch.testing.assert_close(parts.whole, wanted, **close)
    torch.testing.assert_close(torch.cat([g.flat() for g in parts.groups]).sum(0), wanted, **close)


@pytest.mark.parametrize("name", [*TOKENS, *PLAIN])
def test_rows_sum_to_the_log_sum_exp_of_the_logits(name):
    for run in passes(name, change=plant_biases):
        last = run.output()[:, -1] if run.output().ndim == 3 else run.output()
        for level, kind in product(levels(run), SETS):
            parts = direct(run, same(run, *SETS[kind]), level)
            assert_closes(parts, odds(last, *SETS[kind]), **TIGHT)
            assert any(g.label == "readout.choice" for g in parts.groups) == (kind != "token")


@pytest.mark.parametrize("name", TOKENS)
def test_rows_sum_at_every_place(name):
    run = main(name)
    for kind in ("any_of", "contrast"):
        parts = direct(run, same(run, *SETS[kind], every=True), "head")
        assert parts.rest == ("batch", "pos")
        assert_closes(parts, odds(run.output(), *SETS[kind]), **TIGHT)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bert", "resnet"])
@pytest.mark.parametrize("kind", SETS)
def test_rows_close_in_float32_and_bfloat16(name, kind):
    for dtype in (torch.float32, torch.bfloat16):
        run = main(name, dtype)
        last = run.output()[:, -1] if run.output().ndim == 3 else run.output()
        parts = direct(run, same(run, *SETS[kind]), "neuron")
        assert_closes(parts, odds(last, *SETS[kind]), rtol=1e-5, atol=max(parts.bound, 1e-6))
        assert parts.error <= parts.bound < 1e-2


@pytest.mark.parametrize("name", ["gpt2", "bert", "mixtral", "resnet"])
def test_the_rows_are_those_of_the_tokens_weighed_by_their_shares(name):
    run, ids = main(name), [1, 4, 2]
    last = run.output()[:, -1] if run.output().ndim == 3 else run.output()
    parts = direct(run, same(run, ids, None), "neuron")
    shares = last[:, ids].softmax(-1)
    alone = [direct(run, same(run, [i], None), "neuron") for i in ids]
    for group in parts.groups[:-1]:
        wanted = sum(shares[:, i] * one[group.label] for i, one in enumerate(alone))
        torch.testing.assert_close(parts[group.label], wanted, **TIGHT)
    torch.testing.assert_close(parts["readout.choice"], -(shares * shares.log()).sum(-1), **TIGHT)
    assert parts.groups[-1].kind == "constant"


def test_one_alternative_is_the_token():
    run = main("gpt2")
    shape = run.output().shape[:2]
    there = torch.zeros(*shape, 1, dtype=run.dtype)
    there[:, -1] = 1.0
    token = direct(run, Entries(torch.full((*shape, 1), 4), there), "neuron")
    found = direct(run, same(run, [4], None), "neuron")
    assert [g.label for g in found.groups] == [g.label for g in token.groups]
    torch.testing.assert_close(found.tensor, token.tensor, **TIGHT)
    torch.testing.assert_close(found.whole, run.output()[:, -1, 4], **TIGHT)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "mamba", "bert"])
def test_the_places_of_a_sequence_are_summed(name):
    """Two tokens of the first prompt, three of the second."""
    run, logits = main(name), main(name).output()
    places = torch.tensor([[0, 4], [0, 5], [1, 2], [1, 3], [1, 4]])
    ids = torch.tensor([[3], [9], [7], [1], [3]])
    sequence = made(places, ids, None, run.output().shape[:1], places[:, 0])
    each = logits[places[:, 0], places[:, 1], ids[:, 0]]
    for level in levels(run):
        parts = direct(run, sequence, level)
        assert_closes(parts, torch.stack([each[:2].sum(), each[2:].sum()]), **TIGHT)
    mixed = made(places, torch.cat([ids, ids + 20], 1), ids + 1, run.output().shape[:1], places[:, 0])
    rows = logits[places[:, 0], places[:, 1]]
    each = rows.gather(1, torch.cat([ids, ids + 20], 1)).logsumexp(-1) - rows.gather(1, ids + 1)[:, 0]
    assert_closes(direct(run, mixed, "edge"), torch.stack([each[:2].sum(), each[2:].sum()]), **TIGHT)


def test_a_run_of_one_position_says_the_same():
    module, args, kwargs = built("llama")
    only = torch.tensor([6, 2])
    one = take(module, mapped("llama"), args, kwargs, only=only)
    places = torch.stack([torch.arange(2), only], 1)
    target = made(places, torch.tensor([[3, 9], [7, 1]]), torch.tensor([[4], [5]]), one.output().shape[:1])
    assert one.cut is not None
    torch.testing.assert_close(direct(one, target, "edge").tensor, direct(main("llama"), target, "edge").tensor, **TIGHT)


def test_places_of_padding_and_other_counts_of_alternatives():
    run = main("gpt2")
    target = same(run, [1, 4, 2], None, every=True)
    target.weights[[0, 1]] = 0.0
    target.mask[3, 1:] = False
    whole = odds(run.output(), [1, 4, 2], None)
    whole[0, :2] = 0.0
    whole[0, 3] = run.output()[0, 3, 1]
    parts = direct(run, target, "edge")
    assert_closes(parts, whole, **TIGHT)
    assert not bool(parts.tensor[:, 0, :2].any())
    assert float(parts["readout.choice"][0, 3]) == 0.0


def test_a_token_that_cannot_come_takes_no_part(monkeypatch):
    run = passes("gpt2")[0]
    output = run.output().index_fill(-1, torch.tensor([2]), -torch.inf)
    monkeypatch.setattr(Pass, "output", lambda self: output)
    assert_closes(direct(run, same(run, [1, 2, 4], None)), odds(output[:, -1], [1, 4], None), **TIGHT)


@pytest.mark.parametrize("kind", SETS)
def test_gradients_are_those_of_the_log_sum_exp(kind):
    """The shares change with the logits; what that adds to the rows, the constant takes back."""
    module, args, kwargs = built("llama")
    run = take(module, mapped("llama"), args, kwargs, grad=True)
    weights = [p for p in module.parameters() if p.requires_grad]
    both = [
        torch.autograd.grad(value.sum(), weights, retain_graph=True, allow_unused=True)
        for value in (direct(run, same(run, *SETS[kind])).whole, odds(run.output()[:, -1], *SETS[kind]))
    ]
    assert any(g is not None and bool(g.any()) for g in both[0])
    for found, wanted in zip(*both, strict=True):
        if wanted is not None:
            torch.testing.assert_close(found, wanted, **TIGHT)


def test_the_sum_of_the_rows_has_the_gradient_of_the_whole():
    module, args, kwargs = built("gpt2")
    run = take(module, mapped("gpt2"), args, kwargs, grad=True)
    parts = direct(run, same(run, *SETS["contrast"]))
    weights = [p for p in module.parameters() if p.requires_grad]
    found, wanted = (torch.autograd.grad(v.sum(), weights, retain_graph=True) for v in (parts.sum(), parts.whole))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
