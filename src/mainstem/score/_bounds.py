"""Between what two numbers a log-probability increase lies, without the vocabulary.

Reading x + v instead of x changes logit j by delta_j = U_j . (n(x + v) - n(x)). With p the prediction at x,

    score(v) = log E_A[exp delta] - log E_p[exp delta],

E_A over the target's alternatives (delta_w itself for one token). By Jensen log E_p[exp delta] >= E_p[delta], which needs the
mean of the unembedding's rows only: a bound from above. From both sides the m likeliest tokens are taken exactly and the mean
of the others is known: Jensen bounds what these add from below; from above Hoeffding does, with the range of delta by the
longest row, and Bennett, with its variance too, which the mean squared length of their rows about their mean bounds.

Every bound leaves room for the rounding of its own sums. Let p' be the prediction by the logits as they came out: it differs
from p by twice what a logit is off by, as a share, and with it log E[exp delta]; what is summed over p' is off by one eps for
each token, as a share of the largest thing summed. A survey in float32 sums a tile in float32 and the tiles in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ._change import Change, rounding
from ._goal import Goal
from ._reading import Normed
from ._scene import Piece
from ._survey import Survey

_FAINT = 1e-200  # nothing is divided by less


@dataclass(frozen=True, eq=False)
class Room:
    """What the numbers of a survey, and what bounds make of them, may be off by.

    Parameters: `logits`, [place, 1], each of them in float64; `likely`, [place, 1], log p' against log p; `summed`,
    [place, 1], sums over the vocabulary, as a share; `reach`, what no |delta| exceeds; `tokens`, what a delta that was worked
    out may be off by.
    """

    logits: Float[Tensor, "place 1"]
    likely: Float[Tensor, "place 1"]
    summed: Float[Tensor, "place 1"]
    reach: Float[Tensor, "place component"]
    tokens: Float[Tensor, "place component"]

    @property
    def slack(self) -> Float[Tensor, "place component"]:
        """What the predictions at x, of all tokens and of the target's alternatives, may put a bound off by."""
        return 2 * self.logits + self.likely + self.summed * self.reach


def room(reading: Normed, at: Survey, moved: Change) -> Room:
    """The room for rounding at some places. Parameters: `reading`; `at`, the survey there; `moved`, of components there."""
    eps, unembedding = torch.finfo(torch.float64).eps, reading.unembedding
    longest, peak = unembedding.factor * unembedding.longest, (1 + at.peak)[:, None]
    size = at.normed.norm(dim=-1, keepdim=True)
    logits = longest * rounding(torch.float64, at.normed) * (size + 2 * moved.lean) + 4 * eps * (peak + unembedding.shift)
    count, likely = sum(unembedding.matrix.shape), 2 * logits
    if at.dtype != torch.float64:
        eps, count = torch.finfo(at.dtype).eps, unembedding.step(at.dtype) + 8
        likely = likely + longest * rounding(at.dtype, at.normed) * size + 4 * eps * (peak + unembedding.shift)
    summed = eps * (count + 16 + 4 * peak)
    return Room(logits, likely, summed, longest * moved.length, longest * moved.wobble)


def above(reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change) -> Float[Tensor, "place component"]:
    """A number that no score of the piece exceeds: Jensen's bound; for a contrast the score itself.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places; `moved`, of the piece.
    """
    where, slack = piece.vectors.where, room(reading, at, moved).slack
    ids, mask = goal.ids[where], goal.mask[where]
    if goal.against is None and ids.shape[1] == 1:
        found, miss = moved.along(_rows(reading, ids)[:, 0] - reading.unembedding.factor * at.mean)
        return found + miss + slack
    wanted, miss = expected(reading, at, ids, mask, moved)
    rest, more = (
        moved.along(reading.unembedding.factor * at.mean) if goal.against is None else _against(reading, goal, where, at, moved)
    )
    return wanted - rest + miss + more + slack


@dataclass(frozen=True, eq=False)
class Named:
    """What the tokens that a survey names say of components, p the prediction.

    Parameters: `log`, log sum p exp delta over them; `share`, sum p delta over them; of the others `tail`, [place, 1], sum p,
    and `spread`, [place, 1], sum p |row - their mean|^2; `moment`, sum p delta^2 over the others where it was worked out, and
    `blur`, what that may be off by.
    """

    log: Float[Tensor, "place component"]
    share: Float[Tensor, "place component"]
    tail: Float[Tensor, "place 1"]
    spread: Float[Tensor, "place 1"]
    moment: Float[Tensor, "place component"] | None = None
    blur: Float[Tensor, "place component"] | None = None


def named(reading: Normed, at: Survey, moved: Change) -> Named:
    """The sums over the likeliest tokens. Parameters: `reading`; `at`, tokens named; `moved`, in float64."""
    each = [_named(reading, at, moved, place) for place in range(len(at.normed))]
    log, share, tail, spread = (torch.stack(column) for column in zip(*each, strict=True))
    return Named(log, share, tail[:, None], spread[:, None])


