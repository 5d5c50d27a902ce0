"""What every score returns: values with named axes and labels, the choices made, and how nearly the parts sum to the whole."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ._errors import InputError, NotClosedError
from ._labels import Label, parse_label


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The components of one write: its label, the axes inside it, and values of shape [*axes, *rest]."""

    label: str
    kind: str
    values: Tensor
    axes: tuple[str, ...] = ()

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the axes inside the write."""
        return tuple(self.values.shape[: len(self.axes)])

    def flat(self) -> Tensor:
        """Values with one component axis in front."""
        return self.values.reshape(math.prod(self.sizes), *self.values.shape[len(self.axes) :])

    def name(self, index: int) -> str:
        """The label of a component. Parameters: `index`, along the flat component axis."""
        return name_inside(self.label, self.axes, self.sizes, index)


@dataclass(frozen=True, eq=False)
class Parts:
    """Parts of a whole. `rest` names the axes behind the component axis; `error` is the miss of their sum, `bound` its limit."""

    groups: tuple[Group, ...]
    whole: Tensor
    rest: tuple[str, ...]
    error: float
    bound: float
    choices: dict[str, Any] = field(default_factory=dict)
    coords: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(math.prod(g.sizes) for g in self.groups)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of `tensor`."""
        return ("component", *self.rest)

    @property
    def tensor(self) -> Tensor:
        """All values, the component axis first."""
        return torch.cat([g.flat() for g in self.groups])

    @property
    def closed(self) -> bool:
        """Whether the parts sum to the whole within the bound."""
        return self.error <= self.bound

    def labels(self) -> Iterator[str]:
        """The components' labels in the order of `tensor`, made one at a time."""
        for group in self.groups:
            for i in range(math.prod(group.sizes)):
                yield group.name(i)

    def label(self, index: int) -> str:
        """One component's label. Parameters: `index`, along the component axis."""
        left = index
        for group in self.groups:
            n = math.prod(group.sizes)
            if 0 <= left < n:
                return group.name(left)
            left -= n
        raise InputError(f"there is no component {index}: there are {len(self)}, counted from 0.")

    def __getitem__(self, label: str) -> Tensor:
        """Values of one component, or of one write (one head) with the axes inside it. Parameters: `label`."""
        parsed = parse_label(label)
        axes, index = tuple(axis for axis, _ in parsed.at), tuple(i for _, i in parsed.at)
        for group in self.groups:
            inside = group.axes[: len(axes)] == axes and all(i < n for i, n in zip(index, group.sizes, strict=False))
            if group.label == parsed.write and inside:
                return group.values[index]
        raise InputError(f"no component {label!r} here; there are {', '.join(g.name(0) for g in self.groups[:8])} ...")

    def sum(self, axis: str = "component") -> "Parts | Tensor":
        """Sums one axis away. Parameters: `axis`, "component", an axis inside writes ("key_pos", "head", "neuron"), or one behind."""
        if axis == "component":
            return sum((g.flat().sum(0) for g in self.groups), torch.zeros_like(self.whole))
        if axis in self.rest:
            at = self.rest.index(axis) - len(self.rest)
            groups = tuple(replace(g, values=g.values.sum(at)) for g in self.groups)
            return replace(self, groups=groups, whole=self.whole.sum(at), rest=tuple(a for a in self.rest if a != axis))
        if not any(axis in g.axes for g in self.groups):
            raise InputError(
                f"no axis {axis!r}; there are {', '.join(dict.fromkeys(a for g in self.groups for a in g.axes))}, {', '.join(self.rest)}."
            )
        return replace(self, groups=tuple(_summed(g, axis) for g in self.groups))

    def top(self, k: int = 10, largest: bool = True) -> list[tuple[str, float]]:
        """The k highest of what a level takes apart, heads or neurons; of all components where it takes nothing apart.

        Those of a single prompt at one position, with their values. Parameters: `k`; `largest`, the highest if true, else the lowest.
        """
        if k < 1:
            raise InputError(f"top() takes 1 or more, not {k}.")
        opened = replace(self, groups=tuple(g for g in self.groups if g.axes))
        return (opened if opened.groups else self)._highest(k, largest)

    def _highest(self, k: int, largest: bool) -> list[tuple[str, float]]:
        values = self.tensor
        if values.numel() != values.shape[0]:
            raise InputError(
                f"top() ranks one prompt and position; here are {self.rest} of {tuple(values.shape[1:])}: select one first."
            )
        found, index = values.flatten().topk(min(k, len(self)), largest=largest)
        return [(self.label(int(i)), float(v)) for v, i in zip(found, index, strict=True)]

    def select(self, axis: str, index: int) -> "Parts":
        """Takes one place along an axis behind the components. Parameters: `axis`, such as "batch"; `index`."""
        at = self._behind(axis)
        groups = tuple(replace(g, values=g.values.select(at, index)) for g in self.groups)
        return replace(self, groups=groups, whole=self.whole.select(at, index), rest=tuple(a for a in self.rest if a != axis))

    def _behind(self, axis: str) -> int:
        if axis not in self.rest:
            raise InputError(f"no axis {axis!r} behind the components; there are {', '.join(self.rest)}.")
        return self.rest.index(axis) - len(self.rest)

    def checked(self) -> "Parts":
        """Itself, or `NotClosedError` where the parts miss the whole by more than the bound."""
        if not self.error <= self.bound:
            what = self.choices.get("by", "the decomposition")
            raise NotClosedError(
                f"{what}: the parts miss the whole by {self.error:.3g}, the bound is {self.bound:.3g}. {_nan(self.whole)}"
            )
        return self


def name_inside(label: str, axes: tuple[str, ...], sizes: tuple[int, ...], index: int) -> str:
    """The label of a component of a write. Parameters: `label`, of the write; `axes` and `sizes` inside it; `index`, along them all."""
    at = []
    for axis, size in zip(reversed(axes), reversed(sizes), strict=True):
        at.append((axis, index % size))
        index //= size
    return str(Label(label, tuple(reversed(at))))


@dataclass(frozen=True, eq=False)
class Tops:
    """The k components with the highest scores in every cell, best first, and what proves that none was missed.

    Parameters: `labels`, for every cell k labels; `values`, [cell, k]; `next`, [cell], what no other component exceeds;
    `rest` and `shape`, the axes of the cells and their sizes; `evaluated`, how many scores were worked out in full, of
    all cells; `of`, how many components a cell has; `choices`, that the scores were made with. A score of -inf fills up where there are fewer components.
    """

    labels: tuple[tuple[str, ...], ...]
    values: Tensor
    next: Tensor
    rest: tuple[str, ...]
    shape: tuple[int, ...]
    evaluated: int
    of: int
    choices: dict[str, Any] = field(default_factory=dict)


def _summed(group: Group, axis: str) -> Group:
    if axis not in group.axes:
        return group
    at = group.axes.index(axis)
    return replace(group, values=group.values.sum(at), axes=tuple(a for a in group.axes if a != axis))


def _nan(whole: Tensor) -> str:
    return "The model's output holds NaN or inf: check its weights." if not bool(whole.isfinite().all()) else ""
