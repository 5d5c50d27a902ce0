"""How components change what the unembedding reads, without a vector of the changed stream: its products, lengths and roundings.

Errors are bounded as in Higham, "Accuracy and Stability of Numerical Algorithms" (2002), chapter 3: a sum of products of n
pairs is off by at most n u times the product of the vectors' lengths, u half of eps. All of eps is charged for each step,
which leaves room for what is made of the sums, and eight steps more than there are numbers for what went into them.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.stream import Vectors

from ._norm import Norm
from ._reading import Normed
from ._scene import Piece

_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Change:
    """How components change what is read: n(x + v) - n(x) = stretch * (n(x) - beta) + shrink * gain * C v, factored.

    The sums over the width are made in `dtype`; `doubt` is what they may have put the norm's scales off by, as a share, and
    `lean`, [place, 1], the length that n(x) - beta would have were nothing of x subtracted: roundings are as large.
    """

    norm: Norm
    vectors: Vectors
    sign: int
    dtype: torch.dtype
    base: Float[Tensor, "place d_model"]
    lean: Float[Tensor, "place 1"]
    stretch: Float[Tensor, "place component"]
    shrink: Float[Tensor, "place component"]
    doubt: Float[Tensor, "place component"]

    def along(self, u: Float[Tensor, "place d_model"]) -> tuple[Tensor, Tensor]:
        """<u, n(x + v) - n(x)>, and what rounding may have put it off by, both [place, component]. Parameters: `u`."""
        before, gained = (u * self.base).sum(-1, keepdim=True), u * self.norm.gain
        moved = self.shrink * self.sign * self.vectors.dot(self.norm.centre(gained).to(self.dtype)).double()
        scales = self.doubt * ((self.stretch.abs() + 1) * before.abs() + moved.abs())
        sums = self.stretch.abs() * (3 * rounding(torch.float64, u) * self.lean * u.norm(dim=-1, keepdim=True))
        products = self.shrink * self.length_of_v * (rounding(self.dtype, u) * gained.norm(dim=-1, keepdim=True))
        return self.stretch * before + moved, scales + sums + products

    @cached_property
    def length_of_v(self) -> Float[Tensor, "place component"]:
        """A number that |C v| does not exceed."""
        return longest(self.vectors, self.norm)

    @cached_property
    def _longest(self) -> Tensor:
        """What shrink * gain * C v is not longer than, scales as they are, whatever cancels in it."""
        return self.shrink * (float(self.norm.gain.abs().max()) * self.length_of_v)

    @cached_property
    def _moved(self) -> Tensor:
        """The same, its own length where sums are made in float64."""
        if self.dtype != torch.float64:
            return self._longest
        gained = self.vectors.each(lambda rows: (self.norm.gain * self.norm.centre(rows.double())).norm(dim=-1))
        return self.shrink * self.vectors.scale.abs() * gained + rounding(torch.float64, self.base) * self._longest

    @cached_property
    def _size(self) -> Tensor:
        return self.base.norm(dim=-1, keepdim=True)

    @cached_property
    def length(self) -> Float[Tensor, "place component"]:
        """A number that |n(x + v) - n(x)| does not exceed."""
        return self.stretch.abs() * self._size + self._moved + self.wobble

    @cached_property
    def wobble(self) -> Float[Tensor, "place component"]:
        """What rounding may have put <u, n(x + v) - n(x)> off by as a share of |u|, whatever u."""
        scales = self.doubt * ((self.stretch.abs() + 1) * self._size + self._moved)
        return (
            scales
            + 3 * rounding(torch.float64, self.base) * self.stretch.abs() * self.lean
            + rounding(self.dtype, self.base) * self._longest
        )

    def tokens(self, place: int, unembedding: Float[Tensor, "token d_model"]) -> Float[Tensor, "component token"]:
        """delta of a few tokens at one place. Parameters: `place`; `unembedding`, their rows."""
        rows = self.vectors.rows if self.vectors.rows.ndim == 2 else self.vectors.rows[place]
        moved = self.sign * self.shrink[place] * self.vectors.scale[place]
        inner = self.norm.centre(unembedding * self.norm.gain)
        return self.stretch[place][:, None] * (unembedding @ self.base[place]) + moved[:, None] * (rows.double() @ inner.T)


def change(reading: Normed, piece: Piece, dtype: torch.dtype = torch.float64) -> Change:
    """How the components of a piece change what is read at its places.

    s(x + v)^2 = s(x)^2 + 2 cov(x, v) + var(v). Parameters: `reading`; `piece`; `dtype`, of the sums over the width.
    """
    step, found, norm = piece.step, piece.vectors, reading.norms[piece.step.t]
    whole = step.x[found.where]
    x, given = norm.centre(whole), reading.scale if norm.scaled else None
    before = (norm.scale(whole) if given is None else given[found.where]).clamp_min(_LEAST)[:, None]
    size = norm.times * whole.norm(dim=-1, keepdim=True)
    base, lean = norm.gain * x / before, float(norm.gain.abs().max()) * size / before
    if not norm.scaled or given is not None:
        none = torch.zeros_like(found.scale)
        doubt = torch.full_like(none, 4 * torch.finfo(torch.float64).eps)
        return Change(norm, found, step.sign, dtype, base, lean, none, (1 / before).expand_as(none), doubt)
    moved, off = _square(norm, found, step.sign * x, size, before, dtype)
    after = moved.clamp_min(max(norm.eps, _LEAST))
    share = torch.where(off < after / 2, off / after, torch.inf)
    doubt = share + rounding(torch.float64, x) * (1 + size / (before * x.shape[-1] ** 0.5))
    return Change(norm, found, step.sign, dtype, base, lean, before / after.sqrt() - 1, after.rsqrt(), doubt)


def _square(
    norm: Norm, found: Vectors, x: Tensor, size: Tensor, before: Tensor, dtype: torch.dtype
) -> tuple[Float[Tensor, "place component"], Float[Tensor, "place component"]]:
    """s(x + v)^2 and what it may be off by, of centred x. `size`, of x before it was centred; `before`, s(x)."""
    width, square, length = x.shape[-1], (norm.times * found.lengths()).square(), longest(found, norm)
    if norm.centred:
        square = square - (norm.times * found.dot(torch.ones_like(x, dtype=dtype)).double()).square() / width
    crossed = norm.times * found.dot(x.to(dtype)).double()
    fine, coarse = rounding(torch.float64, x), rounding(dtype, x)
    off = 2 * (coarse * x.norm(dim=-1, keepdim=True) + fine * size) * length
    off = off + (rounding(found.precision, x) + 2 * coarse) * length.square()
    off = off / width + 2 * fine * (1 + size / (before * width**0.5)) * before.square()
    return before.square() + (2 * crossed + square) / width, off


def longest(found: Vectors, norm: Norm) -> Float[Tensor, "place component"]:
    """A number that |C v| does not exceed, whatever the sum of squares was rounded to. Parameters: `found`; `norm`."""
    width, info = found.rows.shape[-1], torch.finfo(found.precision)
    vanished = (width * info.tiny) ** 0.5  # squares that are too small for a number
    return norm.times * (found.lengths() * (1 + rounding(found.precision, found.rows)) + vanished * found.scale.abs())


def rounding(dtype: torch.dtype, rows: Tensor) -> float:
    """What a sum over the width may be off by, as a share of the product of the lengths. Parameters: `dtype`; `rows`."""
    return (rows.shape[-1] + 8) * torch.finfo(dtype).eps
