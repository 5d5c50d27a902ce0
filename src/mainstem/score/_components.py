"""Components of a run at some places, with nothing predicted: for scores that look at the vectors alone, or at what they lie along."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from mainstem.core import Group
from mainstem.find import Captured, Write
from mainstem.stream import Pass, Spots, Vectors, needed, opened, vectors, whole

from ._estimate import batches
from ._goal import Goal
from ._increase import Scored, put

Measure = Callable[[Write, Vectors], Tensor]


def components(run: Pass, level: str, spots: Spots, entry: bool = True) -> Iterator[tuple[Write, Vectors]]:
    """What a level takes the stream apart into, write by write. Parameters: `run`; `level`; `spots`, the places; `entry`, its parts too."""
    if entry:
        yield from ((write, whole(run, write, spots)) for write in run.stream.entry)
    for some in batches(run, list(run.stream.writes)):
        seen = run.again({key for w in some if opened(run, w, level) for key in needed(w)})
        for write in some:
            yield from ((write, found) for found in vectors(run, write, level, seen, spots))


def measured(run: Pass, level: str, spots: Spots, goal: Goal, measure: Measure) -> list[Group]:
    """Every component measured, in the cells of the goal.

    Parameters: `run`; `level`; `spots`, the goal's places; `goal`; `measure`, [place, component] of some components.
    """
    held: dict[str, Scored] = {}
    for write, found in components(run, level, spots):
        put(held, found, measure(write, found), len(spots))
    return [one.group(goal) for one in held.values()]


def along(run: Pass, level: str, spots: Spots, directions: Mapping[str, Tensor]) -> Iterator[tuple[Write, list[Scored]]]:
    """<g, v> of every component, g a direction at every place for each write; a write's rows sum to <g, write>.

    Where a write was made in low precision, what its rows miss it by is a row of its own.

    Parameters: `run`; `level`; `spots`; `directions`, by the write's label, [place, d_model] in float64; writes without one are left out.
    """
    wanted = [write for write in (*run.stream.entry, *run.stream.writes) if write.label in directions]
    for some in batches(run, wanted):
        seen = run.again({key for w in some if opened(run, w, level) for key in needed(w)})
        yield from ((write, _along(run, write, level, spots, directions[write.label], seen)) for write in some)


def _along(run: Pass, write: Write, level: str, spots: Spots, g: Tensor, seen: Captured) -> list[Scored]:
    held: dict[str, Scored] = {}
    for found in vectors(run, write, level, seen, spots):
        put(held, found, found.dot(g[found.where]), len(spots))
    if opened(run, write, level) and run.rough(write, seen):
        left = whole(run, write, spots).dot(g).T - sum(one.values.sum(0) for one in held.values())
        held[""] = Scored(f"{write.label}.rounding", "rounding", (), (), left)
    return list(held.values())
