"""Training of a tuned lens: gradients of KL(final || point) a tile of logits at a time, and the descent along them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mainstem.stream import Pass

from ._reader import TILE, Reader, expected, face, reader
from ._translators import Translators

MOMENTUM = 0.9


def divergences(run: Pass, lenses: Sequence[Translators], rows: Tensor) -> Tensor:
    """[lens, point]: the mean of KL(final || point) over some rows of the output, through each of several lenses.

    Parameters: `run`; `lenses`; `rows`, which rows of the output, with prompts and positions on one axis.
    """
    read, last, axis = reader(run), _final(run, rows), run.stream.points[-1].axis
    chances = last.exp()
    with torch.no_grad():
        found = [
            [
                _kl(read, read.rows(run, lens(t, face(run, t), axis))[rows], last, chances)[0].mean()
                for t in range(len(lens.shifts))
            ]
            for lens in lenses
        ]
    return torch.tensor(found, dtype=last.dtype)


def gradients(run: Pass, lens: Translators, rows: Tensor) -> tuple[Tensor, Translators]:
    """The mean of KL(final || point) over some rows for every point before the last, and its gradient.

    dKL/dlogits = p_point - p_final, carried back through the readout; the model's own parameters take no part.

    Parameters: `run`; `lens`; `rows`, as of `divergences`.
    """
    read, last = reader(run), _final(run, rows)
    chances = last.exp()
    found: list[Tensor] = []
    parts: list[tuple[Tensor, ...]] = []
    for t in range(len(lens.shifts)):
        with torch.no_grad():
            x = face(run, t)
        with torch.enable_grad():
            one = Translators(*(w[t : t + 1].detach().requires_grad_() for w in (lens.matrices, lens.shifts)))
            reads = read.rows(run, one(0, x, run.stream.points[-1].axis))[rows]
        kl, slope = _kl(read, reads.detach(), last, chances, graded=True)
        parts.append(torch.autograd.grad(reads, (one.matrices, one.shifts), slope))
        found.append(kl.mean())
    return torch.stack(found), Translators(*map(torch.cat, zip(*parts, strict=True)))


def _final(run: Pass, rows: Tensor) -> Tensor:
    with torch.no_grad():
        return run.output().flatten(0, -2)[rows].log_softmax(-1)


def _kl(read: Reader, rows: Tensor, final: Tensor, chances: Tensor, graded: bool = False) -> tuple[Tensor, Tensor]:
    """[row] of KL(final || row), `chances` what `final` is the logarithm of; where it is asked for, the slope of its mean at the rows."""
    step = max(1, TILE // final.shape[-1])
    slope, found = torch.zeros_like(rows), []
    tiles = (whole.split(step) for whole in (rows, final, chances, slope))
    for tile, last, p, to in zip(*tiles, strict=True):
        with torch.set_grad_enabled(graded):
            logits = read.logits(tile.requires_grad_(graded)[None])[0]
        logprobs = logits.detach().log_softmax(-1)
        found.append(expected(p, last - logprobs))
        if graded:
            to.copy_(torch.autograd.grad(logits, tile, (logprobs.exp() - p) / len(rows))[0])
    return torch.cat(found), slope


class Descent:
    """Gradient descent with Nesterov momentum on all translators at once.

    Each point's gradient is clipped to length 1, with shifts in units of the point's usual feature: so that the same rate does
    for streams of any size, and for points far from the end and near it.

    Parameters: `start`; `scales`, [point], the size of a usual feature; `rate`; `decay`, of the matrices towards zero.
    """

    def __init__(self, start: Translators, scales: Tensor, rate: float, decay: float) -> None:
        self._scales, self._rate, self._decay = scales[:, None], rate, decay
        self._matrices, self._shifts = start.matrices.clone(), start.shifts / self._scales
        self._pace = torch.zeros_like(self._matrices), torch.zeros_like(self._shifts)

    @property
    def lens(self) -> Translators:
        """The translators as they are now."""
        return Translators(self._matrices, self._shifts * self._scales)

    def step(self, slopes: Translators, left: float) -> None:
        """One step. Parameters: `slopes`, the gradient; `left`, the share of the rate that is left."""
        matrices, shifts = slopes.matrices, slopes.shifts * self._scales
        length = (matrices.square().sum((1, 2)) + shifts.square().sum(1)).sqrt().clamp_min(1)
        steep = matrices / length[:, None, None] + self._decay * self._matrices, shifts / length[:, None]
        for value, pace, g in zip((self._matrices, self._shifts), self._pace, steep, strict=True):
            pace.mul_(MOMENTUM).add_(g)
            value.sub_(self._rate * left * (g + MOMENTUM * pace))
