"""What is taken apart: any direction on the output, or a few of its numbers, which need a few rows of the unembedding."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mainstem.algebra import Affine, cut, few_columns, last_product

from ._pass import Pass


@dataclass(frozen=True, eq=False)
class Entries:
    """A direction on the output that is zero but for a few numbers at every place.

    Parameters: `ids`, which numbers, [batch, pos, entry] or [batch, entry]; `weights`, of the same shape, zero where a place
    is not asked for.
    """

    ids: Tensor
    weights: Tensor

    def dense(self, output: Tensor) -> Tensor:
        """The direction as a tensor of the output's shape. Parameters: `output`."""
        return torch.zeros_like(output).scatter_add(-1, self.ids, self.weights.to(output.dtype))

    def kinds(self) -> tuple[Tensor, int]:
        """For every place which of the different targets it has, and how many there are; a place without weight counts as any."""
        asked = (self.weights != 0).any(-1).flatten()
        _, which = self.ids.flatten(0, -2).unique(dim=0, return_inverse=True)
        if not bool(asked.any()):
            return torch.zeros_like(which).reshape(self.ids.shape[:-1]), 1
        found = which[asked].unique(return_inverse=True)[1]
        kinds = torch.zeros_like(which)
        kinds[asked] = found
        return kinds.reshape(self.ids.shape[:-1]), int(found.max()) + 1


@dataclass(frozen=True, eq=False)
class Aimed:
    """A direction with the way to it: `maps` lead from point `start` to what `weights` weigh, which is `output`.

    `kinds` says which of `count` different directions every place has, None where that is not known; `name` is what constants
    and rounding on the way are called after.
    """

    maps: tuple[Affine, ...]
    weights: Tensor
    output: Tensor
    start: int
    kinds: Tensor | None = None
    count: int = 1
    name: str = "readout"


def transport(run: Pass, t: int, onward: bool = True) -> tuple[Affine, ...]:
    """The frozen way from point t to the next addition (to the output from the last): to its face, and on. Nothing for the identity.

    Parameters: `run`; `t`; `onward`, not only to its face.
    """
    p = run.stream.points[t]
    return tuple(run.affine(program) for program in (p.face, p.onward)[: 1 + onward] if program.steps)


def aimed(run: Pass, direction: Tensor | Entries | None) -> Aimed:
    """The readout narrowed to what a direction looks at.

    Parameters: `run`; `direction`, a tensor of the output's shape, entries of it, or None for all of it.
    """
    last = len(run.stream.points) - 1
    output = run.output()
    if not isinstance(direction, Entries):
        return Aimed(transport(run, last), torch.zeros_like(output) if direction is None else direction, output, last)
    kinds, count = direction.kinds()
    narrow = _narrowed(run, direction.ids)
    if narrow is None:
        return Aimed(transport(run, last), direction.dense(output), output, last, kinds, count)
    face = run.stream.points[last].face
    maps = (run.affine(face), narrow) if face.steps else (narrow,)
    return Aimed(maps, direction.weights.to(output.dtype), output.gather(-1, direction.ids), last, kinds, count)


def _narrowed(run: Pass, ids: Tensor) -> Affine | None:
    """The readout from the last point's face to a few of its numbers; None where these cannot be had without all."""
    onward = run.frozen(run.stream.points[-1].onward)
    at = last_product(onward.program)
    found = None if at is None else cut(onward, at)
    if found is None or found.matrix.shape[0] != run.output().shape[-1]:
        return None
    rows = ids.flatten(0, -2)
    same = bool((rows == rows[:1]).all())
    few = few_columns(found, rows[:1] if same else rows)
    return None if few is None else replace(few, calls=tuple(map(run.raised, few.calls)))
