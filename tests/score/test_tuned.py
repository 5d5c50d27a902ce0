"""Translators, their gradients and their start are what one computes without tiles, splits and sums."""

import pytest
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Descent, Lens, Moments, Translators, divergences, gradients, lens, no_translators, unembedding
from mainstem.score import _tuned as machinery
from mainstem.score._reader import face
from mainstem.stream import Pass, readout, take
from stream._runs import built, main, mapped, passes
from stream.test_memory import Largest
from zoo import ZOO

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
READABLE = sorted(set(ZOO) - {"tabular", "tabular_linear", "second_path"})  # those have one output
SOME = ["gpt2", "llama", "gemma2", "granite", "bert", "neox", "falcon", "vit", "resnet", "cifar", "t5"]


def target(run: Pass) -> Tensor:
    return run.output().argmax(-1)


def rows(run: Pass) -> Tensor:
    """Every row of the output but the first."""
    return torch.arange(1, run.output().shape[:-1].numel())


def planted(run: Pass, size: float = 0.1) -> Translators:
    """Translators that are not zero."""
    nothing = no_translators(run)
    return Translators(size * torch.randn_like(nothing.matrices), size * torch.randn_like(nothing.shifts))


def by_hand(run: Pass, t: int, lens: Translators) -> Tensor:
    """Logits of a translated point, by the readout in one piece."""
    x, axis = face(run, t), run.stream.points[-1].axis
    if t < len(lens.shifts):
        moved = torch.einsum("oi,...i->...o", lens.matrices[t], x.movedim(axis, -1)) + lens.shifts[t]
        x = x + moved.movedim(-1, axis)
    return readout(run).live(x).flatten(0, -2)


def kl(run: Pass, logits: Tensor) -> Tensor:
    final = run.output().flatten(0, -2).log_softmax(-1)
    return nn.functional.kl_div(logits.log_softmax(-1), final, log_target=True, reduction="none").sum(-1)


