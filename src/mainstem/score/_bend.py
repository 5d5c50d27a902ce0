"""The lower-layer problem: how much a probability gains by one and the same addition, wherever in the stream it is made."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from mainstem.core import InputError, tracked
from mainstem.stream import Pass, graded, spots

from ._goal import Goal
from ._lens import NORMS
from ._reading import Normed, reading
from ._said import said

_TILE = 2**22  # numbers of one tile: 32 MB in float64


@dataclass(frozen=True, eq=False)
class Bend:
    """A token's log-probability as its before-softmax value grows, [point, step], with the slope of the curve there.

    Parameters: `added`, to the before-softmax value, [step]; `logprob`; `slope`; `times`, how often the vector was added.
    """

    added: Tensor
    logprob: Float[Tensor, "point step"]
    slope: Float[Tensor, "point step"]
    times: Float[Tensor, "point step"]


@graded
def bend(run: Pass, goal: Goal, points: list[int], added: Float[Tensor, "step"], norm: str, vector: Tensor | None = None) -> Bend:
    """How the log-probability of a token grows with its before-softmax value, from what each point says.

    p(l) = A e^l / (A e^l + B), where the value grows by l and no other word's does: a sigmoid, whose log has the slope 1 - p.
    Along a vector v all words' values grow, by s U n(v), s = l / (U n(v))_w, with the norm's scale as it was: the slope of
    log p is then 1 - E_p[U n(v)] / (U n(v))_w.

    Parameters: `run`; `goal`, one token at one place; `points`; `added`, values of l; `norm`, whose scale is held, "own", the
    point's, or "final"; `vector`, [d_model], None for the one word alone. Raises `InputError` for another kind of goal, for a
    vector that leaves the token's value as it is, and where a vector needs a readout that is one norm and one matrix.
    """
    if goal.ids.shape != (1, 1) or goal.against is not None:
        raise InputError("this curve is of one token at one place: name one, such as target=' Paris'.")
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    added = added.double().to(goal.ids.device)
    if vector is None:
        odds = torch.stack([_odds(run, t, goal, norm) for t in points])[:, None] + added
        return Bend(added, logsigmoid(odds), torch.sigmoid(-odds), torch.full_like(odds, torch.nan))
    where = spots(run, goal.places)
    read = reading(run, where, norm)
    if not isinstance(read, Normed):
        raise InputError("this model's readout is not one norm and one matrix: the curve is of the word alone, along=None.")
    each = [_along(read, t, where.of(run.point(t)), vector.double(), goal, added) for t in tracked(points, "curves", len(points))]
    logprob, slope, times = (torch.stack(column) for column in zip(*each, strict=True))
    return Bend(added, logprob, slope, times)


def _odds(run: Pass, t: int, goal: Goal, norm: str) -> Tensor:
    """log p / (1 - p) of the token by what point t says: the others are summed by themselves, since 1 - p can have no digits left."""
    (place,), token = goal.places.tolist(), int(goal.ids)
    batch = run.output().shape[0]
    places = None if len(place) == 1 else torch.full((batch,), place[1], device=goal.places.device)
    logits = torch.cat(list(said(run, t, norm, places)))[place[0]].double()
    others = torch.cat([logits[:token], logits[token + 1 :]])
    return logits[token] - others.logsumexp(0)


def _along(read: Normed, t: int, x: Tensor, v: Tensor, goal: Goal, added: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """[step] each: log-probability, slope, and how often the vector is added."""
    norm = read.norms[t]
    scale = norm.scale(x) if read.scale is None else read.scale
    there, change = norm(x, scale), norm.gain * norm.centre(v) / scale[:, None]
    both = torch.cat([there, change])
    tiles = (
        both @ m.T if b is None else both @ m.T + torch.stack([b, torch.zeros_like(b)]) for _, m, b in read.unembedding.tiles()
    )
    logits, delta = torch.cat(list(tiles), -1)
    token = int(goal.ids)
    if float(delta[token].abs()) <= 1e-12 * float(delta.abs().max()):
        raise InputError("this vector leaves the before-softmax value of the token as it is: nothing can be added along it.")
    times = added / delta[token]
    logprobs, slopes = [], []
    for some in times.split(max(1, _TILE // len(logits))):
        found = (logits + some[:, None] * delta).log_softmax(-1)
        logprobs.append(found[:, token])
        slopes.append(1 - (found.exp() @ delta) / delta[token])
    return torch.cat(logprobs), torch.cat(slopes), times