def _named(reading: Normed, at: Survey, moved: Change, place: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, p = _rows(reading, at.tokens[place]), at.logprobs[place].exp()
    deltas, factor = moved.tokens(place, rows), reading.unembedding.factor
    tail, left = (1 - p.sum()).clamp_min(0), factor * at.mean[place] - p @ rows
    spread = factor**2 * at.square[place] - p @ rows.square().sum(-1) - left.square().sum() / tail.clamp_min(_FAINT)
    return (at.logprobs[place] + deltas).logsumexp(-1), deltas @ p, tail, spread.clamp_min(0)


def between(
    reading: Normed, goal: Goal, piece: Piece, at: Survey, moved: Change, known: Named | None = None
) -> tuple[Float[Tensor, "place component"], Float[Tensor, "place component"]]:
    """Numbers that every score of the piece lies between, with the likeliest tokens of the survey taken exactly.

    Parameters: `reading`; `goal`; `piece`; `at`, the survey at the piece's places, tokens named; `moved`, in float64; `known`,
    the sums over these tokens, where they are.
    """
    where, space = piece.vectors.where, room(reading, at, moved)
    wanted, miss = expected(reading, at, goal.ids[where], goal.mask[where], moved)
    if goal.against is not None:
        rest, more = _against(reading, goal, where, at, moved)
        off = miss + more + space.slack
        return wanted - rest - off, wanted - rest + off
    mean, more = moved.along(reading.unembedding.factor * at.mean)
    more = more + space.summed * space.reach
    least, most = _rest(reading, at, known or named(reading, at, moved), moved, space, mean, more)
    off = miss + space.slack
    return wanted - most - off, wanted - torch.maximum(least, mean - more) + off


def _rows(reading: Normed, ids: Tensor) -> Tensor:
    return reading.unembedding.factor * reading.unembedding.matrix[ids].double()


def _against(reading: Normed, goal: Goal, where: Tensor, at: Survey, moved: Change) -> tuple[Tensor, Tensor]:
    assert goal.against is not None and goal.against_mask is not None
    return expected(reading, at, goal.against[where], goal.against_mask[where], moved)


def expected(reading: Normed, at: Survey, ids: Tensor, mask: Tensor, moved: Change) -> tuple[Tensor, Tensor]:
    """log E[exp delta] over a few tokens, each as likely as it is at x, and what it may be off by: both [place, component].

    Parameters: `reading`; `at`; `ids` and `mask`, [place, token]; `moved`.
    """
    rows, logits = _rows(reading, ids), reading.unembedding.at(at.normed, ids).masked_fill(~mask, -torch.inf)
    deltas, misses = zip(*(moved.along(rows[:, i]) for i in range(ids.shape[1])), strict=True)
    found = (logits.log_softmax(-1)[:, None] + torch.stack(deltas, -1)).logsumexp(-1)
    return found, torch.stack(misses).amax(0)


def _rest(
    reading: Normed, at: Survey, known: Named, moved: Change, space: Room, mean: Tensor, more: Tensor
) -> tuple[Float[Tensor, "place component"], Float[Tensor, "place component"]]:
    """Bounds of log E_p'[exp delta]: the likeliest tokens exactly, the tail by its mass, mean, variance and reach.

    `mean`, E_p'[delta], and `more`, what it may be off by.
    """
    reach, tail, off = space.reach, known.tail, space.summed * (1 + space.reach) + space.tokens
    if at.tokens.shape[1] == reading.unembedding.matrix.shape[0]:
        return known.log - off, known.log + off
    light, heavy = (tail - space.summed).clamp_min(0), tail + space.summed
    share, spare = mean - known.share, more + off  # tail * E_tail[delta]
    least, most = share - spare, share + spare
    low = (least / torch.where(least > 0, heavy, light)).maximum(-reach)
    high = (most / torch.where(most > 0, light, heavy)).minimum(reach)
    flat = (high + reach.square() / 2).minimum(reach) + heavy.log()  # Hoeffding, (2 reach)^2 / 8; or all of it at the far end
    longest = reading.unembedding.factor * reading.unembedding.longest
    varied = (known.spread + 16 * space.summed * longest**2) * moved.length.square()  # tail * its variance
    calm = torch.zeros_like(varied)
    if known.moment is not None and known.blur is not None:
        varied = varied.minimum(known.moment + known.blur - (share.abs() - spare).clamp_min(0).square() / heavy).clamp_min(0)
        calm = (known.moment - known.blur - (share.abs() + spare).square() / light).clamp_min(0)
    bent = high + (heavy + varied * _bend(2 * reach)).log()
    level = low + (light + calm * _bend(-2 * reach)).log()
    return torch.logaddexp(known.log - off, level), torch.logaddexp(known.log + off, flat.fmin(bent))


def _bend(reach: Tensor) -> Tensor:
    """(exp r - 1 - r) / r^2, which grows with r: E[exp z] - 1 is at most this times E[z^2] where E[z] = 0 and z <= r, and at
    least where z >= r. Rounded to the safe side, which the sign of r says."""
    near = reach.abs() < 1e-3
    r = torch.where(near, 1.0, reach)
    return torch.where(near, 0.5 + reach, (r.expm1() - r) / r.square() + 1e-12 * r.sign())
