"""Coordinates whose rows are not the stream's: those of experts, which see some of the tokens each, in an order of their own."""

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.find import Captured, Write

from ._parts import writer_map
from ._pass import Pass
from ._places import placed
from ._target import experts_of

_SCATTERED = frozenset(
    "index_add index_add_ index_put index_put_ index_copy index_copy_ scatter scatter_ scatter_add scatter_add_ __setitem__".split()
)


def routed(write: Write, branch: int) -> bool:
    """Whether rows of a write's coordinates are some of the stream's, in another order. Parameters: `write`; `branch`, which source."""
    assert write.writer is not None
    if write.writer.sources[branch].groups is not None:
        return True
    reached = {-1 - branch}
    for i, step in enumerate(write.writer.program.steps):
        if any(wire.source in reached for wire in step.wires):
            reached.add(i)
            moved = step.key[2].rpartition(".")[2] in _SCATTERED
            if moved and any(wire.source in reached and wire.operand != (0,) for wire in step.wires):
                return True
    return False


@dataclass(frozen=True, eq=False)
class Seats:
    """Where every row of an expert's coordinates belongs, in one run.

    Parameters: `total`, of rows; `shape`, prompts and positions; `rows`, those that belong somewhere; `places`, of these, counted through the
    prompts; `experts`, of these; `count`, of experts.
    """

    total: int
    shape: tuple[int, int]
    rows: Int[Tensor, " row"]
    places: Int[Tensor, " row"]
    experts: Int[Tensor, " row"]
    count: int

    def dense(self, value: Float[Tensor, "row neuron"]) -> Float[Tensor, "batch pos every"]:
        """The rows at their places, expert by expert; zero where a token is not routed to one. Parameters: `value`."""
        flat = value.new_zeros(prod(self.shape), self.count, value.shape[-1])
        flat[self.places, self.experts] = value[self.rows]
        return flat.reshape(*self.shape, -1)

    def row(self, place: int, expert: int) -> int | None:
        """The row of a place at an expert, None where it is not routed to it. Parameters: `place`; `expert`."""
        found = self.rows[(self.places == place) & (self.experts == expert)]
        return int(found[0]) if len(found) else None


def seats(run: Pass, write: Write, branch: int, seen: Captured) -> Seats:
    """Finds them by what comes back to every row from places that are numbered in binary: no row is told by its order.

    Parameters: `run`; `write`; `branch`, which of its sources; `seen`, a run with all of them captured.
    """
    assert write.writer is not None
    affine, likes = writer_map(run, write, seen)
    adjoint, source, h = affine.adjoint(*likes), write.writer.sources[branch], likes[branch]
    shape = run.spread if len(run.spread) == 2 else (run.prompts, 1)
    numbers = torch.arange(prod(shape), device=h.device)
    like = run.seen.at(write.site)

    def lit(these: Tensor) -> Tensor:
        """Rows that something comes back to from some places."""
        g = torch.zeros(like.shape, dtype=h.dtype, device=h.device)
        view = placed(g, shape)
        chance = torch.rand(view.shape, generator=torch.Generator().manual_seed(0)).to(g) + 0.5
        view.copy_(chance * these.reshape(*shape, *[1] * (view.ndim - 2)))
        back: Tensor = adjoint(g)[branch]
        return back.reshape(len(h), -1).any(-1)

    bits = range(max(1, (prod(shape) - 1).bit_length()))
    places = sum(
        (lit((numbers >> bit) & 1 == 1).long() << bit for bit in bits), torch.zeros(len(h), dtype=torch.long, device=h.device)
    )
    rows = lit(torch.ones_like(numbers, dtype=torch.bool)).nonzero()[:, 0]
    ends = None if source.groups is None else seen.at(source.groups)
    experts = torch.zeros_like(places) if ends is None else experts_of(ends, h)
    return Seats(len(h), (shape[0], shape[1]), rows, places[rows], experts[rows], 1 if ends is None else len(ends))
