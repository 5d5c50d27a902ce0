"""Which norm a module is, told by what it makes of vectors."""

import pytest
import torch
import transformers
from torch import Tensor, nn

from mainstem.find._norm_form import Norm, norm_form, unscaled

WIDTH = 24


class Outside(nn.Module):
    """eps beside the root, not under it."""

    def forward(self, x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True).sqrt() + 0.1)


class OnePlus(nn.Module):
    """A gain of 1 + w."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.eps = nn.Parameter(torch.randn(WIDTH)), 1e-6

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        return ((1 + self.w) * wide * (wide.square().mean(-1, keepdim=True) + self.eps).rsqrt()).to(x.dtype)


class Unit(nn.Module):
    """|f(x)| = sqrt(width) but at zero, with nothing under the root."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x, dim=-1) * WIDTH**0.5


def live(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn_like(p))
    return module


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-5, 0.01])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_norm_is_told_with_gain_shift_and_eps(eps: float, bias: bool) -> None:
    module = live(nn.LayerNorm(WIDTH, eps, bias=bias))
    found = norm_form(module, WIDTH)
    assert found is not None and found.centred and found.eps == eps
    assert torch.equal(found.gain, module.weight.double())
    assert torch.equal(found.shift, module.bias.double() if bias else torch.zeros(WIDTH, dtype=torch.float64))


@pytest.mark.parametrize("eps", [1e-12, 1e-6, 1e-5, 0.01])
def test_an_rms_norm_is_told_also_where_it_casts(eps: float) -> None:
    for module in (live(nn.RMSNorm(WIDTH, eps)), live(transformers.models.llama.modeling_llama.LlamaRMSNorm(WIDTH, eps))):
        found = norm_form(module, WIDTH)
        assert found is not None and not found.centred and found.eps == eps
        assert torch.equal(found.gain, module.weight.double()) and not found.shift.any()


def test_a_gain_of_one_plus_w_and_no_eps_are_told() -> None:
    gained, unit = OnePlus(), norm_form(Unit(), WIDTH)
    found = norm_form(gained, WIDTH)
    assert found is not None and torch.equal(found.gain, 1 + gained.w.double())
    assert unit is not None and unit.eps == 0 and torch.allclose(unit.gain, torch.ones(WIDTH, dtype=torch.float64), rtol=1e-12)


@pytest.mark.parametrize(
    "module",
    [
        Outside(),
        nn.Identity(),
        nn.GELU(),
        nn.Softmax(-1),
        nn.GroupNorm(4, WIDTH),
        nn.Linear(WIDTH, 1),
        nn.Linear(WIDTH, WIDTH),
        nn.Tanh(),
    ],
)
def test_another_module_is_no_norm(module: nn.Module) -> None:
    assert norm_form(module, WIDTH) is None


@pytest.mark.parametrize("lively", [True, False])
@pytest.mark.parametrize("module", [nn.LayerNorm(WIDTH), nn.RMSNorm(WIDTH, 1e-5), OnePlus(), Unit()])
def test_what_stands_in_its_place_only_norms(module: nn.Module, lively: bool) -> None:
    found = norm_form(live(module) if lively else module, WIDTH)
    assert found is not None
    plain = unscaled(module, found)
    told = norm_form(plain, WIDTH)
    ones, none = torch.ones(WIDTH, dtype=torch.float64), torch.zeros(WIDTH, dtype=torch.float64)
    assert told is not None and told.same(Norm(False, found.eps, ones, none))
    assert isinstance(plain, nn.RMSNorm if found.centred else type(module))
    assert plain(torch.zeros(2, WIDTH)).eq(0).all()
