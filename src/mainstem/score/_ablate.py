"""What the target loses as components are taken out of the stream, with everything behind them live."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import Group, tracked
from mainstem.stream import Pass, Spots, Vectors, Without, opened, spots

from ._components import components
from ._estimate import parts
from ._goal import Goal
from ._increase import Scored, put
from ._reading import turns

ZEROED = ("everywhere", "here")
Turn = tuple[Tensor, Tensor]  # along a component's places those that it is taken out of at once; the goal's places read then


@dataclass(frozen=True, eq=False)
class Ablation:
    """A run about to be made again without its components. Parameters: `run`; `goal`; `where`, the places they are taken out of; `here`; `without`."""

    run: Pass
    goal: Goal
    where: Spots
    here: bool
    without: Without

    def effect(self, t: int, found: Vectors, turn: Turn, some: Tensor) -> Float[Tensor, "place component"]:
        """log p(target) of the run less that of the run without each component. Parameters: `t`, the point; `found`; `turn`; `some`, which."""
        out, read = turn
        pairs = torch.cartesian_prod(some, out)
        vectors = found.pick(pairs[:, 1], pairs[:, 0]).unflatten(0, (len(some), len(out)))
        outputs, own = self.without.outputs(t, self.where.at[found.where[out]], vectors)
        goal = self.goal.at(read)
        logits = torch.stack([goal.logits(each) for each in (own, *outputs)]).double()
        before, *after = goal.value(logits)
        return before[:, None] - torch.stack(after, 1)

    def turns(self, found: Vectors) -> Iterator[Turn]:
        """Which places are run together: with everywhere all, else one of every prompt. Parameters: `found`."""
        wanted = (self.goal.weights != 0).nonzero()[:, 0]
        if not self.here:
            prompts = self.where.at[found.where, 0]
            read = wanted[torch.isin(self.goal.places[wanted, 0], prompts)]
            yield torch.arange(len(found.where), device=read.device), read
            return
        mine = torch.isin(found.where, wanted).nonzero()[:, 0]
        turn = turns(self.where.at[found.where[mine], 0])
        for k in turn.unique():
            out = mine[turn == k]
            yield out, found.where[out]


def ablation(run: Pass, goal: Goal, zeroed: str) -> Ablation:
    """A run at the places of a goal, ready to be made again. Parameters: `run`; `goal`; `zeroed`, one of `ZEROED`."""
    where, here = spots(run, goal.places), zeroed == "here"
    every = torch.cartesian_prod(*map(torch.arange, where.sizes)).reshape(-1, len(where.sizes)).to(where.at.device)
    return Ablation(run, goal, where if here else Spots(every, where.sizes), here, Without(run, where.sizes))


def effects(made: Ablation, level: str) -> list[Group]:
    """The effect of every component of a level, a run for each. Parameters: `made`; `level`."""
    held: dict[str, Scored] = {}
    for t, found, turn, some in tracked(_jobs(made, level), "runs without each part", _count(made, level)):
        put(held, _few(found, some, turn[1]), made.effect(t, found, turn, some), len(made.goal.places))
    return [one.group(made.goal) for one in held.values()]


def _jobs(made: Ablation, level: str) -> Iterator[tuple[int, Vectors, Turn, Tensor]]:
    """What goes into one forward pass each."""
    entering = {write.label: t for t, point in enumerate(made.run.stream.points) for write in point.writes}
    for write, found in components(made.run, level, made.where):
        every = torch.arange(found.scale.shape[1], device=found.where.device)
        for turn in made.turns(found):
            yield from ((entering[write.label], found, turn, some) for some in every.split(made.without.room))


def _count(made: Ablation, level: str) -> int:
    """How many passes these are, about."""
    run, room = made.run, made.without.room
    length = 1 if len(made.where.sizes) == 1 else made.where.sizes[1]
    each = [
        parts(source, level, length)
        for w in run.stream.writes
        if w.writer and opened(run, w, level)
        for source in w.writer.sources
    ]
    turns = max(1, len(made.goal.places) // made.where.sizes[0]) if made.here else 1
    return turns * (len(run.stream.entry) + len(run.stream.writes) + sum(-(-n // room) for n in each))


def _few(found: Vectors, some: Tensor, where: Tensor) -> Vectors:
    """Some of the components in a row, at other places; of their vectors only the number counts."""
    return replace(found, offset=found.offset + int(some[0]), where=where)
