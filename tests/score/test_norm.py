"""Norms are recognised by what they do, whatever they are called, and what is no norm is not taken for one."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mainstem.score._norm import Norm, recognised

WIDTHS = [2, 7, 32, 65]
EPS = [1e-12, 1e-8, 1e-6, 1e-5, 1e-2]


def like(width: int) -> Tensor:
    return 5 * torch.randn(6, width, dtype=torch.float64) + 1


def agrees(found: Norm | None, f: Callable[[Tensor], Tensor], width: int, size: float = 1.0) -> None:
    """At vectors that it was not told by: short and long ones, far from their mean, one with a large number in it."""
    assert found is not None
    y = size * torch.randn(40, width, dtype=torch.float64) * torch.logspace(-3, 3, 40, dtype=torch.float64)[:, None]
    y[:10] += 100
    y[10, 0] = 1e4
    torch.testing.assert_close(found(y), f(y), rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found(torch.zeros_like(y)), f(torch.zeros_like(y)), rtol=1e-12, atol=1e-12)


def gains(width: int) -> tuple[Tensor, Tensor]:
    gain, bias = torch.randn(width, dtype=torch.float64), 3 * torch.randn(width, dtype=torch.float64)
    gain[0] = 0.0
    return gain, bias


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("width", WIDTHS)
def test_layer_norm(width, eps):
    gain, bias = gains(width)
    found = recognised(lambda y: F.layer_norm(y, (width,), gain, bias, eps), like(width))
    agrees(found, lambda y: F.layer_norm(y, (width,), gain, bias, eps), width)
    assert found.centred and found.scaled
    assert found.eps == pytest.approx(eps, rel=1e-5)
    torch.testing.assert_close(found.gain, gain, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.bias, bias, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eps", EPS)
@pytest.mark.parametrize("width", WIDTHS)
def test_root_mean_square_norm(width, eps):
    gain, _ = gains(width)

    def f(y: Tensor) -> Tensor:
        return gain * y * torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)

    found = recognised(f, like(width))
    agrees(found, f, width)
    assert not found.centred and found.scaled
    assert found.eps == pytest.approx(eps, rel=1e-5)
    torch.testing.assert_close(found.gain, gain, rtol=1e-9, atol=1e-12)
    assert not bool(found.bias.any())


@pytest.mark.parametrize("width", WIDTHS)
def test_norms_of_other_makes(width):
    """One plus the weight, no parameters, a head that only normalises, a norm behind a scale, one with a bias added after."""
    gain, bias = gains(width)
    makes = {
        "one more": lambda y: F.rms_norm(y, (width,), None, 1e-6) * (1 + gain),
        "layer norm alone": lambda y: F.layer_norm(y, (width,)),
        "rms norm alone": lambda y: F.rms_norm(y, (width,), None, 1e-5),
        "unit length": lambda y: F.normalize(y, dim=-1),
        "scaled before": lambda y: F.layer_norm(12.5 * y, (width,), gain, bias, 1e-5),
        "scaled after": lambda y: 0.125 * F.rms_norm(y, (width,), gain, 1e-5),
        "shifted after": lambda y: F.rms_norm(y, (width,), gain, 1e-5) + bias,
    }
    for name, f in makes.items():
        agrees(recognised(f, like(width)), f, width)
        assert recognised(f, like(width)).scaled, name


@pytest.mark.parametrize("width", WIDTHS)
def test_what_does_not_divide_by_a_size_has_no_scale(width):
    gain, bias = gains(width)
    mean, var = torch.randn(width, dtype=torch.float64), torch.rand(width, dtype=torch.float64) + 0.5
    makes = {
        "nothing": lambda y: y,
        "a gain": lambda y: gain * y + bias,
        "batch norm at rest": lambda y: F.batch_norm(y, mean, var, gain, bias),
        "centred only": lambda y: y - y.mean(-1, keepdim=True),
    }
    for name, f in makes.items():
        found = recognised(f, like(width))
        agrees(found, f, width)
        assert not found.scaled, name
        assert found.centred == (name == "centred only")


def no_norms(width: int) -> dict[str, Callable[[Tensor], Tensor]]:
    gain, bias = gains(width)
    matrix = torch.randn(width, width, dtype=torch.float64)
    return {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "a matrix": lambda y: y @ matrix,
        "a norm, then a matrix": lambda y: F.layer_norm(y, (width,)) @ matrix,
        "a norm, then gelu": lambda y: F.gelu(F.layer_norm(y, (width,), gain, bias)),
        "two norms": lambda y: F.layer_norm(F.layer_norm(y, (width,), gain, bias), (width,)),
        "epsilon beside the root": lambda y: y / (y.square().mean(-1, keepdim=True).sqrt() + 0.1),
        "longer the longer it is": lambda y: y * y.abs().sum(-1, keepdim=True),
        "less the longer it is": lambda y: y / (1 + y.square().sum(-1, keepdim=True)),
        "the largest number": lambda y: y / (y.abs().amax(-1, keepdim=True) + 1e-6),
        "the first half": lambda y: y / (y[..., : width // 2].square().mean(-1, keepdim=True) + 1e-5).sqrt(),
        "by groups": lambda y: F.group_norm(y, 2) if width % 2 == 0 else y.cumsum(-1),
        "statistics of the rows": lambda y: (y - y.mean(0)) / (y.var(0, correction=0) + 1e-5).sqrt(),
        "row by row another": lambda y: y * torch.arange(1, len(y) + 1, dtype=y.dtype)[:, None],
        "no number": lambda y: y * torch.nan,
        "infinite at nothing": lambda y: 1 / y,
        "nothing left": lambda y: 0 * y,
        "other width": lambda y: torch.cat([y, y], -1),
    }


@pytest.mark.parametrize("width", [7, 32])
@pytest.mark.parametrize("name", no_norms(4))
def test_what_is_no_norm(name, width):
    assert recognised(no_norms(width)[name], like(width)) is None


def test_a_norm_at_most_vectors_but_not_at_these():
    """What the function will be used for decides as well: here very long rows are cut."""
    width = 16

    def f(y: Tensor) -> Tensor:
        size = y.norm(dim=-1, keepdim=True)
        return F.rms_norm(torch.where(size > 1e5, y.clamp(-1, 1), y), (width,), None, 1e-5)

    assert recognised(f, like(width)) is not None
    assert recognised(f, 1e6 * like(width)) is None


def test_its_scale_may_be_given():
    gain, bias = gains(8)
    norm, y = Norm(gain, bias, 1e-5, True), torch.randn(3, 8, dtype=torch.float64)
    given = torch.tensor([0.5, 2.0, 10.0], dtype=torch.float64)
    torch.testing.assert_close(norm(y, given), gain * (y - y.mean(-1, keepdim=True)) / given[:, None] + bias)
    torch.testing.assert_close(norm(y, norm.scale(y)), norm(y))


def test_a_given_scale_is_not_for_what_has_none():
    """A point that no norm stands at is read as it is, also where the last point's scale divides the others."""
    gain, bias = gains(8)
    plain, y = Norm(gain, bias, 0.0, False, False), torch.randn(3, 8, dtype=torch.float64)
    torch.testing.assert_close(plain(y, torch.full((3,), 7.0, dtype=torch.float64)), gain * y + bias)


def test_a_multiple_before_the_norm():
    """n(c y), by its own scale and by a given one."""
    gain, bias = gains(8)
    y, given = torch.randn(3, 8, dtype=torch.float64), torch.tensor([0.5, 2.0, 10.0], dtype=torch.float64)
    for centred in (True, False):
        longer, norm = Norm(gain, bias, 1e-2, centred, times=4.0), Norm(gain, bias, 1e-2, centred)
        torch.testing.assert_close(longer(y), norm(4 * y))
        torch.testing.assert_close(longer(y, given), norm(4 * y, given))
        torch.testing.assert_close(longer.scale(y), norm.scale(4 * y))


def test_nothing_without_epsilon_is_nothing():
    norm = Norm(torch.ones(4).double(), torch.full((4,), 2.0).double(), 0.0, False)
    assert torch.equal(norm(torch.zeros(1, 4, dtype=torch.float64)), torch.full((1, 4), 2.0, dtype=torch.float64))
