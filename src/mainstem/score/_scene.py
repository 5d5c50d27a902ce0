"""The stream at some places, addition by addition: what every write is added to there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, tracked
from mainstem.find import Captured, Write
from mainstem.stream import LEVELS, Pass, Spots, Vectors, needed, opened, push, spots, through, transport, vectors, whole

from ._estimate import batches
from ._goal import Goal
from ._reading import Asked, Normed, Reading, reading
from ._survey import Surveys, read, survey

BASES = ("before", "last")


@dataclass(frozen=True, eq=False)
class Step:
    """One write and what it is scored against: sign * (f_t(x + sign * v) - f_t(x)), f_t what the readout makes of point t.

    Parameters: `write`; `t`; `x`, [place, d_model]; `sign`, 1 where v is added to what was there before, -1 where it is taken
    out of what is there in the end.
    """

    write: Write
    t: int
    x: Float[Tensor, "place d_model"]
    sign: int = 1

    def asked(self, where: Tensor) -> Asked:
        """The question what is read without the write. Parameters: `where`, which places."""
        return self.t, where, self.x[where]


@dataclass(frozen=True, eq=False)
class Piece:
    """Some components of a write, with the step that they are scored at; `part` says whether the level took the write apart."""

    step: Step
    vectors: Vectors
    part: bool

    def bare(self) -> "Piece":
        """The same without its rows, which may be all that is large of it."""
        rows = self.vectors.rows.new_empty(0, self.vectors.rows.shape[-1])
        return replace(self, vectors=replace(self.vectors, rows=rows))

    def double(self) -> "Piece":
        """The same with its rows in float64, so that they are made so once."""
        return replace(self, vectors=replace(self.vectors, rows=self.vectors.rows.double()))

    def at(self, place: int, component: Tensor) -> "Piece":
        """Some of the components at one place. Parameters: `place`, along the vectors' own; `component`."""
        return replace(self, vectors=self.vectors.at(place, component))

    def asked(self, place: Tensor, component: Tensor) -> Asked:
        """The question what is read with each of some components. Parameters: `place`, along the vectors' own; `component`."""
        where = self.vectors.where[place]
        return self.step.t, where, self.step.x[where] + self.step.sign * self.vectors.pick(place, component)


