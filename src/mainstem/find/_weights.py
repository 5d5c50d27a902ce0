"""Weights with an axis that counts a stream's features: where a module holds them, and what of the stream they take."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from torch import Tensor, nn

from mainstem.algebra import base_name
from mainstem.core import InputError, show

from ._norm_form import Norm
from ._record import Node
from ._same import Trial


@dataclass(frozen=True)
class Slot:
    """Where a module holds a tensor. Parameters: `owner`, the path of the module that has it; `name`, what it is called there."""

    owner: str
    name: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.name}" if self.owner else self.name


@dataclass
class Basis:
    """What has to change with the basis of a stream.

    Parameters: `width`; `weights`, tensors with the axes of theirs that count the stream's features, and the norm whose gain each axis takes,
    None for one that writes or that reads the stream itself; `writes`, those that are written; `norms`, by the path of their module; `shifts`, what
    a norm's shift adds to a bias, which may have to be made; `centred`, whether the stream's mean over features is read by nothing.
    """

    width: int
    weights: dict[Slot, dict[int, str | None]] = field(default_factory=dict)
    writes: set[tuple[Slot, int]] = field(default_factory=set)
    norms: dict[str, Norm] = field(default_factory=dict)
    shifts: dict[Slot, Tensor] = field(default_factory=dict)
    centred: bool = False


class Weights:
    """Finds where the weights that an operation reads are held, and notes what is to become of them.

    Parameters: `module`; `found`, what is noted.
    """

    def __init__(self, module: nn.Module, found: Basis) -> None:
        self.found, self.modules = found, dict(module.named_modules())
        self.used: set[tuple[Node, Node]] = set()
        self.leaves: dict[Slot, Node] = {}

    def bias(self, reader: Node, row: Tensor) -> Slot | None:
        """The bias of an operation, or of a linear layer that has none yet. Parameters: `reader`; `row`, of the shape that it would have."""
        for _, n in reader.operands:
            if n.leaf == "param" and n.shape == row.shape:
                return self._slot(reader, n)
        path = reader.frames[-1][0]
        return Slot(path, "bias") if isinstance(self.modules.get(path), nn.Linear) else None

    def turned(self, via: Node, weight: Node, axis: int, norm: str | None = None, writes: bool = False) -> Node | None:
        """Follows a weight back through views of it to where the module holds it; returns a node that is no weight.

        Parameters: `via`, what reads it; `weight`; `axis`, of the stream's features; `norm`, whose gain it takes; `writes`, whether it is
        written to the stream.
        """
        if not weight.call and weight.leaf in ("param", "buffer"):
            self._held(via, weight, axis, norm, writes)
        elif weight.pure or weight.heavy:
            trial = Trial(weight, self.found.width)
            for path, n in weight.operands:
                for a in trial.axes(path) if n.floating else ():
                    if trial.turns({path: a}) == axis:
                        return self.turned(weight, n, a, norm, writes)
            refuse(weight, "makes a weight of another in a way that cannot be undone")
        elif writes:
            return weight
        else:
            refuse(weight, "is no weight of the module")
        return None

    def _held(self, via: Node, leaf: Node, axis: int, norm: str | None, writes: bool) -> None:
        slot = self._slot(via, leaf)
        axes = self.found.weights.setdefault(slot, {})
        before = axes.setdefault(axis, norm)
        if before != norm and not self._alike(before, norm):
            raise InputError(
                f"this stream cannot be rotated: {slot} is used in two places that would need it changed in different ways; give each its own."
            )
        if writes:
            self.found.writes.add((slot, axis))
        self.used.add((via, leaf))
        self.leaves[slot] = leaf

    def _alike(self, one: str | None, other: str | None) -> bool:
        return one is not None and other is not None and self.found.norms[one].same(self.found.norms[other])

    def _slot(self, via: Node, leaf: Node) -> Slot:
        """Where the module that makes a call holds a tensor: a tied one is held in several places."""
        for path, _, _ in reversed(via.frames):
            owner = self.modules.get(path)
            for name, tensor in _own(owner) if owner is not None else ():
                if tensor is leaf.value:
                    return Slot(path, name)
        slots = [Slot(path, name) for path, m in self.modules.items() for name, tensor in _own(m) if tensor is leaf.value]
        if len(slots) != 1:
            raise InputError(f"{leaf.name} is held in {len(slots)} places and read by none of them: it cannot be untied.")
        return slots[0]

    def check_uses(self) -> None:
        """Raises `InputError` where a weight that is turned is read for something else too."""
        for slot, leaf in self.leaves.items():
            for reader in leaf.readers:
                if (reader, leaf) not in self.used and self._slot(reader, leaf) == slot and reader.floating:
                    refuse(reader, f"reads {slot} too, which is a weight of the stream, for something else")


def _own(module: nn.Module) -> Iterator[tuple[str, Tensor | None]]:
    yield from module._parameters.items()
    yield from module._buffers.items()


def where(node: Node) -> str:
    """A node as people read it. Parameters: `node`."""
    return show(node.key) if node.key else f"{node.leaf} {node.name}".strip()


def refuse(node: Node, why: str) -> NoReturn:
    """Raises `InputError` that names what stands in the way. Parameters: `node`; `why`."""
    raise InputError(f"this stream cannot be rotated: {where(node)} ({base_name(node.op)}) {why}.")
