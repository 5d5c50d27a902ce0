"""Chains joined end to end where the stream goes through a linear map: stages of an image model, a token put beside the others."""

from mainstem.algebra import rule

from ._carry import LINEAR, Carry, carry
from ._chain import Chain, upstream
from ._record import Graph, Node
from ._writers import is_matrix

_BETWEEN = LINEAR - {"product"}


def joined(graph: Graph, picked: list[Chain]) -> list[Chain]:
    """The chains, those of them made one of which one begins at a linear image of all that the other ends in.

    Parameters: `graph`; `picked`, chains that share no addition, the main one first. The order stays.
    """
    chains = list(picked)
    while (pair := _pair(graph, chains)) is not None:
        first, second, way = pair
        whole = Chain(
            first.entry,
            [*first.sums, *second.sums],
            [*first.ways, way, *second.ways[1:]],
            first.entry_sum,
            first.covered | second.covered,
        )
        at = min(chains.index(first), chains.index(second))
        chains = [c for c in chains if c is not first and c is not second]
        chains.insert(at, whole)
    return chains


def _pair(graph: Graph, chains: list[Chain]) -> tuple[Chain, Chain, Carry] | None:
    for second in chains:
        for first in chains:
            if first is not second and (way := _way(graph, first.points[-1], second)) is not None:
                return first, second, way
    return None


def _way(graph: Graph, last: Node, second: Chain) -> Carry | None:
    """From the end of a chain to the first addition of another, if all of the end goes there and nothing else of the input."""
    s = second.sums[0]
    assert s.stream is not None
    term, entry = s.terms[s.stream].node, second.entry
    around = upstream(graph, [n for _, n in graph.outputs], {entry: {n for _, n in entry.operands}})
    if not graph.before(last, entry) or last in around:
        return None
    way = carry(term, lambda n: n is last, _BETWEEN, last.index)
    return way if way is not None and _is_linear(graph, way, last) else None


def _is_linear(graph: Graph, way: Carry, last: Node) -> bool:
    """One linear map at most and no activation behind it; no other piece of the input is joined or added to what is carried.

    Behind more of them the next stream reads the first one's readout, and is another stream.
    """
    weighted = 0
    for node in way.nodes():
        found = rule(node.op) if node.call else None
        if found is None or node is last:
            continue
        weighted += is_matrix(node)
        if weighted > 1 or (weighted and found.sort == "act"):
            return False
        carried = {n for _, n in way.live[node]}
        if found.sort in ("sum", "join") and any(n.data and n not in carried for _, n in node.operands):
            return False
    return True
