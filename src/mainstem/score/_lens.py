"""The logit lens: the model's own readout applied to every point of the stream."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.algebra import Split, cut, last_product, rows_at, rule, tensors
from mainstem.core import InputError
from mainstem.stream import Pass, graded, readout, transport

NORMS = ("own", "final")
_TILE = 2**22  # numbers of one tile of logits: 16 MB in float32


@dataclass(frozen=True, eq=False)
class Lens:
    """What every point already says. All but `points` have axes [point, batch, pos]; `tokens` are ids of the likeliest token.

    `logprob` in nats; `rank` of the target (0 is the likeliest), `entropy` in nats, `kl` from the last point's distribution
    to this point's, in nats: KL(final || point).
    """

    points: tuple[str, ...]
    tokens: Tensor
    top_logprob: Tensor
    logit: Tensor
    logprob: Tensor
    rank: Tensor
    entropy: Tensor
    kl: Tensor
    target: Tensor
    norm: str


@graded
def lens(run: Pass, target: Tensor, norm: str = "own", places: Tensor | None = None) -> Lens:
    """Applies the readout to the readable face of every point.

    p_t = softmax(readout(x_t)); the last point's is the model's own. Where the stream changes shape on the way (a ResNet's
    stages), a point goes through the transports that follow it first, without the writes.

    Parameters: `run`; `target`, token ids [batch, pos] (or [batch] for outputs without positions) that logit, log-probability
    and rank are of; `norm`, "own" norms every point by its own scale, "final" freezes the readout at the last point; `places`,
    [batch], one position of every prompt instead of all: then the axis pos has size 1.

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020). Raises `InputError` for another `norm`.
    """
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    own = run.output()
    own = own if places is None else rows_at(own, places, own.shape[1])
    reader = _reader(run, norm)
    names = tuple(p.name for p in run.stream.points)
    wanted, final = target.expand(own.shape[:-1]), own.flatten(0, -2)
    step = max(1, _TILE // final.shape[-1])  # rows of a tile, of one point or of several
    group = max(1, step // final.shape[0])
    found: list[tuple[Tensor, ...]] = []
    for first in range(0, len(names), group):
        rows = torch.stack([reader.rows(run, t, places) for t in range(first, min(first + group, len(names)))])
        tiles = [
            _row(reader.logits(some), last.log_softmax(-1), ids)
            for some, last, ids in zip(rows.split(step, 1), final.split(step), wanted.flatten().split(step), strict=True)
        ]
        found.append(tuple(torch.cat(column, 1) for column in zip(*tiles, strict=True)))
    each = (torch.cat(column).unflatten(1, own.shape[:-1]) for column in zip(*found, strict=True))
    tokens, top, logit, logprob, rank, entropy, kl = each
    return Lens(names, tokens, top, logit, logprob, rank, entropy, kl, target, norm)


@dataclass(frozen=True, eq=False)
class Reader:
    """The readout in two: `before` for all rows of a point, `after` for a tile of rows, where every row is by itself there.

    Parameters: `before`; `after`.
    """

    before: Callable[[Tensor], Tensor]
    after: Callable[[Tensor], Tensor]

    def rows(self, run: Pass, t: int, places: Tensor | None) -> Tensor:
        """[row, any] of a point, the rows that are looked at. Parameters: `run`; `t`; `places`."""
        value = run.shaped(self.before(_face(run, t)))
        return (value if places is None else rows_at(value, places, value.shape[1])).flatten(0, -2)

    def logits(self, rows: Tensor) -> Tensor:
        """[point, row, vocab]. Parameters: `rows`, [point, row, any]."""
        return self.after(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])


def _reader(run: Pass, norm: str) -> Reader:
    frozen = norm == "final"
    whole = run.affine(run.stream.points[-1].onward) if frozen else readout(run)
    at = last_product(whole.program)
    found = None if at is None else cut(whole, at)
    if found is None or not _by_rows(found, frozen):
        return Reader(whole if frozen else whole.live, lambda logits: logits)
    before = found.before if frozen else found.before.live

    def after(rows: Tensor) -> Tensor:
        return found.after.live(torch.nn.functional.linear(rows, found.matrix, found.bias))

    return Reader(before, after)


def _by_rows(found: Split, frozen: bool) -> bool:
    """Whether what follows the product says the same for any rows: no factor of theirs, and nothing frozen at them."""
    steps = zip(found.after.program.steps, found.after.calls, strict=True)
    others = [t for step, call in steps for path, t in tensors(call.args) if path != step.wires[0].operand]
    acts = [call for call in found.after.calls if (known := rule(call.name)) is not None and known.sort == "act"]
    return all(t.numel() == 1 or t.ndim == 1 for t in others) and not (frozen and acts)


def _face(run: Pass, t: int) -> Tensor:
    """Point t as the readout reads the last point."""
    last = len(run.stream.points) - 1
    if run.point(t).shape == run.point(last).shape:
        return run.face(t)
    value = run.point(t)
    for step in (step for u in range(t, last) for step in transport(run, u)):
        value = step.live(value)
    return run.affine(run.stream.points[last].face).live(value)


def _row(logits: Tensor, final: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """The columns of a lens. Parameters: `logits`, [..., row, vocab]; `final`, log-probabilities [row, vocab]; `target`, [row]."""
    logprobs = logits.log_softmax(-1)
    top, tokens = logprobs.max(-1)
    at = target.expand(logits.shape[:-1]).unsqueeze(-1)
    wanted = logits.gather(-1, at)
    rank = (logits > wanted).sum(-1)
    entropy = -_expected(logprobs, logprobs)
    kl = _expected(final, final - logprobs)
    return tokens, top, wanted.squeeze(-1), logprobs.gather(-1, at).squeeze(-1), rank, entropy, kl


def _expected(logprobs: Tensor, values: Tensor) -> Tensor:
    """The mean of values, to which those of probability zero add nothing even where they are infinite."""
    p = logprobs.exp()
    plain = (p * values).sum(-1)
    return torch.where(p == 0, 0.0, p * values).sum(-1) if bool(plain.isnan().any()) else plain


@graded
def likeliest(run: Pass, t: int, k: int) -> Tensor:
    """The tokens that the readout says at one point, by the point's own norm: ids [..., k] for every place, the likeliest first.

    Parameters: `run`, with the output at every place; `t`, the point; `k`, how many.
    """
    reader, shape = _reader(run, "own"), run.output().shape
    rows = reader.rows(run, t, None)
    found = [reader.logits(some[None])[0].topk(min(k, shape[-1])).indices for some in rows.split(max(1, _TILE // shape[-1]))]
    return torch.cat(found).unflatten(0, shape[:-1])
