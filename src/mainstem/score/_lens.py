"""The logit lens: the model's own readout applied to every point of the stream."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.stream import Pass, graded, readout, transport

NORMS = ("own", "final")


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
def lens(run: Pass, target: Tensor, norm: str = "own") -> Lens:
    """Applies the readout to the readable face of every point.

    p_t = softmax(readout(x_t)); the last point's is the model's own. Where the stream changes shape on the way (a ResNet's
    stages), a point goes through the transports that follow it first, without the writes.

    Parameters: `run`; `target`, token ids [batch, pos] (or [batch] for outputs without positions) that logit, log-probability
    and rank are of; `norm`, "own" norms every point by its own scale, "final" freezes the readout at the last point.

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020). Raises `InputError` for another `norm`.
    """
    if norm not in NORMS:
        raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
    final, read = run.output().log_softmax(-1), _reader(run, norm)
    rows = [_row(read(_face(run, t)), final, target) for t in range(len(run.stream.points))]
    names = tuple(p.name for p in run.stream.points)
    tokens, top, logit, logprob, rank, entropy, kl = (torch.stack(column) for column in zip(*rows, strict=True))
    return Lens(names, tokens, top, logit, logprob, rank, entropy, kl, target, norm)


def _reader(run: Pass, norm: str) -> Callable[[Tensor], Tensor]:
    if norm == "final":
        frozen = run.affine(run.stream.points[-1].onward)
        return lambda x: run.shaped(frozen(x))
    whole = readout(run)
    return lambda x: run.shaped(whole.live(x))


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
    logprobs = logits.log_softmax(-1)
    top, tokens = logprobs.max(-1)
    at = target.unsqueeze(-1)
    wanted = logits.gather(-1, at)
    rank = (logits > wanted).sum(-1)
    entropy = -_expected(logprobs, logprobs)
    kl = _expected(final, final - logprobs)
    return tokens, top, wanted.squeeze(-1), logprobs.gather(-1, at).squeeze(-1), rank, entropy, kl


def _expected(logprobs: Tensor, values: Tensor) -> Tensor:
    """The mean of values, to which those of probability zero add nothing even where they are infinite."""
    p = logprobs.exp()
    return torch.where(p == 0, 0.0, p * values).sum(-1)
