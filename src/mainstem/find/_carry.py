"""Which operands of an operation carry a vector on, and the programs that lead from one node to another.

A product of two tensors that both depend on the source carries through one and freezes the other: the one that is
reached through fewer activations, and of those the larger.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mainstem.algebra import Program, Rule, Step, Wire, rule
from mainstem.core import Key, Path

from ._record import Node

TRANSPORT = frozenset(("shape", "scale", "sum", "norm", "act", "pool", "mix"))
LINEAR = TRANSPORT | {"weight", "product", "join"}
_WORDS = {"other": 1, "mat2": 1, "tensor2": 1, "source": 3, "src": 3}


def carriers(node: Node, sorts: frozenset[str]) -> list[tuple[Path, Node]]:
    """The operands of a node that may carry a vector under the allowed sorts of operations, data ones only.

    Parameters: `node`; `sorts`, the allowed sorts of `mainstem.algebra.Rule`.
    """
    found = rule(node.op) if node.call else None
    if found is None:
        return []
    sort = _sort(node, found)
    if sort not in sorts:
        return []
    if sort == "join":
        return [(path, n) for path, n in node.operands if path[0] == 0 and n.data]
    live: list[tuple[Path, Node]]
    live = [
        (path, n)
        for path, n in node.operands
        if _position(path) in found.operands and len(path) == 1 and n.data and not (sort == "weight" and n.heavy)
    ]
    if sort == "scale":
        whole = [(path, n) for path, n in live if n.numel() == node.numel()]
        return whole or live  # an outer product: a vector spread over copies by a weight for each
    return [(path, n) for path, n in live if n.shape == node.shape] if sort == "mix" else live


def _sort(node: Node, found: Rule) -> str:
    """A product is "weight" where one factor comes from parameters, and a "mix" where it is of data with data and keeps the
    shape of one: copies of the stream, or positions, blended. What else there is of products stays a "product"."""
    if found.sort != "product":
        return found.sort
    factors = [n for path, n in node.operands if _position(path) in found.operands]
    if any(n.heavy for n in factors):
        return "weight"
    return "mix" if any(n.shape == node.shape for n in factors) else "product"


def _position(path: Path) -> int:
    head = path[0]
    return head if isinstance(head, int) else _WORDS.get(head, -1)


@dataclass
class Carry:
    """The cheapest way back from `end` to the nearest sources: which operands carry at every node on the way."""

    end: Node
    live: dict[Node, list[tuple[Path, Node]]] = field(default_factory=dict)
    sources: list[Node] = field(default_factory=list)

    def nodes(self) -> Iterator[Node]:
        """Every node on the way, in the order of the forward pass, sources first."""
        return iter(sorted({*self.live, *self.sources}, key=lambda n: n.index))

    def program(self, *inputs: Node) -> Program:
        """The calls that lead from `inputs` to `end`. Parameters: `inputs`, nodes on the way, in the order of the inputs."""
        return _program(self, inputs)

    def extended(self, ways: "list[Carry]") -> "Carry":
        """This way with others that end at its sources put before it. Parameters: `ways`."""
        live = {**self.live}
        for way in ways:
            live |= way.live
        ended = {way.end for way in ways if way.live}
        sources = [n for n in self.sources if n not in ended] + [n for way in ways for n in way.sources]
        return Carry(self.end, live, sorted(set(sources), key=lambda n: n.index))


def carry(
    end: Node, is_source: Callable[[Node], bool], sorts: frozenset[str], since: int = 0, whole: bool = False
) -> Carry | None:
    """Walks back from `end` through carrying operations to the nearest sources.

    Parameters: `end`; `is_source`, which nodes to stop at; `sorts`, which sorts of operations to pass; `since`, nodes made
    before this one are not looked at; `whole`, a sum is passed only if all its terms but vectors lead to a source. Returns
    None where no source can be reached.
    """
    cost: dict[Node, tuple[int, int] | None] = {}
    live: dict[Node, list[tuple[Path, Node]]] = {}
    for node in _upstream(end, is_source, sorts, since):
        if is_source(node):
            cost[node] = (0, 0)
            continue
        options = [(path, n, cost[n]) for path, n in carriers(node, sorts) if cost.get(n) is not None]
        chosen = [] if whole and is_partial(node, [n for _, n, _ in options]) else _choose(node, options)
        cost[node] = None if not chosen else _add_cost(node, max(c for _, _, c in chosen if c is not None))
        live[node] = [(path, n) for path, n, _ in chosen]
    if cost.get(end) is None:
        return None
    return _trim(end, live, is_source)


def _upstream(end: Node, is_source: Callable[[Node], bool], sorts: frozenset[str], since: int) -> list[Node]:
    seen, stack = {end}, [end]
    while stack:
        node = stack.pop()
        if is_source(node):
            continue
        for _, n in carriers(node, sorts):
            if n not in seen and n.index >= since:
                seen.add(n)
                stack.append(n)
    return sorted(seen, key=lambda n: n.index)


def is_partial(node: Node, carried: list[Node]) -> bool:
    """Whether a sum adds something else than a vector (a norm's bias) to what is carried.

    Parameters: `node`; `carried`, the operands that lead to a source.
    """
    found = rule(node.op)
    if found is None or found.sort != "sum":
        return False
    return any(n.floating and n not in carried and n.numel() > max(n.shape, default=1) for _, n in node.operands)


def _choose(node: Node, options: list) -> list:
    found = rule(node.op)
    if found is None or len(options) < 2 or found.sort in ("sum", "join"):
        return options
    return [min(options, key=lambda o: (o[2][0], -o[1].numel()))]


def _add_cost(node: Node, cost: tuple[int, int]) -> tuple[int, int]:
    found = rule(node.op)
    return cost[0] + (found is not None and found.sort == "act"), cost[1] + 1


def _trim(end: Node, live: dict[Node, list[tuple[Path, Node]]], is_source: Callable[[Node], bool]) -> Carry:
    result, stack, seen = Carry(end), [end], {end}
    while stack:
        node = stack.pop()
        if is_source(node):
            result.sources.append(node)
            continue
        result.live[node] = live[node]
        for _, n in live[node]:
            if n not in seen:
                seen.add(n)
                stack.append(n)
    result.sources.sort(key=lambda n: n.index)
    return result


def _program(way: Carry, inputs: tuple[Node, ...]) -> Program:
    """Steps for the nodes between; a call with several results is one step."""
    number: dict[Node, tuple[int, Path]] = {n: (-1 - i, ()) for i, n in enumerate(inputs)}
    steps: list[Step] = []
    made: dict[Key, int] = {}
    for node in way.nodes():
        wires = tuple(Wire(path, *number[n]) for path, n in way.live.get(node, ()) if n in number)
        if node in number or not wires or node.key is None or node.index > way.end.index:
            continue
        if node.key not in made:
            made[node.key] = len(steps)
            steps.append(Step(node.key, wires))
        number[node] = (made[node.key], node.output)
    steps = steps[: number[way.end][0] + 1]
    return Program(tuple(steps), way.end.output if steps else ())
