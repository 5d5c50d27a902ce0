"""Numbers that are affine in the stream, each as the sum of what every part before it contributes, constants included."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mainstem.core import Group, Parts, bound, error, tracked
from mainstem.find import Captured, Write
from mainstem.stream import Aimed, Pass, Places, Ranks, Sweep, needed, opened, pull, reduce, rows, subscores

from ._estimate import batches


@dataclass(frozen=True, eq=False)
class Apart:
    """A number taken apart: its parts, the number itself, the sum of the parts' absolute values."""

    groups: list[Group]
    whole: Tensor
    size: Tensor

    def parts(self, run: Pass, choices: dict[str, Any]) -> Parts:
        """With how nearly they sum, which raises `NotClosedError` where they do not.

        Parameters: `run`; `choices`, to be written on the result.
        """
        parts = Parts(tuple(self.groups), self.whole, ("batch", "pos")[: self.whole.ndim], 0.0, 0.0)
        total = parts.sum()
        assert isinstance(total, Tensor)
        miss, limit = error(total, self.whole), bound(run.dtype, self.size)
        chosen = choices | {"norm": "frozen at this input", "edits": len(run.patches)}
        return Parts(parts.groups, self.whole, parts.rest, miss, limit, chosen).checked()


def taken_apart(run: Pass, aims: Sequence[Aimed], level: str, places: Places) -> list[Apart]:
    """Several numbers at once, so that what their parts are made of is captured once.

    Parameters: `run`; `aims`, the numbers; `level`, how far writes are taken apart; `places`, (batch,), or (batch, pos) for one at
    every position.
    """
    sweeps = [pull(run, aim) for aim in aims]
    return [_summed(run, *each, places) for each in zip(sweeps, _expanded(run, sweeps, level, places), strict=True)]


def _summed(run: Pass, sweep: Sweep, expanded: dict[str, list[Group]], places: Places) -> Apart:
    aim = sweep.aim
    groups: list[Group] = []
    home = aim.weights.device  # parts of a model that is spread over devices are summed where it ends
    size = torch.zeros((), device=home)
    for row in rows(run, None, aim):
        g = _direction(sweep, row.label, row.start)
        product = (g.to(row.vector.device) * row.vector).to(home)
        size = size + reduce(product.abs(), places)
        groups += expanded.get(row.label) or [Group(row.label, row.kind, reduce(product, places))]
    return Apart(groups, reduce(aim.weights * aim.output, places), size)


def _direction(sweep: Sweep, label: str, start: int) -> Tensor:
    for name, _, g in sweep.constants:
        if name == label:
            return g
    return sweep.at[start] if start < len(sweep.at) else sweep.aim.weights


def _expanded(run: Pass, sweeps: Sequence[Sweep], level: str, places: Places) -> list[dict[str, list[Group]]]:
    """The writes that the level takes apart by label, for each sweep; a few at a time, so that what is captured stays small."""
    found: list[dict[str, list[Group]]] = [{} for _ in sweeps]
    last = max((len(sweep.at) for sweep in sweeps), default=0)
    entering = {w.label: t for t, p in enumerate(run.stream.points[:last]) for w in p.writes}
    depths = {w.label: opened(run, w, level) for w in run.stream.writes if w.label in entering}
    writes = [w for w in run.stream.writes if depths.get(w.label)]
    for write, seen in tracked(_captured(run, writes), f"{level}s", len(writes)):
        depth, t = depths[write.label], entering[write.label]
        assert depth is not None
        for sweep, groups in zip(sweeps, found, strict=True):
            if t < len(sweep.at):
                parts = _closed(run, write, depth, sweep.at[t], seen, places, sweep.ranks)
                groups[write.label] = [replace(part, values=part.values.to(sweep.aim.weights.device)) for part in parts]
    return found


def _captured(run: Pass, writes: list[Write]) -> Iterator[tuple[Write, Captured]]:
    for some in batches(run, writes):
        seen = run.again({key for w in some for key in needed(w)})
        yield from ((write, seen) for write in some)


def _closed(run: Pass, write: Write, level: str, g: Tensor, seen: Captured, places: Places, ranks: Ranks) -> list[Group]:
    groups = subscores(run, write, level, g, seen, places, ranks)
    if run.rough(write, seen):
        total = sum(group.flat().sum(0) for group in groups)
        groups.append(Group(f"{write.label}.rounding", "rounding", reduce(g * run.write(write), places) - total))
    return groups
