"""Components that stand side by side in one tensor of the forward pass: a write or a point alone, all heads or neurons of a write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Write

from ._parts import needed
from ._pass import Pass, whole_label
from ._routed import Seats, seats
from ._target import Target
from ._targets import targets
from ._tokens import Tokens
from ._without import same

View = Float[Tensor, "row pos component feature"]
PATCHED = ("write", "point", "head", "neuron")
_LETTERS = {"head": "H", "neuron": "N"}


@dataclass(frozen=True, eq=False)
class Siblings:
    """Components of one tensor.

    Parameters: `label`, of the write or the point; `target`, the first of them; `names`, labels; `which` of those that the tensor
    holds they are.
    """

    label: str
    target: Target
    names: tuple[str, ...]
    which: tuple[int, ...]

    def of(self, value: Tensor, tokens: Tokens) -> View:
        """A tensor at the site taken apart: a view of it. Parameters: `value`; `tokens`, of the run. Raises `InputError` for folded heads."""
        if self.target.kind == "head" and value.ndim != 4:
            raise InputError(
                f"{self.label}: this attention folds heads into the batch; its heads can be read but not patched. Patch the whole write."
            )
        moved = value.movedim(1 if self.target.kind == "head" else self.target.axis, -1)
        apart = {"head": lambda: moved.transpose(-1, -2), "neuron": lambda: moved[..., None]}
        parts = apart.get(self.target.kind, lambda: moved[..., None, :])()
        rows, length, turned = tokens.layout((*parts.shape[:-2], parts.shape[-1]))
        return (parts.transpose(0, 1) if turned else parts).reshape(rows, length, *parts.shape[-2:])

    def there(self, other: Pass) -> "Siblings":
        """The same components of another run. Parameters: `other`."""
        return self

    def held(self, view: View) -> View | None:
        """1 where the components are at all, 0 elsewhere; None for everywhere. Parameters: `view`, of a tensor."""
        return None


@dataclass(frozen=True, eq=False)
class Experts(Siblings):
    """Neurons of experts, each there only at tokens that are routed to its expert.

    Parameters: as of `Siblings`; `write`, that they are of; `branch`, which of its sources they are; `seats`, whose rows the tensor's are.
    """

    write: Write
    branch: int
    seats: Seats

    @classmethod
    def all(cls, run: Pass, write: Write, branch: int, label: str, target: Target) -> "Experts":
        """Every neuron of every expert. Parameters: `run`; the others as of this class."""
        seen = run.again(needed(write))
        found, width = seats(run, write, branch, seen), seen.at(target.site).shape[-1]
        experts = [f"{label}.E{e}" for e in range(found.count)] if target.groups else [label]
        names = tuple(f"{expert}.N{i}" for expert in experts for i in range(width))
        return cls(label, target, names, tuple(range(len(names))), write, branch, found)

    def of(self, value: Tensor, tokens: Tokens) -> View:
        """The rows at their places, zero where a token is not routed to an expert. Parameters: as of `Siblings.of`."""
        return self.seats.dense(value)[..., None]

    def there(self, other: Pass) -> "Experts":
        return replace(self, seats=seats(other, self.write, self.branch, other.again(needed(self.write))))

    def held(self, view: View) -> View:
        return self.seats.dense(view.new_ones(self.seats.total, view.shape[2] // self.seats.count))[..., None]

    def swapped(self, value: Tensor, at: Tensor, component: int, before: Tensor, after: Tensor) -> Tensor:
        """The tensor with one neuron of one expert changed.

        Parameters: `value`; `at`, [place, 2]; `component`; `before` and `after`, [place, 1]. Raises `ValueError` where the run holds
        something else than `before`.
        """
        expert, neuron = divmod(self.which[component], value.shape[-1])
        new = value.clone()
        for (prompt, pos), old, made in zip(at.tolist(), before, after, strict=True):
            row = self.seats.row(prompt * self.seats.shape[1] + pos, expert)
            if row is not None:
                if not same(value[row, neuron], old[0].to(value)):
                    raise ValueError("the module routes the same tokens in another way.")
                new[row, neuron] = made[0]
        return new


def siblings(run: Pass, level: str, only: Sequence[str] = ()) -> list[Siblings]:
    """All components of a level, in the order of the stream.

    Parameters: `run`; `level`, one of `PATCHED`; `only`, labels of components, of writes that they are of, or of blocks, none for all.
    Raises `InputError` for a level that there is not, and for labels that name nothing at it.
    """
    if level not in PATCHED:
        raise InputError(f"no level {level!r} to patch at; there are {', '.join(PATCHED)}.")
    found = list(_points(run) if level == "point" else _writes(run, level))
    if not found:
        raise InputError(f"no write of this model is made of {level}s that could be patched; level 'write' takes them whole.")
    if not only:
        return found
    asked = {label: {target.label for _, target in targets(run.map, label)} for label in only}
    kept = [one for one in (_some(one, set().union(*asked.values())) for one in found) if one.names]
    met = {name for one in kept for name in (one.label, whole_label(one.label), *one.names)}
    if missing := [label for label, named in asked.items() if not named & met]:
        raise InputError(f"{missing[0]} is nothing at level {level!r}: name components of it, their writes or blocks.")
    return kept


def _points(run: Pass) -> Iterator[Siblings]:
    for point in run.stream.points:
        ((_, target),) = targets(run.map, point.name)
        yield Siblings(point.name, target, (point.name,), (0,))


def _writes(run: Pass, level: str) -> Iterator[Siblings]:
    for write in (*run.stream.entry, *run.stream.writes):
        if level == "write":
            ((_, target),) = targets(run.map, write.label)
            yield Siblings(write.label, target, (write.label,), (0,))
        elif write not in run.stream.entry and write.writer is not None:
            sources = write.writer.sources
            for i, source in enumerate(sources):
                if (source.attention is not None) == (level == "head"):
                    yield _coordinates(run, write, i, write.label if len(sources) == 1 else f"{write.label}.B{i}", level)


def _coordinates(run: Pass, write: Write, branch: int, label: str, level: str) -> Siblings:
    """All heads or neurons of one source of a write."""
    letter = _LETTERS[level]
    ((_, target),) = targets(run.map, f"{label}.{letter}0")
    if target.routed:
        return Experts.all(run, write, branch, label, target)
    value = run.again({target.site.key}).at(target.site)
    count = range(value.shape[1 if level == "head" else target.axis])
    return Siblings(label, target, tuple(f"{label}.{letter}{i}" for i in count), tuple(count))


def _some(one: Siblings, wanted: set[str]) -> Siblings:
    if one.label in wanted or whole_label(one.label) in wanted:
        return one
    kept = [(name, i) for name, i in zip(one.names, one.which, strict=True) if name in wanted]
    return replace(one, names=tuple(name for name, _ in kept), which=tuple(i for _, i in kept))
