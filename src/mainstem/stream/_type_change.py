"""How much a block makes of the stream something else: what it adds beside what the stream had there."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from ._pass import Pass


@dataclass(frozen=True)
class TypeChange:
    """One write, or all of a block, beside the shortcut: what the stream had there, carried to where it is added.

    Parameters: `level`, "write" or "block"; `label`; `block`; `point`, the sum; `branch`, `shortcut` and `total`, root mean square norms over places;
    `ratio` = branch / shortcut; `cosine`, of branch and shortcut; `in_out`, of what is read before and behind, None where the width or the
    image changes.
    """

    level: str
    label: str
    block: int
    point: str
    branch: float
    shortcut: float
    total: float
    ratio: float
    cosine: float
    in_out: float | None


@torch.no_grad()
def type_change(run: Pass, places: Bool[Tensor, "prompt *pos"] | None = None) -> tuple[TypeChange, ...]:
    """Every write and every block of a run, in the order of the stream.

    All of a run's places are taken as one vector, so that total^2 = branch^2 + shortcut^2 + 2 cosine branch shortcut holds of every block, and
    of every write that is added alone.

    Parameters: `run`; `places`, which prompts count, or which of their positions; all where it is None.
    """
    points = run.stream.points
    found: list[TypeChange] = []
    start, carried = 0, torch.zeros(())
    for t, point in enumerate(points[1:], 1):
        beside = _beside(run, t)
        for write in point.writes:
            added = run.write(write).broadcast_to(beside.shape)
            found.append(_change(run, ("write", write.label), (t - 1, t), (added, beside, beside + added), places))
        begins = t == 1 or point.block != points[t - 1].block
        start, carried = (t - 1, beside) if begins else (start, _further(run, t, carried))
        if point.block >= 0 and (t + 1 == len(points) or points[t + 1].block != point.block):
            total = run.point(t)
            found.append(_change(run, ("block", f"L{point.block}"), (start, t), (total - carried, carried, total), places))
    return tuple(found)


def _beside(run: Pass, t: int) -> Tensor:
    """What the stream had where a point's writes are added, its factor included."""
    point = run.stream.points[t]
    assert point.stream is not None
    return run.shaped(point.factor * run.lift(run.seen.at(point.stream)))


def _further(run: Pass, t: int, value: Tensor) -> Tensor:
    """A value at the point before, carried to where a point's writes are added, norms and activations frozen."""
    before, point = run.stream.points[t - 1], run.stream.points[t]
    way = run.affine(before.onward)(run.affine(before.face)(value.reshape(run.raw_point(t - 1).shape)))
    return run.shaped(point.factor * way)


def _change(
    run: Pass, names: tuple[str, str], ends: tuple[int, int], parts: tuple[Tensor, Tensor, Tensor], places: Tensor | None
) -> TypeChange:
    points = run.stream.points
    axis = points[ends[1]].axis
    branch, shortcut, total = (_rows(part, axis, places) for part in parts)
    one, two, whole = (float(x.square().sum().sqrt()) / max(len(x), 1) ** 0.5 for x in (branch, shortcut, total))
    read = [run.face(t) for t in ends]
    same = read[0].shape == read[1].shape
    between = _cosine(*(_rows(x, axis, places) for x in read)) if same else None
    point, ratio = points[ends[1]], one / two if two else float("nan")
    return TypeChange(*names, point.block, point.name, one, two, whole, ratio, _cosine(branch, shortcut), between)


def _rows(value: Tensor, axis: int, places: Tensor | None) -> Tensor:
    """One row of features a place, in float64."""
    last = value.double().movedim(axis, -1)
    counted = last if places is None or places.shape != last.shape[: places.ndim] else last[places.to(last.device)]
    return counted.reshape(-1, last.shape[-1])


def _cosine(a: Tensor, b: Tensor) -> float:
    size = a.norm() * b.norm()
    return float((a * b).sum() / size) if size else float("nan")
