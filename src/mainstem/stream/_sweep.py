"""Carrying to the end and back: rows pushed forward through the frozen transports, directions pulled back to every point."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mainstem.algebra import Affine
from mainstem.core import Group, InputError, Parts, bound, error
from mainstem.find import Write

from ._aim import Aimed, Entries, aimed, transport
from ._expand import subvectors
from ._parts import LEVELS, needed, opened
from ._pass import Pass, graded
from ._rank import Ranks


@dataclass(frozen=True)
class Sweep:
    """Directions pulled back: `at[t]` is what a vector added at point t is multiplied by; `constants` what transports add.

    `aim` is what was pulled back, `ranks` knows which of its rows may be multiples of each other.
    """

    at: tuple[Tensor, ...]
    constants: tuple[tuple[str, Tensor, Tensor], ...]
    aim: Aimed
    ranks: Ranks


@graded
def pull(run: Pass, direction: Tensor | Entries | Aimed) -> Sweep:
    """Pulls a direction back to every point of the stream before it.

    Parameters: `run`; `direction`, of the output's shape, or entries of it: the sum of output x direction is the number taken
    apart; or one aimed at what is made of an earlier point, or at the last point itself.
    """
    points = run.stream.points
    at: list[Tensor] = []
    constants = []
    aim = direction if isinstance(direction, Aimed) else aimed(run, direction)
    g = aim.weights
    for t in reversed(range(aim.start + 1)):
        maps = aim.maps if t == aim.start else transport(run, t)
        if maps:
            like = run.point(t)
            constant = through(maps, torch.zeros_like(like))
            if bool((constant != 0).any()):
                name = f"{aim.name if t == aim.start else points[t].name}.bias"
                constants.append((name, run.shaped(constant), g))
            g = _back(maps, like, g.reshape(constant.shape))
        else:
            g = g.reshape(run.shaped(run.raw_point(t)).shape)
        at.append(g)
        g = g if run.factor(t) == 1 else run.factor(t) * g
    return Sweep(tuple(reversed(at)), tuple(reversed(constants)), aim, _ranks(aim, at[0]))


def _ranks(aim: Aimed, g: Tensor) -> Ranks:
    """Which rows of the stream have directions of one kind: those of one target."""
    if aim.kinds is None or g.ndim != 3:
        return Ranks(None, aim.count)
    kinds = aim.kinds if aim.kinds.ndim == 2 else aim.kinds[:, None]
    fits = kinds.shape[0] == g.shape[0] and kinds.shape[1] in (1, g.shape[1])
    return Ranks(kinds.expand(g.shape[:2]).flatten() if fits else None, aim.count)


def through(maps: tuple[Affine, ...], value: Tensor) -> Tensor:
    """Applies maps one after another. Parameters: `maps`; `value`."""
    for step in maps:
        value = step(value)
    return value


def _back(maps: tuple[Affine, ...], like: Tensor, g: Tensor) -> Tensor:
    likes = [like]
    for step in maps[:-1]:
        likes.append(step(likes[-1]))
    for step, at in zip(reversed(maps), reversed(likes), strict=True):
        g = step.adjoint(at)(g)[0]
    return g


@graded
def push(run: Pass, rows: Tensor, start: int, end: int | None) -> Tensor:
    """Carries vectors from point `start` to point `end`, or to the output.

    Parameters: `run`; `rows`, a stack of vectors of the point's shape; `start`; `end`, None for the output.
    """
    stop = len(run.stream.points) if end is None else end
    for t in range(start, stop):
        for step in transport(run, t):
            rows = step.linear(rows)
        if t + 1 < len(run.stream.points):
            rows = run.factor(t + 1) * rows
    return rows.reshape(rows.shape[0], *run.shaped(rows[0]).shape)


@dataclass(frozen=True)
class Row:
    """One part of the stream as a vector: a write, a transport's constant or a run's rounding, and the point it enters at."""

    label: str
    kind: str
    start: int
    vector: Tensor
    write: Write | None = None


@graded
def rows(run: Pass, end: int | None = None, aim: Aimed | None = None) -> list[Row]:
    """Every part that enters the stream up to point `end`: entry, writes, constants of transports, edits, rounding.

    Parameters: `run`; `end`, the last point to look at, None for what is looked at behind it (constants on the way included);
    `aim`, what that is, all of the output by default.
    """
    aim = aim or (aimed(run, None) if end is None else None)
    points = run.stream.points
    last = aim.start if aim is not None else end
    assert last is not None
    ways = [(points[t].name, transport(run, t)) for t in range(last)] + ([(aim.name, aim.maps)] if aim is not None else [])
    found = []
    for t, p in enumerate(points[: last + 1]):
        found += [Row(w.label, w.kind, t, _shaped(run.write(w), run.point(t)), w) for w in p.writes]
        name, maps = ways[t] if t < len(ways) else ("", ())
        constant = through(maps, torch.zeros_like(run.point(t)))
        if bool((constant != 0).any()):
            found.append(Row(f"{name}.bias", "constant", t + 1, run.shaped(constant)))
    return found + (_roundings(run, last, aim) if run.low else _edits(run, last))


def _shaped(value: Tensor, like: Tensor) -> Tensor:
    return value.expand_as(like) if value.shape != like.shape else value


def _roundings(run: Pass, last: int, aim: Aimed | None) -> list[Row]:
    """What low-precision arithmetic added or lost at every addition, as rows of their own."""
    points = run.stream.points[: last + 1]
    found = [Row(f"{p.name}.rounding", "rounding", t, _miss(run, t)) for t, p in enumerate(points)]
    if aim is not None:
        exact = run.shaped(through(aim.maps, run.point(last)))
        found.append(Row(f"{aim.name}.rounding", "rounding", last + 1, aim.output - exact.reshape(aim.output.shape)))
    return found


def _edits(run: Pass, last: int) -> list[Row]:
    """What was put into a point beyond what flows into it."""
    edited = {patch.site for patch in run.patches}
    points = run.stream.points[: last + 1]
    return [Row(f"{p.name}.edit", "edit", t, _miss(run, t)) for t, p in enumerate(points) if p.site in edited]


def _miss(run: Pass, t: int) -> Tensor:
    """Point t less the sum of what flows into it."""
    p = run.stream.points[t]
    exact = sum((run.write(w) for w in p.writes), torch.zeros_like(run.point(t)))
    if t:
        exact = exact + run.factor(t) * run.shaped(through(transport(run, t - 1), run.point(t - 1)))
    return run.point(t) - exact


@graded
def carry(run: Pass, end: int | None = None, level: str = "write") -> Parts:
    """The stream at a point, or the output, as the sum of every part carried there through the frozen transports.

    x_u = sum over parts of (product of the transports between) part. Parameters: `run`; `end`, the point's index, None for
    the output; `level`, how far writes are taken apart. The parts are vectors; the error is against the run's own value, in
    units of the stream. Raises `InputError` where the vectors of a level would take gigabytes.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    stop = len(run.stream.points) if end is None else end
    groups = tuple(_carried(run, row, group, stop) for row in rows(run, end) for group in _parts(run, row, level))
    whole = run.output() if end is None else run.point(end)
    zero = torch.zeros_like(whole)
    flat = [g.values.reshape(-1, *g.values.shape[len(g.axes) :]) for g in groups]
    size, total = sum((f.abs().sum(0) for f in flat), zero), sum((f.sum(0) for f in flat), zero)
    axes = _axes(whole.ndim, run.stream.points[end].axis) if end is not None else (*_axes(whole.ndim, -1)[:-1], "vocab")
    if not groups:
        raise InputError("nothing enters the stream up to this point.")
    choices = {"by": "carry", "level": level, "frozen": "at this input"}
    return Parts(groups, whole, axes, error(total, whole), bound(run.dtype, size), choices).checked()


