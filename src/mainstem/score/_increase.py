"""Scores that are the change of what is read as components are added: they telescope from the entry to the last point."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from mainstem.core import Group, Parts, bound, error
from mainstem.stream import Pass, Vectors

from ._certify import everything, likeliest
from ._estimate import announce
from ._goal import Goal
from ._reading import Normed
from ._registry import Choices
from ._scene import Piece, Scene, scene
from ._settle import settled

WITHIN = 1e-4  # nats
Worth = Callable[[Tensor], Tensor]
Happened = tuple[str, str, int, int]  # label and kind of what happens to the stream, the states before and after it


@dataclass(frozen=True, eq=False)
class Scored:
    """Values of one label, [component, place], with what it is."""

    label: str
    kind: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    values: Tensor

    def group(self, goal: Goal) -> Group:
        """The values in the cells of the goal. Parameters: `goal`."""
        total = goal.total(self.values)
        return Group(self.label, self.kind, total.reshape(*self.sizes, *goal.shape), self.axes)


Parted = Mapping[str, tuple[bool, list[Scored]]]  # by a write's label: whether it was taken apart, and into what


def gathered(scene: Scene, level: str, score: Callable[[Piece], Tensor]) -> Iterator[tuple[str, bool, list[Scored]]]:
    """Every write with what a level takes it apart into, scored. Parameters: `scene`; `level`; `score`, [place, component] of a piece.

    Yields the write's label, whether it was taken apart, and the parts.
    """
    return _by_write(((piece, score(piece)) for piece in scene.pieces(level)), len(scene.spots))


def _by_write(scored: Iterable[tuple[Piece, Tensor]], places: int) -> Iterator[tuple[str, bool, list[Scored]]]:
    held: dict[str, Scored] = {}
    current, opened = "", False
    for piece, values in scored:
        if current and piece.step.write.label != current:
            yield current, opened, list(held.values())
            held, opened = {}, False
        current, opened = piece.step.write.label, opened or piece.part
        put(held, piece.vectors, values, places)
    if current:
        yield current, opened, list(held.values())


def put(held: dict[str, Scored], found: Vectors, values: Tensor, places: int) -> None:
    """Keeps values of some components under their label. Parameters: `held`; `found`; `values`, [place, component]; `places`, of the goal."""
    if found.label not in held:
        held[found.label] = Scored(found.label, found.kind, found.axes, found.sizes, values.new_zeros(prod(found.sizes), places))
    held[found.label].values[found.offset : found.offset + values.shape[1], found.where] = values.T


def opened_scene(run: Pass, goal: Goal, choices: Choices, parts: bool) -> Scene:
    """A scene by the choices, with the ways of these scores where they say nothing.

    Parameters: `run`; `goal`; `choices`; `parts`, only the writes that the level takes apart.
    """
    announce(run, choices.level, len(goal.shape) == 2)
    bias = True if choices.norm_bias is None else choices.norm_bias
    return scene(run, goal, choices.level, choices.base or "before", choices.norm or "own", bias, parts)


def increase(scene: Scene, level: str, within: float, worth: Worth, by: str) -> Parts:
    """The rows of a level: sign * (worth(f(x + sign * v)) - worth(f(x))), f what is read, a log-probability.

    The scores of whole writes and of transports telescope: they sum to worth(f) at the last point less worth(f) at the entry.
    Inside a write they do not, since f is no linear function; what the parts miss the write by is a row of its own.

    Parameters: `scene`; `level`; `within`, what a part's score may be off by, in nats; `worth`; `by`, the name of the score.
    """
    scored, worked = _log_increases(scene, level, within)

    def worths() -> Iterator[tuple[Piece, Tensor]]:
        for piece, found in scored:
            at = scene.without[piece.step.write.label][piece.vectors.where][:, None]
            yield piece, piece.step.sign * (worth(at + piece.step.sign * found) - worth(at))

    parts = {label: (opened, some) for label, opened, some in _by_write(worths(), len(scene.spots))}
    of = sum(found.numel() for _, found in scored)
    states_read = 0 if scene.base == "last" else (len(scene.run.stream.writes) - len(parts)) * len(scene.spots)
    choices = {
        "by": by,
        "level": level,
        "base": scene.base,
        **scene.rules,
        "within": within,
        "worked_out": worked + states_read,
        "of": of + states_read,
    }
    if scene.base == "last":
        return loose([one.group(scene.goal) for _, some in parts.values() for one in some], scene.goal, choices)
    changes, states = scene.changes()
    read = [worth(value) for value in scene.reading.values(states, scene.goal)]
    return telescoped(scene, changes, read, parts, choices)


def _log_increases(scene: Scene, level: str, within: float) -> tuple[list[tuple[Piece, Tensor]], int]:
    """All pieces of a level with their scores, and how many of these were worked out."""
    if isinstance(scene.reading, Normed) and within > 0 and level != "write":
        if scene.steps:
            scene.surveyed(likeliest(scene.reading))
        return settled(scene, level, within)
    found = [(piece.bare(), everything(scene, piece)) for piece in scene.pieces(level)]
    return found, sum(values.numel() for _, values in found)


def telescoped(
    scene: Scene, changes: Sequence[Happened], read: Sequence[Tensor], parts: Parted, choices: dict[str, object]
) -> Parts:
    """Rows of everything that happens to the stream, which sum to what is read in the end less what is read at the entry.

    Parameters: `scene`; `changes`, of it; `read`, [place] of every state; `parts`, what writes were taken apart into, by label;
    `choices`.
    """
    groups, size = [], scene.goal.total(read[-1].abs() + read[0].abs())
    for label, kind, before, after in changes:
        whole = Scored(label, kind, (), (), (read[after] - read[before])[None])
        if kind == "transport" and not bool((whole.values != 0).any()):
            continue
        opened, some = parts.get(label, (False, []))
        if opened:
            groups += [one.group(scene.goal) for one in some]
            left = whole.values - sum(one.values.sum(0) for one in some)
            whole = Scored(f"{label}.interaction", "interaction", (), (), left)
        groups.append(whole.group(scene.goal))
        size = size + scene.goal.total((read[after] - read[before]).abs())
    whole_score = scene.goal.total(read[-1] - read[0])
    found = Parts(tuple(groups), whole_score, ("batch", "pos")[: len(scene.goal.shape)], 0.0, 0.0, choices)
    total = found.sum()
    assert isinstance(total, Tensor)
    return replace(found, error=error(total, whole_score), bound=bound(scene.run.dtype, size)).checked()


def loose(groups: Sequence[Group], goal: Goal, choices: dict[str, object]) -> Parts:
    """Rows that are no parts of a sum: their whole is their own sum. Parameters: `groups`; `goal`; `choices`."""
    axes = ("batch", "pos")[: len(goal.shape)]
    whole = sum((g.flat().sum(0) for g in groups), torch.zeros(goal.shape, dtype=torch.float64, device=groups[0].values.device))
    return Parts(tuple(groups), whole, axes, 0.0, 0.0, {**choices, "additive": False})