@dataclass(frozen=True, eq=False)
class Scene:
    """A run at the places of a goal. Parameters: `run`; `goal`; `spots`; `reading`; `steps`, in the order of addition; `base`; `rules`, of the norm."""

    run: Pass
    goal: Goal
    spots: Spots
    reading: Reading
    steps: tuple[Step, ...]
    base: str
    rules: dict[str, Any]

    @property
    def every(self) -> Tensor:
        """All places."""
        return torch.arange(len(self.spots), device=self.spots.at.device)

    @cached_property
    def _surveys(self) -> dict[tuple[int, torch.dtype], Surveys]:
        return {}

    @cached_property
    def _asked(self) -> dict[tuple[int, int], Asked]:
        """What is read before the steps; parallel ones that read the same have one question."""
        return {(step.t, id(step.x)): step.asked(self.every) for step in self.steps}

    def surveyed(self, likeliest: int = 0, dtype: torch.dtype = torch.float64) -> Surveys:
        """The survey of every step's places, by the write's label, made once. Parameters: as of `survey`."""
        assert isinstance(self.reading, Normed)
        if (likeliest, dtype) not in self._surveys:
            found, n = survey(self.reading, list(self._asked.values()), likeliest, dtype), len(self.spots)
            first = {key: i * n for i, key in enumerate(self._asked)}
            labels = {step.write.label: first[step.t, id(step.x)] for step in self.steps}
            self._surveys[likeliest, dtype] = Surveys(found, labels, n)
        return self._surveys[likeliest, dtype]

    @cached_property
    def without(self) -> dict[str, Tensor]:
        """What is read before every step, [place], by the write's label."""
        asked = list(self._asked.values())
        if isinstance(self.reading, Normed):
            known = next((each for (_, dtype), each in self._surveys.items() if dtype == torch.float64), None) or self.surveyed()
            every = self.every.repeat(len(asked))
            found: Sequence[Tensor] = read(self.reading, known.whole, every, self.goal).split(len(self.spots)) if asked else ()
        else:
            found = self.reading.values(asked, self.goal)
        values = dict(zip(self._asked, found, strict=True))
        return {step.write.label: values[step.t, id(step.x)] for step in self.steps}

    @cached_property
    def _known(self) -> dict[tuple[int, int], Tensor]:
        """What is read before the steps where it was worked out so far, [place], no number elsewhere."""
        nothing = self.spots.at.new_full((len(self.spots),), torch.nan, dtype=torch.float64)
        known = "without" in self.__dict__
        return {(s.t, id(s.x)): self.without[s.write.label].clone() if known else nothing.clone() for s in self.steps}

    def values(self, wanted: Sequence[tuple[Piece, Tensor, Tensor]]) -> list[Float[Tensor, "some"]]:
        """Scores of some components, worked out: sign * (f(x + sign * v) - f(x)), all in one pass over the vocabulary.

        Parameters: `wanted`, pieces, each with places along its own and components.
        """
        asked, bases = [piece.asked(place, component) for piece, place, component in wanted], self._unread(wanted)
        found = self.reading.values([*asked, *bases.values()], self.goal)
        for (key, (_, where, _)), value in zip(bases.items(), found[len(asked) :], strict=True):
            self._known[key][where] = value
        return [
            piece.step.sign * (value - self._known[piece.step.t, id(piece.step.x)][where])
            for (piece, _, _), (_, where, _), value in zip(wanted, asked, found, strict=False)
        ]

    def _unread(self, wanted: Sequence[tuple[Piece, Tensor, Tensor]]) -> dict[tuple[int, int], Asked]:
        """What has to be read without the components, where that is not known yet."""
        places: dict[tuple[int, int], tuple[Step, list[Tensor]]] = {}
        for piece, place, _ in wanted:
            step = piece.step
            places.setdefault((step.t, id(step.x)), (step, []))[1].append(piece.vectors.where[place])
        found = {}
        for key, (step, some) in places.items():
            where = torch.cat(some)
            where = where[self._known[key][where].isnan()].unique()
            if len(where):
                found[key] = step.asked(where)
        return found

    def pieces(self, level: str) -> Iterator[Piece]:
        """Every component of a level, write by write. Parameters: `level`."""
        run, steps = self.run, {step.write.label: step for step in self.steps}
        for write, seen in tracked(self._seen(level), f"scores at level {level}", len(steps)):
            part, step = opened(run, write, level) is not None, steps[write.label]
            moved = self.base == "last" and any(transport(run, t) for t in range(_entered(run, write), step.t))
            if moved and part:
                raise InputError(
                    f"{write.label}: base='last' at level {level!r} needs a stream that nothing changes on the way; take base='before'."
                )
            for found in [self._carried(write)] if moved else vectors(run, write, level, seen, self.spots):
                yield Piece(step, found, part and found.kind != "constant")

    def _seen(self, level: str) -> Iterator[tuple[Write, Captured]]:
        """Every write with a run that has captured what the level needs of it; few at a time."""
        for some in batches(self.run, [step.write for step in self.steps]):
            seen = self.run.again({key for w in some if opened(self.run, w, level) for key in needed(w)})
            yield from ((write, seen) for write in some)

    def _carried(self, write: Write) -> Vectors:
        """A write as it is at the last point."""
        run, found = self.run, whole(self.run, write, self.spots)
        t, last = _entered(run, write), len(run.stream.points) - 1
        there = push(run, run.write(write).expand_as(run.point(t))[None], t, last)[0]
        return replace(found, rows=self.spots.of(there)[:, None])

    def changes(self) -> tuple[list[tuple[str, str, int, int]], list[Asked]]:
        """Everything that happens to the stream, in order: label, kind, the state before and the one after, and those states.

        A state is a point with what it holds at all places. The last change ends at the last point.
        """
        run = self.run
        states: list[Asked] = [(0, self.every, self.spots.of(run.point(0)))]
        found: list[tuple[str, str, int, int]] = []

        def become(t: int, rows: Tensor, label: str = "", kind: str = "") -> None:
            states.append((t, self.every, rows))
            if label:
                found.append((label, kind, len(states) - 2, len(states) - 1))

        for t, point in enumerate(run.stream.points[1:], 1):
            moved = bool(transport(run, t - 1)) or run.factor(t) != 1 or bool(point.face.steps)
            become(
                t,
                held := operand(run, self.spots, t),
                f"{run.stream.points[t - 1].name}.transport" if moved else "",
                "transport",
            )
            for write in point.writes:
                become(t, held := held + self.spots.of(run.write(write).expand_as(run.point(t))), write.label, write.kind)
            edited = any(patch.site == point.site for patch in run.patches)
            kind = "rounding" if run.low else "edit" if edited else ""
            become(t, self.spots.of(run.point(t)), f"{point.name}.{kind}" if kind else "", kind)
        return found, states


