"""From the points of a stream along all that leaves the basis of features alone, forwards to what reads it and back to what writes it."""

from collections.abc import Iterable

import torch
from torch import nn

from mainstem.algebra import rule
from mainstem.core import InputError, Path

from ._names import feature_axis
from ._norm_form import Norm, norm_form
from ._record import Graph, Node
from ._same import Axes, Trial
from ._weights import Basis, Weights, refuse, where

_SAME = frozenset(("shape", "scale", "sum", "pool", "mix", "join", "product", "weight"))
_ALL = ("sum", "join")
_ZEROS = frozenset("zeros zeros_like new_zeros".split())


class Spread:
    """Spreads from the points over the graph, which also stands in `at`: of which axis of a node the features are, and behind which norm.

    Parameters: `module`; `graph`; `width`, of the stream.
    """

    def __init__(self, module: nn.Module, graph: Graph, width: int) -> None:
        self.graph, self.found = graph, Basis(width)
        self.weights = Weights(module, self.found)
        self.modules = self.weights.modules
        self.at: dict[Node, tuple[int, str | None]] = {}
        self.waiting: list[Node] = []
        self.known: dict[str, Norm | None] = {}
        self.bare: list[Node] = []

    def over(self, points: Iterable[Node]) -> Basis:
        """What has to change with the basis. Parameters: `points`, of the stream."""
        for point in points:
            self._put(point, feature_axis(point) % len(point.shape), None)
        while self.waiting:
            node = self.waiting.pop()
            axis, norm = self.at[node]
            if any(node is out for _, out in self.graph.outputs):
                raise InputError(
                    f"the stream itself, or a norm of it, is part of the module's output ({where(node)}): turned, the output would be another."
                )
            if norm is None:
                self._made(node, axis)
            for reader in dict.fromkeys(node.readers):
                self._read(reader, node, axis, norm)
        self.weights.check_uses()
        self._check_centre()
        return self.found

    def _put(self, node: Node, axis: int, norm: str | None) -> None:
        before = self.at.get(node)
        if before is None:
            self.at[node] = (axis, norm)
            self.waiting.append(node)
        elif before != (axis, norm):
            refuse(node, "is read both as the stream and behind a norm, or along two axes")

    # What reads the stream

    def _read(self, reader: Node, node: Node, axis: int, norm: str | None) -> None:
        frame = self._norm_around(reader, node) if norm is None else None
        if frame is not None:
            self._behind(frame, node, axis)
        elif reader.leaf == "alias":
            self._alias(reader, node, axis, norm)
        elif not self._weighs(reader, node, axis, norm):
            self._same(reader, self._live(reader, node, axis), norm)

    def _alias(self, alias: Node, node: Node, axis: int, norm: str | None) -> None:
        if alias.shape != node.shape:
            refuse(alias, "overwrites a part of the stream in place")
        self._put(alias, axis, norm)

    def _norm_around(self, reader: Node, node: Node) -> tuple[str, int] | None:
        """The call of a norm's module that a node is read in."""
        outside = {(path, call) for path, call, _ in node.frames}
        for path, call, _ in reversed(reader.frames):
            if not path or (path, call) in outside or path not in self.modules:
                return None
            if path not in self.known:
                self.known[path] = norm_form(self.modules[path], self.found.width)
            if (form := self.known[path]) is not None:
                self.found.norms[path] = form
                return path, call
        return None

    def _behind(self, frame: tuple[str, int], node: Node, axis: int) -> None:
        """What a norm made is read on from there."""
        if axis != len(node.shape) - 1:
            refuse(node, f"is normed by {frame[0]} along another axis than the last")
        for made in self.graph.nodes:
            if _inside(made, frame) and self._leaves(made, frame):
                self._put(made, len(made.shape) - 1, frame[0])

    def _leaves(self, made: Node, frame: tuple[str, int]) -> bool:
        output = any(made is out for _, out in self.graph.outputs)
        return made.call is not None and made.floating and (output or any(not _inside(r, frame) for r in made.readers))

    def _weighs(self, reader: Node, node: Node, axis: int, norm: str | None) -> bool:
        """Whether weights take the stream up, feature by feature: then they are turned with it."""
        if not _multiplies(reader):
            return False
        trial, live = Trial(reader, self.found.width), {p: axis for p, n in reader.operands if n is node}
        for path, weight in reader.operands:
            if weight is node or not weight.heavy or len(weight.shape) < 2:
                continue
            for c in trial.axes(path):
                if trial.cancels({**live, path: c}):
                    self.weights.turned(reader, weight, c, norm)
                    self._shifted(trial, live, norm)
                    if norm is None:
                        self.bare.append(reader)
                    return True
        return False

    def _shifted(self, trial: Trial, live: Axes, norm: str | None) -> None:
        """What a norm's shift becomes behind the weights, in their bias."""
        if norm is None or not (shift := self.found.norms[norm].shift).any():
            return
        at = {path: trial.spread(shift, path, axis) for path, axis in live.items()}
        made = trial.run(at) - trial.run({path: torch.zeros_like(v) for path, v in at.items()})
        row = made.reshape(-1, made.shape[-1])[0]
        slot = self.weights.bias(trial.node, row)
        if slot is None or not torch.allclose(made, row.expand_as(made), rtol=1e-9, atol=1e-12):
            refuse(trial.node, f"reads {norm}, whose shift (bias) it has no bias to take up")
        if slot in self.found.shifts and not torch.allclose(self.found.shifts[slot], row, rtol=1e-9, atol=1e-12):
            refuse(trial.node, "reads two norms with different shifts")
        self.found.shifts[slot] = row

    # What made it

    def _made(self, node: Node, axis: int) -> None:
        if node.leaf == "alias":
            for _, n in node.operands:
                if n.shape == node.shape:
                    self._put(n, axis, None)
        elif node.call is None:
            self._leaf(node)
        elif node.op == "embedding":
            table = next(n for _, n in node.operands if n.floating)
            self._written_by(node, table, len(table.shape) - 1)
        elif node.op not in _ZEROS and not self._written(node, axis):
            self._from(node, axis)

    def _leaf(self, node: Node) -> None:
        if node.leaf == "input":
            refuse(node, "is an input of the module, which would have to be turned by who gives it")
        if node.leaf == "const" and (node.value is None or node.value.any()):
            refuse(node, "is a constant of the code, not of the module's weights")

    def _written(self, node: Node, axis: int) -> bool:
        """Whether weights write this, feature by feature, perhaps with a bias."""
        if not _multiplies(node):
            return False
        trial = Trial(node, self.found.width)
        own = [(p, n) for p, n in node.operands if (n.pure or n.heavy) and n.floating and not _is_matrix(n)]
        vectors = {p: n for p, n in own if n.shape[-1:] == (self.found.width,)}
        beside = {p: len(n.shape) - 1 for p, n in vectors.items()}
        for path, weight in node.operands:
            for c in trial.axes(path) if weight.heavy and _is_matrix(weight) else ():
                if trial.turns({path: c}, beside) == axis:
                    self._written_by(node, weight, c)
                    for p, n in vectors.items():
                        self._written_by(node, n, beside[p])
                    return True
        return False

    def _written_by(self, node: Node, weight: Node, axis: int) -> None:
        rest = self.weights.turned(node, weight, axis, writes=True)
        if rest is not None:
            self._put(rest, axis, None)

    def _from(self, node: Node, axis: int) -> None:
        """What an operation that leaves the basis alone was given."""
        found = rule(node.op)
        trial = Trial(node, self.found.width)
        for path, n in node.operands if found else ():
            for a in trial.axes(path) if n.floating else ():
                live = self._live(node, n, a)
                if trial.turns(live) == axis:
                    return self._same(node, live, None)
        norms = found is not None and found.sort == "norm"
        refuse(node, "norms what then is the stream" if norms else "makes a part of the stream feature by feature")

    # What leaves the basis alone

    def _live(self, reader: Node, node: Node, axis: int) -> dict[Path, int]:
        """The operands that must turn together: all terms of a sum, all parts of a join, else the one."""
        found = rule(reader.op)
        if found is None or found.sort not in _ALL:
            return {p: axis for p, n in reader.operands if n is node}
        back = axis - len(node.shape)
        every = [(p, n) for p, n in reader.operands if n.floating and (found.sort == "join" or _position(p) in found.operands)]
        return {p: len(n.shape) + back for p, n in every if len(n.shape) >= -back and n.shape[back] == self.found.width}

    def _same(self, reader: Node, live: Axes, norm: str | None) -> None:
        found = rule(reader.op)
        if found is None or found.sort not in _SAME:
            refuse(reader, "depends on the basis of the stream" if norm is None else f"reads {norm} and no weights stand between")
        trial = Trial(reader, self.found.width)
        axis = trial.turns(live)
        if axis is None:
            refuse(reader, "treats the stream feature by feature")
        if norm is not None:
            if any(p in live and self.at.get(n, (0, None))[1] != norm and n.op not in _ZEROS for p, n in reader.operands):
                refuse(reader, f"adds to what {norm} made before weights read it")
            self._keeps_shift(trial, live, axis, norm)
        self._put(reader, axis, norm)
        for path, n in reader.operands:
            if path in live:
                if n.pure:  # weights that are a part of the stream, which may be read as such elsewhere too
                    self._written_by(reader, n, live[path])
                self._put(n, live[path], norm if n.op not in _ZEROS else self.at.get(n, (0, norm))[1])

    def _keeps_shift(self, trial: Trial, live: Axes, axis: int, norm: str) -> None:
        """A norm's shift is taken up by the weights behind this only if it comes through as it is."""
        shift = self.found.norms[norm].shift
        if shift.any():
            made = trial.run({path: trial.spread(shift, path, a) for path, a in live.items()}).movedim(axis, -1)
            if not torch.allclose(made, shift.to(made).expand_as(made), rtol=1e-9, atol=1e-12):
                refuse(trial.node, f"changes the shift (bias) of {norm} from place to place")

    def _check_centre(self) -> None:
        norms = self.found.norms
        self.found.centred = any(n.centred for n in norms.values())
        if not self.found.centred:
            return
        other = [path for path, n in norms.items() if not n.centred] + [where(n) for n in self.bare]
        if other:
            first = next(path for path, n in norms.items() if n.centred)
            raise InputError(
                f"{first} takes the mean over features out of the stream, and {other[0]} reads it with the mean: no rotation keeps both."
            )


def _position(path: Path) -> int:
    words = {"other": 1, "mat2": 1, "source": 3, "value": 2}
    return path[0] if isinstance(path[0], int) else words.get(path[0], -1)


def _multiplies(node: Node) -> bool:
    found = rule(node.op) if node.call else None
    return found is not None and found.sort in ("weight", "product")


def _is_matrix(node: Node) -> bool:
    return sum(size > 1 for size in node.shape) > 1


def _inside(node: Node, frame: tuple[str, int]) -> bool:
    return any((path, call) == frame for path, call, _ in node.frames)
