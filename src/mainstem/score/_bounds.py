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

import torch
from jaxtyping import Float
from torch import Tensor

from ._goal import Goal
from ._reading import Normed
from ._scene import Piece
from ._survey import Survey

_ROUNDINGS = 64  # eps times what the largest logits sum to: four times what was measured
_FAINT = 1e-10  # a tail lighter than this is bounded by its heaviest case: its mean is lost in rounding


@dataclass(frozen=True, eq=False)
class Change:
    """How components change what is read: n(x + v) - n(x) = stretch * (n(x) - beta) + gain * C v / s(x + v), factored.

    Parameters: `along`, u -> <u, change> for directions [place, d_model]; `length`, |change|, [place, component].
    """

    stretch: Float[Tensor, "place component"]
    shrink: Float[Tensor, "place component"]
    base: Float[Tensor, "place d_model"]
    gain: Float[Tensor, "d_model"]
    rows: Tensor
    scale: Float[Tensor, "place component"]
    length: Float[Tensor, "place component"]

    def along(self, u: Float[Tensor, "place d_model"]) -> Float[Tensor, "place component"]:
        """<u, n(x + v) - n(x)>. Parameters: `u`."""
        return self.stretch * (u * self.base).sum(-1, keepdim=True) + self.shrink * self._dot(u * self.gain)

    def _dot(self, u: Tensor) -> Tensor:
        return self.scale * (u @ self.rows.T if self.rows.ndim == 2 else (self.rows @ u[..., None]).squeeze(-1))

    def tokens(self, place: int, unembedding: Float[Tensor, "token d_model"]) -> Float[Tensor, "component token"]:
        """delta of a few tokens at one place. Parameters: `place`; `unembedding`, their rows."""
        rows = self.rows if self.rows.ndim == 2 else self.rows[place]
        moved = self.shrink[place] * self.scale[place]
        return self.stretch[place][:, None] * (unembedding @ self.base[place]) + moved[:, None] * (
            rows @ (unembedding * self.gain).T
        )


def change(reading: Normed, piece: Piece) -> Change:
    """How the components of a piece change what is read at its places. Parameters: `reading`; `piece`."""
    step, found, norm = piece.step, piece.vectors, reading.norms[piece.step.t]
    x, rows = norm.centre(step.x[found.where]), norm.centre(found.rows.double())
    scale = step.sign * found.scale
    fixed = None if reading.scale is None else reading.scale[found.where]
    dot = scale * (x @ rows.T if rows.ndim == 2 else (rows @ x[..., None]).squeeze(-1))
    width, before = x.shape[-1], norm.scale(step.x[found.where]) if fixed is None else fixed
    square = scale.square() * rows.square().sum(-1)
    if norm.scaled and fixed is None:
        after = (before[:, None].square() + (2 * dot + square) / width).clamp_min(max(norm.eps, 1e-300)).sqrt()
    else:
        after = before[:, None].expand_as(scale)
    base = norm.gain * x / before[:, None]
    stretch = before[:, None] / after - 1
    weighed = norm.gain * rows
    inner = scale * ((base * norm.gain) @ rows.T if rows.ndim == 2 else (rows @ (base * norm.gain)[..., None]).squeeze(-1))
    longest = scale.square() * weighed.square().sum(-1)
    length = stretch.square() * base.square().sum(-1, keepdim=True) + 2 * stretch * inner / after + longest / after.square()
    return Change(stretch, 1 / after, base, norm.gain, rows, scale, length.clamp_min(0).sqrt())


def above(reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change) -> Float[Tensor, "place component"]:
    """A number that no score of the piece exceeds: Jensen's bound; for a contrast the score itself.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places; `moved`, of the piece.
    """
    where = piece.vectors.where
    wanted = _expected(reading, at, goal.ids[where], goal.mask[where], moved)
    if goal.against is None or goal.against_mask is None:
        rest = moved.along(reading.unembedding.factor * at.mean)
    else:
        rest = _expected(reading, at, goal.against[where], goal.against_mask[where], moved)
    return wanted - rest + slack(at)


def slack(at: Survey) -> Float[Tensor, "place 1"]:
    """What rounding can take from a bound. Parameters: `at`."""
    return (_ROUNDINGS * torch.finfo(torch.float64).eps * (1 + at.peak))[:, None]


def _expected(reading: Normed, at: Survey, ids: Tensor, mask: Tensor, moved: Change) -> Tensor:
    """log E[exp delta] over a few tokens, each as likely as it is at x: [place, component]."""
    unembedding = reading.unembedding
    rows = unembedding.factor * unembedding.matrix[ids].double()
    logits = unembedding.at(at.normed, ids).masked_fill(~mask, -torch.inf)
    if ids.shape[1] == 1:
        return moved.along(rows[:, 0])
    deltas = torch.stack([moved.along(rows[:, i]) for i in range(ids.shape[1])], -1)
    return (logits.log_softmax(-1)[:, None] + deltas).logsumexp(-1)


def between(
    reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change
) -> tuple[Float[Tensor, "place component"], Float[Tensor, "place component"]]:
    """Numbers that every score of the piece lies between, with the likeliest tokens of the survey taken exactly.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places, tokens named; `moved`.
    """
    where = piece.vectors.where
    wanted = _expected(reading, at, goal.ids[where], goal.mask[where], moved)
    if goal.against is not None:
        exact = above(reading, goal, piece, at, moved)
        return exact - 2 * slack(at), exact
    mean = moved.along(reading.unembedding.factor * at.mean)
    reach = reading.unembedding.factor * reading.unembedding.longest * moved.length
    rest = [_rest(reading, at, moved, place, mean[place], reach[place]) for place in range(len(where))]
    least, most = (torch.stack(column) for column in zip(*rest, strict=True))
    return wanted - most - slack(at), wanted - torch.maximum(least, mean) + slack(at)


def _rest(reading: Normed, at: Survey, moved: Change, place: int, mean: Tensor, reach: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of log E_p[exp delta] at one place: the likeliest tokens exactly, the tail by its mass, mean and reach."""
    unembedding, logp = reading.unembedding, at.logprobs[place]
    deltas = moved.tokens(place, unembedding.factor * unembedding.matrix[at.tokens[place]].double())
    exact = (logp + deltas).logsumexp(-1)
    tail = 1 - float(logp.exp().sum())
    if tail < _FAINT:
        return exact, torch.logaddexp(exact, reach + math.log(max(tail, 0) + _FAINT))
    tail_mean = ((mean - deltas @ logp.exp()) / tail).clamp(-reach, reach)
    least = torch.logaddexp(exact, tail_mean + math.log(tail))
    spread = (reach.square() / 2).minimum(reach - tail_mean)  # Hoeffding: (2 reach)^2 / 8; or all of it at the far end
    return least, torch.logaddexp(exact, tail_mean + spread + math.log(tail))
