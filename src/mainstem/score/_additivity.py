"""Whether scores of a layer's parts add up: their running sum beside the score of the running sum of their vectors."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import name_inside, tracked
from mainstem.stream import Pass, graded

from ._goal import Goal
from ._scene import Piece, scene


@dataclass(frozen=True, eq=False)
class Sums:
    """The parts of one write in the order of their scores, the highest first.

    Parameters: `write`; `names` of the parts; `single`, their scores; `at`, how many were taken together; `cumulative`, the sum of
    so many scores; `together`, the score of the sum of their vectors; `slope`, `intercept` and `r2`, of the line together =
    slope * cumulative + intercept.
    """

    write: str
    names: tuple[str, ...]
    single: Float[Tensor, "component"]
    at: Tensor
    cumulative: Float[Tensor, "step"]
    together: Float[Tensor, "step"]
    slope: float
    intercept: float
    r2: float


@graded
@torch.no_grad()
def additivity(run: Pass, goal: Goal, writes: tuple[str, ...], level: str, norm: str, norm_bias: bool, steps: int) -> list[Sums]:
    """For some writes: c_k, the sum of the k highest single scores, and t_k, the score of the sum of their vectors.

    Scores are log-probability increases, against the stream before the write. All of the write's parts are there, its constant
    too, so that the last t_k is the write's own score.

    Parameters: `run`; `goal`, of one place; `writes`, their labels; `level`; `norm` and `norm_bias`, as of `reading`; `steps`, for how
    many k the sums are looked at, spread evenly.
    """
    whole = scene(run, goal, level, "before", norm, norm_bias)
    wanted = replace(whole, steps=tuple(step for step in whole.steps if step.write.label in writes))
    held: dict[str, list[Piece]] = {}
    for piece in wanted.pieces(level):
        held.setdefault(piece.step.write.label, []).append(piece)

    def score(piece: Piece, rows: Tensor) -> Tensor:
        asked = piece.step.t, rows.new_zeros(len(rows), dtype=torch.long), piece.step.x + rows
        return wanted.reading.values([asked], goal)[0] - wanted.without[piece.step.write.label]

    def sums() -> Iterator[Sums]:
        for label, pieces in held.items():
            rows = torch.cat([_rows(piece) for piece in pieces])
            single = score(pieces[0], rows)
            order = single.argsort(descending=True)
            at = torch.linspace(1, len(rows), min(steps, len(rows)), dtype=torch.float64).round().long().unique()
            cumulative = single[order].cumsum(0)[at - 1]
            together = score(pieces[0], rows[order].cumsum(0)[at - 1])
            names = [name for piece in pieces for name in _names(piece)]
            yield Sums(
                label,
                tuple(names[i] for i in order.tolist()),
                single[order],
                at,
                cumulative,
                together,
                *line(cumulative, together),
            )

    return list(tracked(sums(), "additivity", len(held)))


def _rows(piece: Piece) -> Float[Tensor, "component d_model"]:
    every = torch.arange(piece.vectors.scale.shape[1], device=piece.vectors.scale.device)
    return piece.vectors.pick(torch.zeros_like(every), every)


def _names(piece: Piece) -> list[str]:
    found = piece.vectors
    count = found.scale.shape[1]
    return [name_inside(found.label, found.axes, found.sizes, found.offset + i) for i in range(count)]


def line(x: Float[Tensor, "step"], y: Float[Tensor, "step"]) -> tuple[float, float, float]:
    """Slope, intercept and R2 of the least-squares line y = slope * x + intercept; slope 0 where x is one number.

    R2 = 1 - sum (y - line)^2 / sum (y - mean y)^2, not a number where y is one number. Parameters: `x`; `y`.
    """
    dx, dy = x - x.mean(), y - y.mean()
    spread, slope = float(dx.square().sum()), 0.0
    if spread > 0:
        slope = float((dx * dy).sum()) / spread
    left, whole = float((dy - slope * dx).square().sum()), float(dy.square().sum())
    return slope, float(y.mean() - slope * x.mean()), 1 - left / whole if whole > 0 else float("nan")
