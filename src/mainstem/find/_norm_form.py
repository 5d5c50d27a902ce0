"""Which norm a module is, told by what it makes of vectors and not by its name."""

from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mainstem.core import MainstemError

from ._run import run

_SMALL, _MISS, _SNAP = 1e-3, 1e-9, 1e-5
_SIZES = (1e-4, 1e-2, 1.0, 30.0)


@dataclass(frozen=True, eq=False)
class Norm:
    """gain * (x - centred mean x) / sqrt(mean of that squared + eps) + shift, over the last axis.

    Parameters: `centred`, whether the mean is taken out; `eps`; `gain`; `shift`.
    """

    centred: bool
    eps: float
    gain: Float[Tensor, " width"]
    shift: Float[Tensor, " width"]

    def __call__(self, x: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """What it makes of vectors. Parameters: `x`."""
        inner = x - x.mean(-1, keepdim=True) if self.centred else x
        return self.gain * inner * (inner.square().mean(-1, keepdim=True) + self.eps).rsqrt() + self.shift

    def same(self, other: "Norm") -> bool:
        """Whether the other does the same to every vector. Parameters: `other`."""
        pairs = ((self.gain, other.gain), (self.shift, other.shift))
        return self.centred == other.centred and self.eps == other.eps and all(torch.equal(a, b) for a, b in pairs)


def norm_form(module: nn.Module, width: int) -> Norm | None:
    """The norm that a module is; None where it is none, or one of another form.

    Its shift is f(0); whether it is centred, f(x + 1) - f(x); eps and gain follow from f(x) and f(x/1000). The form found must then agree
    with f at vectors of many sizes, in float64.

    Parameters: `module`, called with one tensor; `width`, of its vectors.
    """
    if sum(p.numel() for p in module.parameters()) > 2 * width:
        return None
    try:
        return _told(deepcopy(module).double(), width)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError, MainstemError):
        return None  # called with one tensor of vectors it raises: it is no norm of them


@torch.no_grad()
def _told(module: nn.Module, width: int) -> Norm | None:
    source = torch.Generator().manual_seed(width)
    x = torch.randn(4, width, generator=source, dtype=torch.float64)
    shift = _of(module, torch.zeros_like(x))[0]
    y, small = _of(module, x) - shift, _of(module, _SMALL * x) - shift
    centred = bool((_of(module, x + 1) - shift - y).abs().max() < _MISS * y.abs().max())
    inner = x - x.mean(-1, keepdim=True) if centred else x
    square = inner.square().mean(-1, keepdim=True)
    ratio = (y.norm(dim=-1, keepdim=True) * _SMALL / small.norm(dim=-1, keepdim=True)).square()
    eps = _snapped(module, float((square * (ratio - _SMALL**2) / (1 - ratio)).median()))
    unit = inner * (square + eps).rsqrt()
    gain = (y * unit).sum(0) / unit.square().sum(0)
    found = Norm(centred, eps, _rounded(module, gain), _rounded(module, shift))
    for size in _SIZES:
        real, told = _of(module, size * x.roll(1, -1)), found(size * x.roll(1, -1))
        if not bool((real - told).abs().max() <= _MISS * real.abs().max()):
            return None
    return found


def _of(module: nn.Module, x: Tensor) -> Tensor:
    found = run(module, (x,), {}, double=True).result
    if not isinstance(found, Tensor) or found.shape != x.shape:
        raise ValueError("no tensor of the same shape")
    return found


def _snapped(module: nn.Module, eps: float) -> float:
    """The number among the module's attributes that eps was measured to be, else zero where it is none, else as measured."""
    numbers = [v for v in vars(module).values() if isinstance(v, float)]
    near = [v for v in numbers if abs(v - eps) <= _SNAP * abs(eps) + 1e-16]
    return near[0] if near else 0.0 if abs(eps) < 1e-15 else eps


def _rounded(module: nn.Module, measured: Tensor) -> Tensor:
    """A gain or shift as the module holds it, or that with one added, where it was measured to be that."""
    for p in module.parameters():
        for held in (p.detach(), 1 + p.detach()):
            if held.shape == measured.shape and bool((held - measured).abs().max() <= _MISS * (1 + held.abs().max())):
                return held.clone()
    whole = measured.round()  # ones where there is no gain, zeros where there is no shift
    return whole if bool((whole - measured).abs().max() <= _MISS) else measured


def unscaled(module: nn.Module, form: Norm) -> nn.Module:
    """A norm without gain, shift or centring, of the same eps: the module with its gain set to one where it centres nothing.

    Parameters: `module`; `form`, what it is.
    """
    own = list(module.named_parameters(recurse=False))
    plain = replace(form, centred=False, gain=torch.ones_like(form.gain), shift=torch.zeros_like(form.shift))
    if form.same(plain):
        return deepcopy(module)
    if not form.centred and len(own) == 1:
        for value in (1.0, 0.0):
            made = deepcopy(module)
            nn.init.constant_(getattr(made, own[0][0]), value)
            told = norm_form(made, len(form.gain))
            if told is not None and told.same(plain):
                return made
    like = next(module.parameters(), torch.ones(()))
    eps = max(form.eps, torch.finfo(torch.float32).tiny)  # a vector of zeros is none divided by none without
    return nn.RMSNorm(len(form.gain), eps, device=like.device, dtype=like.dtype if like.is_floating_point() else None)
