"""What an attention's pattern is made of: queries and keys, whose products it is the softmax of."""

from mainstem.algebra import base_name, rule

from ._record import Graph, Node
from ._subkeys import Reads, Subkey, linear_keys

_PRODUCTS = {"matmul": 0, "bmm": 0, "mm": 0, "baddbmm": 1}


def match_keys(graph: Graph, pattern: Node, reads: Reads) -> tuple[Subkey, ...]:
    """The "query" and the "key" of an attention, linear in what is read of the stream; none where that cannot be told.

    Keys that a product takes turned round have their dims on the last axis but one.

    Parameters: `graph`; `pattern`, the softmax or what is made of it, or the fused call that hides it; `reads`.
    """
    if pattern.op == "scaled_dot_product_attention":
        return linear_keys(graph, {"query": pattern.operands[0][1], "key": pattern.operands[1][1]}, reads)
    product = _product(pattern)
    if product is None:
        return ()
    first = _PRODUCTS[base_name(product.op)]
    query, key = (n for _, n in product.operands[first : first + 2])
    return linear_keys(graph, {"query": query, "key": key}, reads)


def _product(pattern: Node) -> Node | None:
    """The nearest product of data with data behind a pattern, through its softmax, masks and scales."""
    seen, ends = {pattern}, [pattern]
    while ends:
        node = ends.pop(0)
        if node.call is None:
            continue
        if base_name(node.op) in _PRODUCTS and len([n for _, n in node.operands if n.data]) > 1:
            return node
        found = rule(node.op)
        if node.op != "softmax" and (found is None or found.sort not in ("shape", "scale", "sum", "act")):
            continue
        more = [n for _, n in node.operands if n.data and n.floating and n not in seen]
        seen.update(more)
        ends += more
    return None
