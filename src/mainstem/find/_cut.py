"""What of a module's inputs passes a point of the stream by, read off the graph."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch

from mainstem.core import InputError, Site, show

from ._chain import Chain, around, parameters_of
from ._record import Graph, Node

_PIECES = frozenset("__getitem__ select unbind split chunk narrow index_select tensor_split".split())


@dataclass(frozen=True, slots=True, eq=False)
class Crossing:
    """An operand that passes points by: where it is read and by what, what it is, and behind which point."""

    site: Site
    reader: Node
    operand: Node
    point: int


def crossings(graph: Graph, chain: Chain, output: Node) -> list[Crossing]:
    """Operands that depend on the inputs but not on the latest point before the operation that reads them.

    Parameters: `graph`; `chain`; `output`, the end looked at.
    """
    # Bit sets are read here, since this is the hot place: which points a node comes from, the latest of them.
    at = [p.index for p in chain.points]
    mask, ends = sum(1 << i for i in at), graph.above[output.index]
    rank = {i: t for t, i in enumerate(at)}
    latest = [rank.get((above & mask).bit_length() - 1, -1) for above in graph.above]
    found = []
    for n in graph.nodes[at[0] + 1 : output.index + 1]:
        if not ends >> n.index & 1 or n.key is None or n.leaf:
            continue
        behind = latest[n.index] - (n.index in rank)  # what makes a point is computed behind the one before
        beside = [(path, o) for path, o in n.operands if o.data and latest[o.index] < behind]
        found += [Crossing(Site(n.key, "arg", path), n, o, behind) for path, o in beside]
    return found


def refuse_draws(graph: Graph, again: Callable[[], Graph]) -> None:
    """Raises `InputError` where random numbers reach an output, as they may in eval mode too, other ones in every pass.

    Parameters: `graph`; `again`, makes the pass once more: a module that seeds its own draws gets the same numbers.
    """
    draws = _draws(graph)
    if not draws:
        return
    for node, other in zip(draws, _draws(again()), strict=False):
        assert node.value is not None and other.value is not None
        if not torch.equal(node.value, other.value):
            where = node.key[0] if node.key and node.key[0] else "the module"
            raise InputError(
                f"random numbers drawn in {where} reach the output: the stream of a random pass cannot be proved. "
                "Hand them to the module as an input, or turn the draw off."
            )


def _draws(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes if n.call and n.value is not None and any(graph.before(n, out) for _, out in graph.outputs)]


def places(point: Node) -> list[Site]:
    """Every place where a tensor that no call made stands: it has to be replaced wherever it is read.

    Parameters: `point`, a point of the stream; one that a call made is replaced there, and has none.
    """
    if point.call is not None:
        return []
    readers = [n for n in point.readers if n.key is not None and not n.leaf]
    return [Site(n.key, "arg", path) for n in readers for path, o in n.operands if o is point and n.key is not None]


def origin(graph: Graph, node: Node, ends: Iterable[Node]) -> Node:
    """Where a crossing tensor comes from: another stream's end, else as far back as it has one data operand only.

    Parameters: `graph`; `node`; `ends`, the last points of other streams.
    """
    for end in ends:
        if graph.before(end, node):
            return end
    while len(back := [n for _, n in node.operands if n.data]) == 1:
        node = back[0]
    return node


def is_recurrence(graph: Graph, chain: Chain) -> bool:
    """Whether at most additions another piece of one tensor enters, with the same weights: the chain is then the state of a
    recurrence that reads its input step by step, and no cut of it holds.

    Parameters: `graph`; `chain`.
    """
    entered: dict[Node, set[Node]] = defaultdict(set)
    used: list[set[str]] = []
    for s, point in zip(chain.sums, chain.points, strict=False):
        inside = [n for n in graph.nodes[point.index + 1 : s.node.index] if graph.before(point, n) and graph.before(n, s.node)]
        used.append({name for n in inside if n.weighted for name in parameters_of(n)})
    for c in crossings(graph, chain, chain.points[-1]):
        piece = _piece(c.operand) if graph.before(c.reader, chain.sums[c.point].node) else None
        if piece is not None and piece.floating:
            entered[piece.operands[0][1]].add(piece)
    if len(chain.sums) < 2 or (all(used) and not set.intersection(*used)):
        return False  # layers, each with weights of its own, and a slice of something for each
    return any(len(pieces) > len(chain.sums) / 2 for pieces in entered.values())


def is_inside(graph: Graph, chain: Chain, other: Chain) -> bool:
    """Whether a chain lies within one step of another: inside of a write.

    Parameters: `graph`; `chain`; `other`.
    """
    first, last = chain.sums[0].node, chain.points[-1]
    return any(graph.before(a, first) and graph.before(last, b) for a, b in pairwise(other.points))


def _piece(node: Node) -> Node | None:
    """The nearest node, going back along single data operands, that takes a part of a tensor and leaves some."""
    while node.op not in _PIECES or node.numel() == node.operands[0][1].numel():
        back = [n for _, n in node.operands if n.data]
        if len(back) != 1:
            return None
        node = back[0]
    return node


def describe(node: Node) -> str:
    """A crossing tensor as people read it. Parameters: `node`."""
    return (
        f"input {node.name.partition('.')[2]}" if node.leaf == "input" else show(node.key) if node.key else node.name or node.leaf
    )


def uncovered(graph: Graph, chains: list[Chain], output: Node) -> tuple[str, ...]:
    """Weights that reach the output by a way that avoids the last points of all streams.

    Parameters: `graph`; `chains`, of the streams; `output`, the end looked at.
    """
    leading = [c for c in chains if graph.before(c.points[-1], output)]
    return tuple(sorted({name for n in around(graph, leading, [output]) for name in parameters_of(n)}))
