"""The logit lens: the model's own readout applied to every point of the stream."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.algebra import rows_at
from mainstem.core import InputError, go_on, tracked
from mainstem.stream import Pass, graded

from ._reader import TILE, Span, expected, face, reader, spanned
from ._translators import Translators

NORMS = ("own", "final")


@dataclass(frozen=True, eq=False)
class Lens:
    """What every point already says, tensors of [point, batch, pos]; `tokens` are ids of the likeliest token.

    `logprob` in nats; `rank` of the target (0 is the likeliest), `entropy` in nats, `kl` from the last point's distribution
    to this point's, in nats: KL(final || point). `norm` is the norm rule, `name` the lens: "logit lens" or "tuned lens".
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
    name: str = "logit lens"


@graded
def lens(
    run: Pass,
    target: Tensor,
    norm: str = "own",
    places: Tensor | None = None,
    tuned: Translators | None = None,
    span: Span | None = None,
) -> Lens:
    """Applies the readout to the readable face of every point.

    p_t = softmax(readout(x_t)); the last point's is the model's own. Where the stream changes shape on the way (a ResNet's
    stages), a point goes through the transports that follow it first, without the writes.

    Parameters: `run`; `target`, token ids [batch, pos] (or [batch] for outputs without positions) that logit, log-probability
    and rank are of; `norm`, "own" norms every point by its own scale, "final" freezes the readout at the last point; `places`,
    [batch], one position of every prompt instead of all: then the axis pos has size 1; `tuned`, translate every face before it
    is read; `span`, the first position of a stretch and the one behind its last, which alone are read, in every prompt.
    Logits are made a tile at a time, and those of no more than one tile are held beside the model's own.

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020). Raises `InputError` for another `norm`, and for
    translators that do not fit or with norm "final", which they were not made for.
    """
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    if tuned is not None:
        tuned.check(run)
    if tuned is not None and norm != "own":
        raise InputError("a tuned lens is trained with every point's own norm: leave norm out, or take the logit lens.")
    own = run.output()
    own = spanned(own if places is None else rows_at(own, places, own.shape[1]), span)
    read = reader(run, norm)
    names = tuple(p.name for p in run.stream.points)
    wanted, final = target.expand(own.shape[:-1]), own.flatten(0, -2)
    step = max(1, TILE // final.shape[-1])  # rows of a tile, of one point or of several
    group = max(1, step // final.shape[0])
    found: list[tuple[Tensor, ...]] = []
    firsts = range(0, len(names), group)
    for first in tracked(firsts, "reading the points", len(firsts)):
        some = range(first, min(first + group, len(names)))
        rows = torch.stack([read.rows(run, _translated(run, t, tuned), places, span) for t in some])
        tiles = []
        for tile, last, ids in zip(rows.split(step, 1), final.split(step), wanted.flatten().split(step), strict=True):
            go_on()
            tiles.append(_row(read.logits(tile), last.log_softmax(-1), ids))
        found.append(tuple(torch.cat(column, 1) for column in zip(*tiles, strict=True)))
    each = (torch.cat(column).unflatten(1, own.shape[:-1]) for column in zip(*found, strict=True))
    tokens, top, logit, logprob, rank, entropy, kl = each
    name = "logit lens" if tuned is None else "tuned lens"
    return Lens(names, tokens, top, logit, logprob, rank, entropy, kl, target, norm, name)


def _translated(run: Pass, t: int, tuned: Translators | None) -> Tensor:
    return face(run, t) if tuned is None else tuned(t, face(run, t), run.stream.points[-1].axis)


def _row(logits: Tensor, final: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """The columns of a lens. Parameters: `logits`, [..., row, vocab]; `final`, log-probabilities [row, vocab]; `target`, [row]."""
    logprobs = logits.log_softmax(-1)
    top, tokens = logprobs.max(-1)
    at = target.expand(logits.shape[:-1]).unsqueeze(-1)
    wanted = logits.gather(-1, at)
    rank = (logits > wanted).sum(-1)
    entropy = -expected(logprobs.exp(), logprobs)
    kl = expected(final.exp(), final - logprobs)
    return tokens, top, wanted.squeeze(-1), logprobs.gather(-1, at).squeeze(-1), rank, entropy, kl
