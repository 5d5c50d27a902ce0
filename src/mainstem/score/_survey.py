"""What bounds need of every vector that something is added to: one pass over the vocabulary for all of them.

Softmax's mean of the unembedding's rows is summed while the pass goes on, with the largest logit so far taken out, so that
no vector of the vocabulary's size is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ._goal import Goal
from ._reading import Asked, Normed
from ._tiles import ROWS, Unembedding


@dataclass(frozen=True, eq=False)
class Survey:
    """Of every row x that was asked about, read as n(x).

    Parameters: `normed`, n(x); `logsumexp`, over the vocabulary; `mean`, E_p of the unembedding's rows, without its factor, p
    the prediction at x; `peak`, the largest absolute logit that is finite; `tokens`, the likeliest ones, and their log-probabilities `logprobs`.
    """

    normed: Float[Tensor, "row d_model"]
    logsumexp: Float[Tensor, "row"]
    mean: Float[Tensor, "row d_model"]
    peak: Float[Tensor, "row"]
    tokens: Int[Tensor, "row token"]
    logprobs: Float[Tensor, "row token"]

    def at(self, rows: Tensor) -> "Survey":
        """Some of the rows. Parameters: `rows`."""
        return Survey(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def survey(reading: Normed, asked: Sequence[Asked], likeliest: int = 0) -> Survey:
    """One pass over the vocabulary. Parameters: `reading`; `asked`; `likeliest`, how many tokens to name."""
    rows = torch.cat([reading.normed(*each) for each in asked])
    parts = [_passed(reading.unembedding, some, likeliest) for some in rows.split(ROWS)]
    return Survey(rows, *(torch.cat(column) for column in zip(*parts, strict=True)))


def _passed(unembedding: Unembedding, rows: Tensor, likeliest: int) -> tuple[Tensor, ...]:
    n, width = rows.shape
    top, total, mean = rows.new_full((n,), -torch.inf), rows.new_zeros(n), rows.new_zeros(n, width)
    peak = rows.new_zeros(n)
    best, tokens = rows.new_empty(n, 0), torch.empty(n, 0, dtype=torch.long, device=rows.device)
    for first, matrix, bias in unembedding.tiles():
        logits = rows @ matrix.T if bias is None else torch.addmm(bias, rows, matrix.T)
        if likeliest:
            best, tokens = _merged(best, tokens, logits, first, likeliest)
        low, high = logits.aminmax(dim=-1)
        if not bool(low.isfinite().all()):  # tokens that are ruled out
            low = torch.where(logits.isfinite(), logits, 0.0).amin(-1)
        peak = torch.maximum(peak, torch.maximum(high, -low))
        now = torch.maximum(top, high).clamp_min(torch.finfo(rows.dtype).min)  # a tile may be all -inf
        shrink = (top - now).exp()
        p = logits.sub_(now[:, None]).exp_()
        total = total * shrink + p.sum(-1)
        mean = torch.addmm(mean.mul_(shrink[:, None]), p, matrix)
        top = now
    logsumexp = top + total.log()
    return logsumexp, mean / (unembedding.factor * total[:, None]), peak, tokens, best - logsumexp[:, None]


def _merged(best: Tensor, tokens: Tensor, logits: Tensor, first: int, k: int) -> tuple[Tensor, Tensor]:
    """The likeliest of those so far and of a tile."""
    here, ids = logits.topk(min(k, logits.shape[1]))
    best, order = torch.cat([best, here], 1).topk(min(k, best.shape[1] + here.shape[1]))
    return best, torch.cat([tokens, ids + first], 1).gather(1, order)


def read(reading: Normed, found: Survey, where: Tensor, goal: Goal) -> Float[Tensor, "row"]:
    """What is scored, at the rows of a survey. Parameters: `reading`; `found`; `where`, places of the rows; `goal`."""
    return reading.unembedding.chosen(found.normed, where, goal, found.logsumexp)
