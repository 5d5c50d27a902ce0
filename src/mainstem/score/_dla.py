"""Direct logit attribution: what every part of the stream gives a logit, through everything after it frozen at this input."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from mainstem.core import Group, InputError, Parts, bound, error
from mainstem.find import Captured, Write
from mainstem.stream import LEVELS, Aimed, Entries, Pass, Places, Ranks, Sweep, aimed, graded, needed, opened, pull, reduce, rows, subscores

from ._estimate import announce, batches


@graded
def direct(run: Pass, direction: Tensor | Entries, level: str = "write", keep_pos: bool = False) -> Parts:
    """<direction, output> as the sum of what every part contributes, constants included.

    score(v) = <A^T direction, v>, A the product of all frozen maps between the part and the output.

    Parameters: `run`; `direction`, a tensor of the output's shape, or entries of it, such as one at a token's logit; `level`,
    how far writes are taken apart; `keep_pos`, a score for every position instead of their sum.

    Returns the parts with [batch] or [batch, pos] behind the component axis. Raises `NotClosedError` where they do not sum.
    """
    if keep_pos and run.output().ndim != 3:
        raise InputError("scores of every position need an output of [batch, pos, vocab]; leave positions out.")
    announce(run, level, keep_pos)
    (parts,) = taken_apart(run, [aimed(run, direction)], level, _places(run, keep_pos), {"by": "dla"})
    return parts


def taken_apart(run: Pass, aims: Sequence[Aimed], level: str, places: Places, choices: dict[str, Any]) -> list[Parts]:
    """Numbers, each as the sum of what every part before it contributes, constants included.

    Parameters: `run`; `aims`, the numbers; `level`, how far writes are taken apart; `places`, (batch,), or (batch, pos) for one at
    every position; `choices`, to be written on the result.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    sweeps = [pull(run, aim) for aim in aims]
    expanded = _expanded(run, sweeps, level, places)
    chosen = choices | {"level": level, "norm": "frozen at this input", "edits": len(run.patches)}
    return [_summed(run, sweep, groups, places, chosen) for sweep, groups in zip(sweeps, expanded, strict=True)]


def _summed(run: Pass, sweep: Sweep, expanded: dict[str, list[Group]], places: Places, choices: dict[str, Any]) -> Parts:
    aim = sweep.aim
    groups: list[Group] = []
    size = torch.zeros((), device=aim.weights.device)
    for row in rows(run, None, aim):
        g = _direction(sweep, row.label, row.start)
        product = g * row.vector
        size = size + reduce(product.abs(), places)
        groups += expanded.get(row.label) or [Group(row.label, row.kind, reduce(product, places))]
    whole = reduce(aim.weights * aim.output, places)
    parts = Parts(tuple(groups), whole, ("batch", "pos")[: len(places)], 0.0, 0.0)
    total = parts.sum()
    assert isinstance(total, Tensor)
    return replace(parts, error=error(total, whole), bound=bound(run.dtype, size), choices=choices).checked()


def _places(run: Pass, keep_pos: bool) -> Places:
    """Prompts, and their positions; one for all where the output's rows are others than the stream's (a row a code book)."""
    shape = tuple(run.output().shape)
    sizes, points = shape[: 1 + keep_pos], [run.shaped(run.raw_point(t)).shape for t in range(len(run.stream.points))]
    known = any(p[0] == shape[0] or (len(p) > 2 and p[1] == shape[0] and p[0] in shape[1:2]) for p in points)
    if not known and keep_pos:
        raise InputError("the output's rows are not the stream's, so no position is one of the stream's; leave positions out.")
    return sizes if known else (1,)


def _direction(sweep: Sweep, label: str, start: int) -> Tensor:
    for name, _, g in sweep.constants:
        if name == label:
            return g
    return sweep.at[start] if start < len(sweep.at) else sweep.aim.weights


def _expanded(run: Pass, sweeps: Sequence[Sweep], level: str, places: Places) -> list[dict[str, list[Group]]]:
    """The writes that the level takes apart, a few at a time, so that what is captured stays small; by label, for each sweep."""
    found: list[dict[str, list[Group]]] = [{} for _ in sweeps]
    last = max((len(sweep.at) for sweep in sweeps), default=0)
    entering = {w.label: t for t, p in enumerate(run.stream.points[:last]) for w in p.writes}
    for some in batches(run, [w for w in run.stream.writes if w.label in entering and opened(run, w, level)]):
        seen = run.again({key for w in some for key in needed(w)})
        for write in some:
            depth, t = opened(run, write, level), entering[write.label]
            assert depth is not None
            for sweep, groups in zip(sweeps, found, strict=True):
                if t < len(sweep.at):
                    groups[write.label] = _closed(run, write, depth, sweep.at[t], seen, places, sweep.ranks)
    return found


def _closed(run: Pass, write: Write, level: str, g: Tensor, seen: Captured, places: Places, ranks: Ranks) -> list[Group]:
    groups = subscores(run, write, level, g, seen, places, ranks)
    if run.rough(write, seen):
        total = sum(group.flat().sum(0) for group in groups)
        groups.append(Group(f"{write.label}.rounding", "rounding", reduce(g * run.write(write), places) - total))
    return groups