def _axes(n: int, features: int) -> tuple[str, ...]:
    """Names of the axes of a point: prompts, places, features, in the order in which they stand."""
    if features == 1:
        return ("batch", "channel", "height", "width", "depth")[:n]
    places = ("pos", *(f"pos{i}" for i in range(2, n - 1)))
    return ("batch", *places[: n - 2], "d_model")[:n] if n > 1 else ("batch",)[:n]


def _parts(run: Pass, row: Row, level: str) -> list[Group]:
    depth = opened(run, row.write, level) if row.write is not None else None
    if depth is None or row.write is None:
        return [Group(row.label, row.kind, row.vector)]
    seen = run.again(needed(row.write))
    groups = subvectors(run, row.write, depth, seen)
    if run.rough(row.write, seen):
        lost = row.vector - sum((g.flat().sum(0) for g in groups), torch.zeros_like(row.vector))
        groups.append(Group(f"{row.label}.rounding", "rounding", lost))
    return groups


def _carried(run: Pass, row: Row, group: Group, stop: int) -> Group:
    """A constant or rounding enters behind its transport: as the next stream operand, or at the output itself."""
    vectors = group.flat()
    if row.write is not None and vectors[0].shape != row.vector.shape:
        vectors = vectors.expand(len(vectors), *row.vector.shape)
    if row.kind == "constant" and row.write is None and row.start < len(run.stream.points):
        vectors = run.factor(row.start) * vectors
    if row.start < len(run.stream.points):
        vectors = push(run, vectors, row.start, None if stop == len(run.stream.points) else stop)
    return replace(group, values=vectors.reshape(*group.sizes, *vectors.shape[1:]))
