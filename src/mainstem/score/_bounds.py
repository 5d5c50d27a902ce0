"""Between what two numbers a log-probability increase lies, without the vocabulary.

Reading x + v instead of x changes logit j by delta_j = U_j . (n(x + v) - n(x)). With p the prediction at x,

    score(v) = log E_A[exp delta] - log E_p[exp delta],

E_A over the target's alternatives (delta_w itself for one token). By Jensen log E_p[exp delta] >= E_p[delta], which needs the
mean of the unembedding's rows only: a bound from above. From both sides the m likeliest tokens are taken exactly and the mean
of the others is known: Jensen and Hoeffding bound what these add, with the range of delta by the longest row. Every bound
leaves room for the rounding of its own sums in float64.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.stream import Vectors

from ._goal import Goal
from ._norm import Norm
from ._reading import Normed
from ._scene import Piece
from ._survey import Survey

_ROUNDINGS = 64  # eps times what the largest logits sum to: four times what was measured
_FAINT = 1e-10  # a tail lighter than this is bounded by its heaviest case: its mean is lost in rounding


@dataclass(frozen=True, eq=False)
class Change:
    """How components change what is read: n(x + v) - n(x) = stretch * (n(x) - beta) + shrink * gain * C v, factored.

    The sums over the width are made in `dtype`; `doubt` is what they may have put s(x + v) off by, as a share.
    """

    norm: Norm
    vectors: Vectors
    sign: int
    dtype: torch.dtype
    base: Float[Tensor, "place d_model"]
    stretch: Float[Tensor, "place component"]
    shrink: Float[Tensor, "place component"]
    doubt: Float[Tensor, "place component"]

    def along(self, u: Float[Tensor, "place d_model"]) -> tuple[Tensor, Tensor]:
        """<u, n(x + v) - n(x)>, and what rounding may have put it off by, both [place, component]. Parameters: `u`."""
        before, inner = (u * self.base).sum(-1, keepdim=True), self.norm.centre(u * self.norm.gain)
        moved = self.shrink * self.sign * self.vectors.dot(inner.to(self.dtype)).double()
        miss = (self.stretch.abs() + 1) * before.abs() + moved.abs()
        rounding = self.shrink * _eps(self.dtype, inner) * inner.norm(dim=-1, keepdim=True) * self.longest
        return self.stretch * before + moved, self.doubt * miss + rounding

    @cached_property
    def longest(self) -> Float[Tensor, "place component"]:
        """A number that |v| does not exceed, whatever its own sum was rounded to."""
        return self.vectors.lengths() * (1 + _eps(self.vectors.precision, self.base))

    @cached_property
    def length(self) -> Float[Tensor, "place component"]:
        """A number that |n(x + v) - n(x)| does not exceed."""
        moved = self.shrink * float(self.norm.gain.abs().max()) * self.longest * (1 + self.doubt)
        return (self.stretch.abs() + self.doubt) * self.base.norm(dim=-1, keepdim=True) + moved

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
    x, before = norm.centre(whole), (norm.scale(whole) if reading.scale is None else reading.scale[found.where])[:, None]
    base = norm.gain * x / before
    if not norm.scaled or reading.scale is not None:
        none = torch.zeros_like(found.scale)
        return Change(norm, found, step.sign, dtype, base, none, (1 / before).expand_as(none), none)
    width, lengths = x.shape[-1], found.lengths()
    square = lengths.square()
    if norm.centred:
        ones = torch.ones_like(x, dtype=dtype)
        square = square - found.dot(ones).double().square() / width
    moved = before.square() + (2 * step.sign * found.dot(x.to(dtype)).double() + square) / width
    after = moved.clamp_min(max(norm.eps, 1e-300))
    crossed = 2 * _eps(dtype, x) * x.norm(dim=-1, keepdim=True) * lengths
    off = (crossed + 3 * _eps(found.precision, x) * lengths.square()) / width
    doubt = torch.where(off < after / 2, off / after, torch.inf)
    return Change(norm, found, step.sign, dtype, base, before / after.sqrt() - 1, after.rsqrt(), doubt)


def _eps(dtype: torch.dtype, rows: Tensor) -> float:
    """What a sum over the width can be off by, as a share of the sum of sizes; its factors are rounded too."""
    return (rows.shape[-1] + 4) * torch.finfo(dtype).eps


def above(reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change) -> Float[Tensor, "place component"]:
    """A number that no score of the piece exceeds: Jensen's bound; for a contrast the score itself.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places; `moved`, of the piece.
    """
    where, mean = piece.vectors.where, reading.unembedding.factor * at.mean
    ids, mask = goal.ids[where], goal.mask[where]
    if goal.against is not None and goal.against_mask is not None:
        wanted, miss = _expected(reading, at, ids, mask, moved)
        rest, more = _expected(reading, at, goal.against[where], goal.against_mask[where], moved)
        return wanted - rest + miss + more + slack(at)
    if ids.shape[1] == 1:
        found, miss = moved.along(_rows(reading, ids)[:, 0] - mean)
        return found + miss + slack(at)
    wanted, miss = _expected(reading, at, ids, mask, moved)
    rest, more = moved.along(mean)
    return wanted - rest + miss + more + slack(at)


def slack(at: Survey) -> Float[Tensor, "place 1"]:
    """What rounding can take from a bound otherwise. Parameters: `at`."""
    return (_ROUNDINGS * torch.finfo(torch.float64).eps * (1 + at.peak))[:, None]


def _rows(reading: Normed, ids: Tensor) -> Tensor:
    return reading.unembedding.factor * reading.unembedding.matrix[ids].double()


def _expected(reading: Normed, at: Survey, ids: Tensor, mask: Tensor, moved: Change) -> tuple[Tensor, Tensor]:
    """log E[exp delta] over a few tokens, each as likely as it is at x, and what it may be off by: both [place, component]."""
    rows, logits = _rows(reading, ids), reading.unembedding.at(at.normed, ids).masked_fill(~mask, -torch.inf)
    deltas, misses = zip(*(moved.along(rows[:, i]) for i in range(ids.shape[1])), strict=True)
    found = (logits.log_softmax(-1)[:, None] + torch.stack(deltas, -1)).logsumexp(-1)
    return found, torch.stack(misses).amax(0)


def between(
    reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change
) -> tuple[Float[Tensor, "place component"], Float[Tensor, "place component"]]:
    """Numbers that every score of the piece lies between, with the likeliest tokens of the survey taken exactly.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places, tokens named; `moved`, in float64.
    """
    where = piece.vectors.where
    wanted, miss = _expected(reading, at, goal.ids[where], goal.mask[where], moved)
    if goal.against is not None and goal.against_mask is not None:
        rest, more = _expected(reading, at, goal.against[where], goal.against_mask[where], moved)
        off = miss + more + slack(at)
        return wanted - rest - off, wanted - rest + off
    mean, more = moved.along(reading.unembedding.factor * at.mean)
    reach = reading.unembedding.factor * reading.unembedding.longest * moved.length
    rests = [_rest(reading, at, moved, place, mean[place], reach[place]) for place in range(len(where))]
    least, most = (torch.stack(column) for column in zip(*rests, strict=True))
    off = miss + more + slack(at)
    return wanted - most - off, wanted - torch.maximum(least, mean) + off


def _rest(reading: Normed, at: Survey, moved: Change, place: int, mean: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of log E_p[exp delta] at one place: the likeliest tokens exactly, the tail by its mass, mean and reach."""
    logp = at.logprobs[place]
    deltas = moved.tokens(place, _rows(reading, at.tokens[place]))
    exact = (logp + deltas).logsumexp(-1)
    tail = 1 - float(logp.exp().sum())
    if tail < _FAINT:
        return exact, torch.logaddexp(exact, reach + math.log(max(tail, 0) + _FAINT))
    tail_mean = ((mean - deltas @ logp.exp()) / tail).clamp(-reach, reach)
    least = torch.logaddexp(exact, tail_mean + math.log(tail))
    spread = (reach.square() / 2).minimum(reach - tail_mean)  # Hoeffding: (2 reach)^2 / 8; or all of it at the far end
    return least, torch.logaddexp(exact, tail_mean + spread + math.log(tail))