def same(found: Lens, other: Lens) -> bool:
    names = ("tokens", "top_logprob", "logit", "logprob", "rank", "entropy", "kl")
    return all(torch.equal(getattr(found, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_zero_it_is_the_logit_lens_to_the_last_bit(name, dtype):
    run = main(name, dtype)
    tuned = lens(run, target(run), tuned=no_translators(run))
    assert same(tuned, lens(run, target(run)))
    assert tuned.name == "tuned lens"
    assert not same(lens(run, target(run), tuned=planted(run)), tuned)


@pytest.mark.parametrize("name", READABLE)
def test_a_point_is_translated_before_the_readout_and_the_last_never(name):
    run = main(name)
    translators = planted(run)
    found = lens(run, target(run), tuned=translators)
    for t in range(len(run.stream.points)):
        torch.testing.assert_close(found.kl[t].flatten(), kl(run, by_hand(run, t, translators)), **TIGHT)
    assert float(found.kl[-1].abs().max()) < 1e-12


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("tile", [1, 150, 2**22])
def test_gradients_are_those_of_the_divergence(name, tile, monkeypatch):
    """Held against autograd through the readout in one piece, for tiles of one row, of some and of all."""
    monkeypatch.setattr(machinery, "TILE", tile)
    run = main(name)
    translators, some = planted(run), rows(run)
    found, slopes = gradients(run, translators, some)
    a, b = (w.clone().requires_grad_() for w in (translators.matrices, translators.shifts))
    each = [kl(run, by_hand(run, t, Translators(a, b)))[some].mean() for t in range(len(b))]
    wanted = torch.autograd.grad(torch.stack(each).sum(), (a, b))
    torch.testing.assert_close(found, torch.stack(each).detach(), **TIGHT)
    torch.testing.assert_close(slopes.matrices, wanted[0], **TIGHT)
    torch.testing.assert_close(slopes.shifts, wanted[1], **TIGHT)
    assert float(slopes.matrices.abs().max()) > 1e-6


@pytest.mark.parametrize("name", SOME)
def test_what_is_kept_aside_is_measured_as_the_lens_measures(name):
    run = main(name)
    both = no_translators(run), planted(run)
    found = divergences(run, both, rows(run))
    for one, values in zip(both, found, strict=True):
        torch.testing.assert_close(values, lens(run, target(run), tuned=one).kl[:-1].flatten(1)[:, 1:].mean(1), **TIGHT)


def test_the_model_takes_no_part():
    module, args, kwargs = built("gpt2", torch.float32)
    flags = [i % 2 == 0 for i, _ in enumerate(module.parameters())]
    for p, flag in zip(module.parameters(), flags, strict=True):
        p.requires_grad_(flag)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    run = take(module, mapped("gpt2"), args, kwargs)
    _, slopes = gradients(run, planted(run), rows(run))
    assert not slopes.matrices.requires_grad
    assert [p.requires_grad for p in module.parameters()] == flags
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_nothing_larger_than_the_output_is_made():
    """All points' logits are never held at once."""
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 32, "vocab_size": 5000}
    module = GPT2LMHeadModel(GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    ids = torch.arange(18).reshape(2, 9)
    run = take(module, find(module, ids), (ids,), {})
    translators, some = planted(run), rows(run)
    with Largest() as largest:
        gradients(run, translators, some)
    assert largest.numel <= run.output().numel()
    with Largest() as all_at_once:
        torch.stack([by_hand(run, t, translators) for t in range(len(translators.shifts))])
    assert all_at_once.numel == 4 * run.output().numel()


@pytest.mark.parametrize("name", ["gpt2", "bert", "resnet"])
def test_the_start_is_least_squares(name):
    """The minimum of the mean of |x + A x + b - last|^2 + r |A|^2, as one finds it from the rows themselves."""
    run = main(name)
    moments = Moments(run)
    for _ in range(2):  # twice the same rows: the mean stays, the count does not
        moments.add(run, None)
    found, axis = moments.solve(), run.stream.points[-1].axis
    last = face(run, len(run.stream.points) - 1).movedim(axis, -1).flatten(0, -2)
    for t in range(len(found.shifts)):
        x = face(run, t).movedim(axis, -1).flatten(0, -2)
        centred, missing, (n, d) = x - x.mean(0), (last - x) - (last - x).mean(0), x.shape
        ridge = centred.square().mean(0).median() * d / (2 * n)
        rows = torch.cat([centred, (n * ridge).sqrt() * torch.eye(d).double()])
        a = torch.linalg.lstsq(rows, torch.cat([missing, torch.zeros(d, d).double()])).solution.mT
        torch.testing.assert_close(found.matrices[t], a, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(found.shifts[t], (last - x).mean(0) - a @ x.mean(0), rtol=1e-6, atol=1e-9)


def test_padding_is_not_regressed_on():
    run = main("gpt2")
    real = torch.ones(2, 7, dtype=torch.bool)
    real[1, 4:] = False
    moments, alone = Moments(run), Moments(run)
    moments.add(run, real)
    assert moments.count == 11
    alone.add(run, torch.ones_like(real))
    assert not torch.allclose(moments.solve().shifts, alone.solve().shifts)
    x = face(run, 1)[real]
    wanted = x.square().mean(1).log().mean().div(2).exp()
    torch.testing.assert_close(moments.scales()[1], wanted, **TIGHT)


def test_points_that_never_change_are_translated_by_a_shift_alone():
    class Constant(Pass):
        def point(self, t: int) -> Tensor:
            return torch.ones_like(super().point(t)) if t == 0 else super().point(t)

    made = main("gpt2")
    run = Constant(**{name: getattr(made, name) for name in Pass.__dataclass_fields__})
    moments = Moments(run)
    moments.add(run, None)
    found = moments.solve()
    assert float(found.matrices[0].abs().max()) < 1e-6
    torch.testing.assert_close(found.shifts[0] + 1, face(run, 4).flatten(0, 1).mean(0), **TIGHT)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_steps_are_those_of_sgd_with_nesterov_momentum(decay):
    """Held against torch's optimizer, one for each point, with the gradient clipped and shifts in their own units."""
    scales = torch.tensor([0.5, 2.0, 30.0])
    start = Translators(torch.randn(3, 4, 4), torch.randn(3, 4))
    found, wanted = run_steps(start, scales, decay), nesterov(start, scales, decay)
    torch.testing.assert_close(found.matrices, wanted[0])
    torch.testing.assert_close(found.shifts, wanted[1])


def slopes_of(points: int, d: int) -> list[Translators]:
    generator = torch.Generator().manual_seed(3)
    found = [
        Translators(torch.randn(points, d, d, generator=generator) / 9, torch.randn(points, d, generator=generator) / 9)
        for _ in range(3)
    ]
    found[1].matrices[1].mul_(30)
    return found


def run_steps(start: Translators, scales: Tensor, decay: float) -> Translators:
    descent = Descent(start, scales, 0.3, decay)
    for left, slopes in zip((1.0, 0.6, 0.2), slopes_of(3, 4), strict=True):
        descent.step(slopes, left)
    return descent.lens


def nesterov(start: Translators, scales: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    a = [nn.Parameter(x.clone()) for x in start.matrices]
    b = [nn.Parameter(x / s) for x, s in zip(start.shifts, scales, strict=True)]
    made = torch.optim.SGD([{"params": a, "weight_decay": decay}, {"params": b}], lr=0.3, momentum=0.9, nesterov=True)
    for left, slopes in zip((1.0, 0.6, 0.2), slopes_of(3, 4), strict=True):
        for t in range(3):
            a[t].grad, b[t].grad = slopes.matrices[t].clone(), slopes.shifts[t] * scales[t]
            length = torch.cat([a[t].grad.flatten(), b[t].grad]).norm().clamp_min(1)
            a[t].grad, b[t].grad = a[t].grad / length, b[t].grad / length
        for group in made.param_groups:
            group["lr"] = 0.3 * left
        made.step()
    return torch.stack([x.detach() for x in a]), torch.stack([x.detach() * s for x, s in zip(b, scales, strict=True)])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "vit", "resnet"])
def test_the_unembedding_is_the_modules_own(name):
    run = main(name, torch.float32)
    matrix, bias = unembedding(run)
    heads = {"gpt2": "lm_head", "llama": "lm_head", "bert": "cls.predictions.decoder", "vit": "classifier"}
    head = run.module.get_submodule(heads.get(name, "classifier.1"))
    assert matrix is head.weight
    assert bias is head.bias


def test_in_low_precision_translators_are_float32():
    run = passes("llama", torch.bfloat16)[0]
    found, slopes = gradients(run, no_translators(run), rows(run))
    assert slopes.matrices.dtype == found.dtype == torch.float32
    assert unembedding(run)[0].dtype == torch.bfloat16
    moments = Moments(run)
    moments.add(run, None)
    assert moments.solve().shifts.dtype == torch.float32


def test_translators_of_another_stream_and_another_norm_are_refused():
    run = main("gpt2")
    translators = no_translators(run)
    with pytest.raises(InputError, match="this lens is of 4 points of width 32, this stream has 5 of width 32: fit one"):
        lens(run, target(run), tuned=Translators(translators.matrices[1:], translators.shifts[1:]))
    with pytest.raises(InputError, match="a tuned lens is trained with every point's own norm"):
        lens(run, target(run), "final", tuned=translators)
