"""Norms recognised by what they do: gain, bias, epsilon and centring of the function that a readout begins with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_PROBE = 1e-3  # how much shorter the vector is that tells epsilon
_CLOSE = 1e-9  # as a share of the largest entry
_NONE = 1e-150  # a norm without epsilon makes nothing of nothing


@dataclass(frozen=True, eq=False)
class Norm:
    """y -> gain * C y / s(y) + bias, s(y) = sqrt(mean (C y)^2 + eps), in float64. C is `times` the identity or the subtraction of the mean.

    Parameters: `gain` and `bias`, [d_model]; `eps`; `centred`; `scaled`, False where there is no s; `times`, above zero.
    """

    gain: Float[Tensor, "d_model"]
    bias: Float[Tensor, "d_model"]
    eps: float
    centred: bool
    scaled: bool = True
    times: float = 1.0

    def centre(self, y: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """C y. Parameters: `y`."""
        moved = y - y.mean(-1, keepdim=True) if self.centred else y
        return moved if self.times == 1 else self.times * moved

    def scale(self, y: Float[Tensor, "... d_model"]) -> Float[Tensor, "..."]:
        """s(y). Parameters: `y`."""
        return (self.centre(y).square().mean(-1) + self.eps).sqrt() if self.scaled else y.new_ones(y.shape[:-1])

    def __call__(self, y: Float[Tensor, "... d_model"], scale: Tensor | None = None) -> Float[Tensor, "... d_model"]:
        """The norm, by its own scale or a given one. Parameters: `y`; `scale`, of every row; what has no s stays without."""
        by = self.scale(y) if scale is None or not self.scaled else scale
        return self.gain * self.centre(y) / by.clamp_min(_NONE)[..., None] + self.bias


def recognised(f: Callable[[Tensor], Tensor], like: Float[Tensor, "some d_model"]) -> Norm | None:
    """The norm that a function of rows is, None where it is none: told by probing it in float64, and held against it.

    The bias is f(0); adding one number to a vector changes nothing where f subtracts the mean; a short vector, which epsilon
    shrinks, tells epsilon. What was found must then agree with f at random vectors of many lengths and at `like`.

    Parameters: `f`, in float64; `like`, vectors of the kind that it will be used for.
    """
    width, random = like.shape[-1], torch.Generator().manual_seed(0)
    signs = torch.where(torch.arange(width) < width // 2, 1.0, -1.0).double().to(like.device)
    other = torch.randn(8, width, generator=random, dtype=torch.float64).to(like.device)
    lengths = torch.logspace(-2, 2, 8, dtype=torch.float64, device=like.device)[:, None]
    checks = torch.cat([other * lengths, other * lengths + 3 * lengths, like.double()])
    bias = f(torch.zeros_like(signs)[None])[0]
    if bias.shape != signs.shape or not bool(bias.isfinite().all()):
        return None
    found, want = _fitted(f, signs, bias), f(checks)
    size = want.abs().amax(-1, keepdim=True)
    return found if found is not None and bool(((found(checks) - want).abs() <= _CLOSE * size).all()) else None


def _fitted(f: Callable[[Tensor], Tensor], y: Tensor, bias: Tensor) -> Norm | None:
    """The one norm that it can be, by three vectors: a long one, a shifted one, a short one."""
    long, shifted, short = f(torch.stack([y, y + 1, _PROBE * y])) - bias
    centred = bool(((long - shifted).abs() <= _CLOSE * long.abs().amax()).all())
    moved = y - y.mean() if centred else y
    q = float(moved.square().mean())
    ratio = float((short * long).sum() / long.square().sum()) / _PROBE
    if abs(ratio - 1) < _CLOSE:
        return Norm(long / moved, bias, 0.0, centred, False)
    eps = q * (1 - (ratio * _PROBE) ** 2) / (ratio**2 - 1)
    return Norm(long * (q + eps) ** 0.5 / moved, bias, max(eps, 0.0), centred) if q + eps > 0 else None
