"""Components that stand side by side in one tensor of the forward pass: a write or a point alone, all heads or neurons of a write."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Write

from ._pass import Pass
from ._targets import Target, targets
from ._tokens import Tokens

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

    def of(self, value: Tensor, tokens: Tokens) -> Float[Tensor, "row pos component feature"]:
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
    met = {name for one in kept for name in (one.label, *one.names)}
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
        elif write not in run.stream.entry and _made_of(write, level):
            letter = _LETTERS[level]
            ((_, target),) = targets(run.map, f"{write.label}.{letter}0")
            value = run.again({target.site.key}).at(target.site)
            count = range(value.shape[1 if level == "head" else target.axis])
            yield Siblings(write.label, target, tuple(f"{write.label}.{letter}{i}" for i in count), tuple(count))


def _made_of(write: Write, level: str) -> bool:
    sources = write.writer.sources if write.writer else ()
    return len(sources) == 1 and sources[0].groups is None and (sources[0].attention is not None) == (level == "head")


def _some(one: Siblings, wanted: set[str]) -> Siblings:
    if one.label in wanted:
        return one
    kept = [(name, i) for name, i in zip(one.names, one.which, strict=True) if name in wanted]
    return replace(one, names=tuple(name for name, _ in kept), which=tuple(i for _, i in kept))