def scene(
    run: Pass, goal: Goal, level: str, base: str = "before", norm: str = "own", norm_bias: bool = True, parts: bool = False
) -> Scene:
    """A run at the places of a goal, ready to be scored.

    Parameters: `run`; `goal`; `level`; `base`, "before", a write is added to what the stream was before it (parallel writes in
    their order), or "last", taken out of the last point; `norm` and `norm_bias`, as of `reading`; `parts`, only the writes
    that the level takes apart. Raises `InputError` for an unknown choice, and where the target has no probability.
    """
    if level not in LEVELS:
        raise InputError(f"no level {level!r}; there are {', '.join(LEVELS)}.")
    if base not in BASES:
        raise InputError(f"no base {base!r}; there are {', '.join(BASES)}.")
    where = spots(run, goal.places)
    _possible(run, goal)
    kept = [write for write in run.stream.writes if not parts or opened(run, write, level)]
    steps = _before(run, where, kept) if base == "before" else _last(run, where, kept)
    rules = {"norm": norm, "norm_bias": norm_bias}
    return Scene(run, goal, where, reading(run, where, norm, norm_bias), tuple(steps), base, rules)


def _possible(run: Pass, goal: Goal) -> None:
    """Refuses a target that the model rules out, and one whose logit is no number: there is nothing to score."""
    output, rows = run.output(), [row[:, None] for row in goal.rows(run.output())]
    sides = [(goal.ids, goal.mask)]
    if goal.against is not None and goal.against_mask is not None:
        sides.append((goal.against, goal.against_mask))
    for ids, mask in sides:
        found = torch.where(mask, output[(*rows, ids)], -torch.inf).amax(-1)
        if not bool((found.isfinite() | (goal.weights == 0)).all()):
            raise InputError(
                "the target's logit is -inf or no number: the model rules it out, or its weights hold NaN. Take another target."
            )


def _before(run: Pass, where: Spots, kept: Sequence[Write]) -> Iterator[Step]:
    for t, point in enumerate(run.stream.points[1:], 1):
        if not any(write in kept for write in point.writes):
            continue
        held = operand(run, where, t)
        for i, write in enumerate(point.writes):
            if i:
                held = held + where.of(run.write(point.writes[i - 1]).expand_as(run.point(t)))
            if write in kept:
                yield Step(write, t, held)


def _last(run: Pass, where: Spots, kept: Sequence[Write]) -> Iterator[Step]:
    last = len(run.stream.points) - 1
    held = where.of(run.point(last))
    for write in kept:
        yield Step(write, last, held, -1)


def _entered(run: Pass, write: Write) -> int:
    return next(t for t, p in enumerate(run.stream.points) if write in p.writes)


def operand(run: Pass, where: Spots, t: int) -> Tensor:
    """Point t before anything is added to it. Parameters: `run`; `where`, the places; `t`."""
    held = run.shaped(through(transport(run, t - 1), run.point(t - 1)))
    return run.factor(t) * where.of(held)
