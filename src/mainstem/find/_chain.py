"""From residual additions to chains, and from chains to streams."""

from dataclasses import dataclass, field

from ._carry import TRANSPORT, Carry, carriers, carry, is_partial
from ._record import Graph, Node
from ._sums import Sum


@dataclass(eq=False)
class Chain:
    """Residual additions in order. `ways[t]` is the transport into `sums[t]`, from the entry (t = 0) or from `sums[t-1]`."""

    entry: Node
    sums: list[Sum]
    ways: list[Carry]
    entry_sum: Sum | None = None
    covered: frozenset[Node] = field(default_factory=frozenset)

    @property
    def points(self) -> list[Node]:
        """The entry and the results of the additions."""
        return [self.entry, *(s.node for s in self.sums)]

    def writes(self) -> list[Node]:
        """Every term of every addition that is not the stream."""
        return [t.node for s in self.sums for i, t in enumerate(s.terms) if i != s.stream]


def chains(graph: Graph, residuals: dict[Node, Sum], others: list[Sum]) -> list[Chain]:
    """Every maximal chain of residual additions, each with the operations that reach the output only through its writes.

    The chain that covers most comes first; of equals the one that least goes around, then the longest.

    Parameters: `graph`; `residuals`, from `residual`; `others`, all sums, among which the entry may be.
    """
    links = {node: _link(graph, s, residuals, others) for node, s in residuals.items()}
    before = {way.sources[-1] for way in links.values() if way is not None}
    found = []
    for node in residuals:
        if node not in before and links[node] is not None:
            found.append(_chain(node, links, residuals, others))
    for chain in found:
        chain.covered = covered(graph, chain)
    return sorted(found, key=lambda c: (-len(c.covered), len(around(graph, [c])), -len(c.sums)))


def covered(graph: Graph, chain: Chain) -> frozenset[Node]:
    """The operations with weights that reach the output through writes of the chain and in no other way.

    Operations, not weights: a module that is called again elsewhere is not covered there by being covered here.

    Parameters: `graph`; `chain`.
    """
    cut = {s.node: {t.node for i, t in enumerate(s.terms) if i != s.stream} for s in chain.sums}
    cut |= {n: cut[s.node] for s in chain.sums for n in s.inner}
    bare = upstream(graph, [n for _, n in graph.outputs], cut)
    through = upstream(graph, chain.writes(), {})
    return frozenset(node for node in through - bare if node.weighted)


def around(graph: Graph, chains: list[Chain], outputs: list[Node] | None = None) -> set[Node]:
    """The operations with weights that reach the outputs by a way that avoids the last points of chains.

    Parameters: `graph`; `chains`; `outputs`, all of the module's where none are named.
    """
    ends = [n for _, n in graph.outputs] if outputs is None else outputs
    lasts = [c.points[-1] for c in chains]
    found = upstream(graph, ends, {last: {n for _, n in last.operands} for last in lasts})
    return {n for n in found if n.weighted and n not in lasts and not any(graph.before(last, n) for last in lasts)}


def upstream(graph: Graph, ends: list[Node], cut: dict[Node, set[Node]]) -> set[Node]:
    """All nodes that `ends` depend on, not looking from a node of `cut` into the operands listed for it.

    Parameters: `graph`; `ends`; `cut`.
    """
    seen, stack = set(ends), list(ends)
    while stack:
        node = stack.pop()
        barred = cut.get(node, ())
        for _, n in node.operands:
            if n not in seen and n not in barred:
                seen.add(n)
                stack.append(n)
    return seen


def parameters_of(node: Node) -> set[str]:
    """Names of the weights that meet data at a node. Parameters: `node`."""
    names, stack = set(), [n for _, n in node.operands if n.pure or n.heavy]
    while stack:
        n = stack.pop()
        if n.leaf in ("param", "buffer") and n.heavy:
            names.add(n.name)
        stack += [o for _, o in n.operands if o.pure or o.heavy]
    return names


def _link(graph: Graph, s: Sum, residuals: dict[Node, Sum], others: list[Sum]) -> Carry | None:
    """The transport into a sum: from the previous residual addition, else from the entry."""
    assert s.stream is not None
    term = s.terms[s.stream].node
    sorts = TRANSPORT | {"weight"} if s.shortcut is not None else TRANSPORT
    earlier = carry(term, lambda n: n in residuals, sorts, whole=True)
    if earlier is not None:
        return earlier
    start, origin = (term, s.origin) if s.shortcut is None else (s.shortcut, None)
    entry = _entry(graph, start, origin, {o.node for o in others})
    return carry(term, lambda n: n is entry, sorts, whole=True)


def _entry(graph: Graph, term: Node, origin: Node | None, sums: set[Node]) -> Node:
    """Where the stream begins: the first sum met going back through transports, else the last node they lead to.

    It is not on the way of a gate: the way back leads by `origin`, which the writes are computed from.
    """
    node = term
    while node not in sums:
        back = [n for _, n in carriers(node, TRANSPORT)]
        if origin is not None and any(graph.before(origin, n) for n in back):
            back = [n for n in back if graph.before(origin, n) and not graph.weights_between(origin, n)] or back
        if not back or is_partial(node, back):
            return node
        way = carry(node, back.__contains__, TRANSPORT, whole=True)
        if way is None:
            return node
        node = max(way.sources, key=lambda n: n.numel())
    return node


def _chain(last: Node, links: dict[Node, Carry | None], residuals: dict[Node, Sum], others: list[Sum]) -> Chain:
    sums, ways, node = [], [], last
    while node in residuals and (way := links[node]) is not None:
        sums.append(residuals[node])
        ways.append(way)
        node = way.sources[-1]
    entry_sum = next((o for o in others if o.node is node), None)
    return Chain(node, sums[::-1], ways[::-1], entry_sum)
