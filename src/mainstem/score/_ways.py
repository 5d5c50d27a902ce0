"""The way from a point of the stream to the matrix of the readout, for single rows and in float64, and what is done to logits after."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from mainstem.algebra import Affine, Split, cut, last_product, raised_to
from mainstem.core import bound, error
from mainstem.stream import Pass, Spots

from ._norm import Norm, recognised

Way = Callable[[Tensor], Tensor]
_EXACT = 1e-12  # as a share of the largest entry
_MISFIT = (RuntimeError, ValueError, IndexError, TypeError)  # of a module's own calls, made with other rows than it made them


def product(run: Pass) -> Split | None:
    """The readout with nothing frozen, taken apart at its matrix; None where there is none, or what follows mixes rows. Parameters: `run`."""
    assert run.trail is not None
    at = last_product(run.trail.program)
    found = None if at is None else cut(run.trail, at)
    if found is None:
        return None
    return found if _each_by_itself(doubled(found.after).live, _probe(3, found.matrix)) else None


def ways(run: Pass, spots: Spots, found: Split) -> dict[int, Way] | None:
    """For every point the way from its rows to the matrix; None where it does not say the same as the whole readout does.

    The last point tells, and others like it. Parameters: `run`; `spots`; `found`, the readout.
    """
    last = len(run.stream.points) - 1
    if any(run.shaped(run.raw_point(t)).shape != run.point(last).shape for t in range(last)):
        return None
    before = _rowwise(run, doubled(found.before))
    made = {t: _then(_face(run, t), before) for t in range(last + 1)}
    try:
        return made if _agrees(run, spots, found, made[last]) else None
    except _MISFIT:
        return None


def norms(run: Pass, spots: Spots, found: Split, made: dict[int, Way]) -> tuple[dict[int, Norm], dict[int, Way]] | None:
    """A norm for every point, and what is done to the rows of a few before it; None where one has another way to the matrix.

    A face that is no multiple, such as the norm of the embeddings, is applied to the entry, which nothing is added to.
    Parameters: `run`; `spots`; `found`, the readout; `made`, its ways.
    """
    points = run.stream.points
    last = len(points) - 1
    final = recognised(_rowwise(run, doubled(found.before)), _face(run, last)(spots.of(run.point(last)))[:8])
    if final is None:
        return None
    known: dict[int, Norm] = {}
    faces: dict[int, Way] = {}
    for t, point in enumerate(points):
        norm = _behind_face(run, spots, final, made, t) if point.face.steps else final
        if norm is None and t == 0:
            norm, faces[t] = final, _face(run, t)
        if norm is None:
            return None
        known[t] = norm
    return known, faces


def _behind_face(run: Pass, spots: Spots, final: Norm, made: dict[int, Way], t: int) -> Norm | None:
    """The norm that a point's face and the final norm are together."""
    rows = spots.of(run.point(t))[:8]
    if not final.scaled:
        return recognised(made[t], rows)
    probes = torch.cat([rows, torch.randn(8, rows.shape[1], generator=torch.Generator().manual_seed(0)).to(rows)])
    seen = _face(run, t)(probes)
    times = float((seen * probes).sum() / probes.square().sum())
    multiple = times > 0 and error(seen, times * probes) <= _EXACT * float(seen.abs().max())
    return replace(final, times=times) if multiple else None


def factor_of(found: Split) -> float | None:
    """What logits are multiplied by after the matrix; None where something else happens to them, such as a soft cap. Parameters: `found`."""
    probe = _probe(1, found.matrix)
    seen = doubled(found.after).live(probe)
    factor = float((seen * probe).sum() / probe.square().sum())
    return factor if factor > 0 and error(seen, factor * probe) <= _EXACT * float(seen.abs().max()) else None


def doubled(found: Affine) -> Affine:
    """The same calls in float64. Parameters: `found`."""
    return Affine(found.program, tuple(raised_to(call, torch.float64) for call in found.calls))


def _face(run: Pass, t: int) -> Way:
    if not run.stream.points[t].face.steps:
        return lambda rows: rows
    return _rowwise(run, doubled(run.frozen(run.stream.points[t].face)))


def _rowwise(run: Pass, way: Affine) -> Way:
    """A way applied to rows: given the axes that the run's own points have, or where calls name sizes, their whole shape."""
    shape = run.raw_point(len(run.stream.points) - 1).shape

    def few(rows: Tensor) -> Tensor:
        return way.live(rows.reshape(*[1] * (len(shape) - 2), *rows.shape)).reshape(len(rows), -1)

    def filled(rows: Tensor) -> Tensor:
        held = rows.new_zeros(shape).reshape(-1, shape[-1])
        held[: len(rows)] = rows
        return way.live(held.reshape(shape)).reshape(len(held), -1)[: len(rows)]

    try:
        few(run.point(0).new_zeros(1, shape[-1], dtype=torch.float64))
    except _MISFIT:
        return lambda rows: torch.cat([filled(some) for some in rows.split(shape[:-1].numel())])
    return few


def _then(first: Way, second: Way) -> Way:
    return lambda rows: second(first(rows))


def _probe(rows: int, matrix: Tensor) -> Tensor:
    size = matrix.shape[0]
    return torch.linspace(-40, 40, rows * size, dtype=torch.float64, device=matrix.device).reshape(rows, size)


def _each_by_itself(way: Way, rows: Tensor) -> bool:
    """Whether a way makes the same of every row in other company."""
    try:
        whole, turned, alone = way(rows), way(rows.flip(0)), way(rows[:1])
    except _MISFIT:
        return False
    if whole.ndim != 2 or len(whole) != len(rows) or turned.shape != whole.shape or alone.shape != whole[:1].shape:
        return False
    close = _EXACT * float(whole.abs().max())
    return error(turned.flip(0), whole) <= close and error(alone, whole[:1]) <= close


def _agrees(run: Pass, spots: Spots, found: Split, way: Way) -> bool:
    last = len(run.stream.points) - 1
    point, before = run.point(last), Affine(found.before.program, tuple(map(run.raised, found.before.calls)))
    random = torch.Generator().manual_seed(0)
    for value in (point, point * (1 + torch.rand(point.shape, generator=random).to(point))):
        here = value.reshape(run.raw_point(last).shape)
        whole = spots.of(run.shaped(before.live(run.affine(run.stream.points[last].face).live(here))))
        if not _each_by_itself(way, spots.of(value)):
            return False
        rows = way(spots.of(value))
        if rows.shape != whole.shape or not error(rows, whole) <= bound(run.dtype, whole):
            return False
    return True
