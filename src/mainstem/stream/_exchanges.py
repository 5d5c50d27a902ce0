"""What is put in a component's place, and where: another run's values, nothing, a mean, or values of places drawn by chance."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError

from ._pass import Pass
from ._siblings import Siblings, View
from ._tokens import Tokens

MODES = ("patch", "zero", "mean", "resample")
Where = str | int | Sequence[int]


@dataclass(frozen=True, eq=False)
class Exchange:
    """Values that can be put in the place of siblings at some tokens, each of them by itself.

    Parameters: `siblings`; `turn`, its number; `at`, [place, 2], prompt and place in the tensor; `before` and `after`, what stands there
    and what is put there, [place, component, feature]; `tokens`, whether places are tokens.
    """

    siblings: Siblings
    turn: int
    at: Int[Tensor, "place 2"]
    before: Float[Tensor, "place component feature"]
    after: Float[Tensor, "place component feature"]
    tokens: bool

    def same(self, component: int) -> bool:
        """Whether what is put there is what stands there. Parameters: `component`, its number."""
        return torch.equal(self.before[:, component], self.after[:, component])


@dataclass(frozen=True)
class Source:
    """What is put in.

    Parameters: `mode`, one of `MODES`; `seed`, of places that are drawn; `means`, by label.
    """

    mode: str = "patch"
    seed: int = 0
    means: Mapping[str, Tensor] | None = None

    def values(self, one: Siblings, other: View, at: Tensor, real: Tensor, like: Tensor) -> Tensor:
        """What is put in, [place, component, feature]. Parameters: `one`; `other`, the other run's; `at`, places of it; `real`, all of them; `like`."""
        if self.mode == "zero":
            return torch.zeros_like(like)
        if self.mode == "mean":
            return self._means(one).to(like)[None].expand_as(like)
        if self.mode == "resample":
            chance = torch.Generator().manual_seed(self.seed)
            at = real[torch.randint(len(real), (len(like),), generator=chance)]
        return _picked(other, at, one)

    def _means(self, one: Siblings) -> Tensor:
        known = self.means or {}
        if missing := [name for name in one.names if name not in known]:
            raise InputError(f"there is no mean of {missing[0]}: these means are of {', '.join(list(known)[:9]) or 'nothing'}.")
        return torch.stack([known[name] for name in one.names])


def exchanges(
    run: Pass, other: Pass, some: Sequence[Siblings], tokens: tuple[Tokens, Tokens], where: Where, source: Source
) -> Iterator[Exchange]:
    """What can be put into a run from another one.

    Parameters: `run` and `other`; `some`, which components; `tokens`, of both runs; `where`, "each" for one token at a time, "all" for all
    at once, or tokens counted from 0 or back from -1, one at a time; `source`. Raises `InputError` where tokens of the two runs do not
    stand for each other.
    """
    keys = {one.target.site.key for one in some}
    here, there = run.again(keys), other.again(keys)
    turns = _turns(*tokens, where)
    for one in some:
        base, held = (
            who.of(seen.at(one.target.site), told)
            for who, seen, told in zip((one, one.there(other)), (here, there), tokens, strict=True)
        )
        told = tokens[0].mask is not None and base.shape[1] == tokens[0].mask.shape[1]
        if len(base) not in (1, run.prompts):
            raise InputError(
                f"{one.label} has {len(base)} rows where there are {run.prompts} prompts: it cannot be told whose each is."
            )
        if not told and base.shape != held.shape:
            raise InputError(f"{one.label} is of shape {tuple(base.shape)} in one run and {tuple(held.shape)} in the other.")
        every = torch.cartesian_prod(torch.arange(run.prompts), torch.arange(base.shape[1])).reshape(-1, 2)
        real = tokens[1].mask.nonzero().cpu() if told and tokens[1].mask is not None else every
        for turn, (at, from_) in enumerate(turns if told else [(every, every)]):
            before = _picked(base, at, one)
            after = source.values(one, held, from_, real, before).to(before.dtype)
            if (there_at_all := one.held(base)) is not None:
                after = after.where(_picked(there_at_all, at, one) > 0, 0)
            yield Exchange(one, turn, at, before, after, told)


def _picked(view: View, at: Tensor, one: Siblings) -> Tensor:
    rows = at[:, 0] % len(view)  # one row for all prompts, as positions have
    found = view[rows.to(view.device), at[:, 1].to(view.device)]
    return found if len(one.which) == found.shape[1] else found[:, list(one.which)]


def _turns(mine: Tokens, theirs: Tokens, where: Where) -> list[tuple[Tensor, Tensor]]:
    """The places of every turn in both runs."""
    if mine.mask is None or theirs.mask is None:
        return []
    spans = [(mask.int().argmax(1).tolist(), mask.sum(1).tolist()) for mask in (mine.mask.cpu(), theirs.mask.cpu())]
    counts, others = spans[0][1], spans[1][1]
    if where in ("each", "all"):
        if counts != others:
            row = next(i for i, (a, b) in enumerate(zip(counts, others, strict=True)) if a != b)
            raise InputError(
                f"prompt {row} has {counts[row]} tokens in one run and {others[row]} in the other, so they do not stand for each other: "
                "give prompts of as many tokens, or positions=-1 (--positions -1), counted from the end."
            )
        wanted = [[i] for i in range(max(counts))] if where == "each" else [list(range(max(counts)))]
    else:
        if isinstance(where, str) or not (asked := [where] if isinstance(where, int) else list(where)):
            raise InputError(f"positions is 'each', 'all', or tokens counted from 0 or back from -1, not {where!r}.")
        wanted = [[i] for i in asked]
        _check(wanted, counts, others)
    turns = [tuple(_at(turn, first, count) for first, count in spans) for turn in wanted]
    found = {tuple(str(at.tolist()) for at in turn): turn for turn in turns}  # a token may be named twice, as -1 and as 4
    return list(found.values())  # type: ignore[arg-type]


def _check(wanted: list[list[int]], *counts: list[int]) -> None:
    for (position,) in wanted:
        for row, n in enumerate(min(pair) for pair in zip(*counts, strict=True)):
            if isinstance(position, bool) or not isinstance(position, int) or not -n <= position < n:
                raise InputError(
                    f"there is no position {position!r}: prompt {row} has {n} tokens, counted from 0 or back from -1."
                )


def _at(turn: list[int], first: list[int], count: list[int]) -> Tensor:
    places = [[row, first[row] + i + (n if i < 0 else 0)] for row, n in enumerate(count) for i in turn if i < n]
    return torch.tensor(places, dtype=torch.long).reshape(-1, 2)
