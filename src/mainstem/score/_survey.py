"""What bounds need of every vector that something is added to: one pass over the vocabulary for all of them.

Softmax's mean of the unembedding's rows is summed while the pass goes on, with the largest logit so far taken out, so that
no vector of the vocabulary's size is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
    the prediction at x; `peak`, the largest absolute logit that is finite; `tokens`, the likeliest ones in order, and
    their log-probabilities `logprobs`; `square`, E_p of the rows' squared lengths, worked out where tokens are named; `dtype`, in which logits and what is summed over a tile were worked out.
    """

    normed: Float[Tensor, "row d_model"]
    logsumexp: Float[Tensor, "row"]
    mean: Float[Tensor, "row d_model"]
    peak: Float[Tensor, "row"]
    tokens: Int[Tensor, "row token"]
    logprobs: Float[Tensor, "row token"]
    square: Float[Tensor, "row"]
    dtype: torch.dtype = torch.float64

    def at(self, rows: Tensor | slice) -> "Survey":
        """Some of the rows. Parameters: `rows`."""
        names = ("normed", "logsumexp", "mean", "peak", "tokens", "logprobs", "square")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def likeliest(self, k: int) -> "Survey":
        """The same with fewer tokens named. Parameters: `k`, how many at most."""
        return replace(self, tokens=self.tokens[:, :k], logprobs=self.logprobs[:, :k])


@dataclass(frozen=True, eq=False)
class Surveys:
    """A survey of the places before several writes. Parameters: `whole`; `first`, where the places of a write begin, by its label; `places`, how many."""

    whole: Survey
    first: dict[str, int]
    places: int

    def __getitem__(self, label: str) -> Survey:
        first = self.first[label]
        return self.whole.at(slice(first, first + self.places))

    def of(self, wanted: Sequence[tuple[str, Tensor]]) -> Survey:
        """Some of the places of some writes, one write after another. Parameters: `wanted`, labels with places."""
        return self.whole.at(torch.cat([self.first[label] + where for label, where in wanted]))


def survey(reading: Normed, asked: Sequence[Asked], likeliest: int = 0, dtype: torch.dtype = torch.float64) -> Survey:
    """One pass over the vocabulary. Parameters: `reading`; `asked`; `likeliest`, how many tokens to name; `dtype`, as of `Survey`."""
    rows = torch.cat([reading.normed(*each) for each in asked])
    parts = [_passed(reading.unembedding, some, likeliest, dtype) for some in rows.split(ROWS)]
    logsumexp, mean, peak, tokens, logprobs, square = (torch.cat(column) for column in zip(*parts, strict=True))
    return Survey(rows, logsumexp, mean, peak, tokens, logprobs, square, dtype)


def _passed(unembedding: Unembedding, rows: Tensor, likeliest: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
    n, width = rows.shape
    total, mean, rows = rows.new_zeros(n), rows.new_zeros(n, width), rows.to(dtype)
    top, peak = rows.new_full((n,), torch.finfo(dtype).min), rows.new_zeros(n)  # a tile may be all -inf
    best, tokens = rows.new_empty(n, 0), torch.empty(n, 0, dtype=torch.long, device=rows.device)
    square = torch.zeros_like(total)
    for first, matrix, bias in unembedding.tiles(dtype):
        logits = rows @ matrix.T if bias is None else torch.addmm(bias, rows, matrix.T)
        if likeliest:
            best, tokens = _merged(best, tokens, logits, first, likeliest)
        now = torch.maximum(top, logits.amax(-1))
        finite = torch.where(logits.isfinite(), logits, 0.0) if unembedding.masked else logits
        peak = torch.maximum(peak, torch.maximum(finite.amax(-1), -finite.amin(-1)))
        p = logits.sub_(now[:, None]).exp_()
        shrink = (top - now).double().exp_()
        total = total.mul_(shrink).add_(p.sum(-1))
        mean = mean.mul_(shrink[:, None]).add_(p @ matrix)
        if likeliest:
            square = square.mul_(shrink).add_(p @ matrix.square().sum(-1))
        top = now
    logsumexp = top.double() + total.log()
    mean = mean / (unembedding.factor * total[:, None])
    return logsumexp, mean, peak.double(), tokens, best.double() - logsumexp[:, None], square / (unembedding.factor**2 * total)


def _merged(best: Tensor, tokens: Tensor, logits: Tensor, first: int, k: int) -> tuple[Tensor, Tensor]:
    """The likeliest of those so far and of a tile."""
    here, ids = logits.topk(min(k, logits.shape[1]))
    best, order = torch.cat([best, here], 1).topk(min(k, best.shape[1] + here.shape[1]))
    return best, torch.cat([tokens, ids + first], 1).gather(1, order)


def read(reading: Normed, found: Survey, where: Tensor, goal: Goal) -> Float[Tensor, "row"]:
    """What is scored, at the rows of a survey. Parameters: `reading`; `found`; `where`, places of the rows; `goal`."""
    return reading.unembedding.chosen(found.normed, where, goal, found.logsumexp)
