"""How a small change of the stream grows on its way, with norms as they are, as they were, and without what they divide by."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.find import Patch

from ._pass import Pass
from ._scales import SCALES, Rerun
from ._spots import Spots


@dataclass(frozen=True)
class Grown:
    """A change at one point. Parameters: `point`; `scales`, of the norms; `size`, its length over all of the prompt; `here`, at the place that was changed."""

    point: str
    scales: str
    size: float
    here: float


@torch.no_grad()
def grown(run: Pass, start: int, where: Spots, change: Tensor, scales: tuple[str, ...] = SCALES) -> list[Grown]:
    """The size of a change at its own point and at every later one: |x'_s - x_s|, both of runs with norms of the same kind.

    Parameters: `run`; `start`, the point; `where`, the one place; `change`, [d_model], what is added there; `scales`, of `SCALES`.
    Raises `InputError` as of `Rerun`.
    """
    again, site, found = Rerun(run), run.stream.points[start].site, []
    for kind in scales:
        base = again.changed((), kind)
        added = where.onto(change[None], torch.zeros_like(run.point(start)))
        other = again.changed([Patch(site, lambda x, a=added: x + a.reshape(x.shape).to(x.dtype))], kind)
        for t in range(start, len(run.stream.points)):
            moved = other.point(t).double() - base.point(t).double()
            prompt = _prompt(run, where, moved)
            found.append(Grown(run.stream.points[t].name, kind, float(prompt.norm()), float(where.of(moved).norm())))
    return found


def _prompt(run: Pass, where: Spots, moved: Tensor) -> Tensor:
    """All that the prompt of the place holds."""
    mine = Spots(where.at[:, :1], where.sizes[:1])
    return mine.of(moved)
