"""What made a write: the last linear operations before it, the coordinates they read, the attention behind those."""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from mainstem.algebra import Program, rule
from mainstem.core import Key, Path, Site

from ._carry import TRANSPORT, Carry, carriers, carry
from ._matches import match_keys
from ._record import Graph, Node
from ._subkeys import Reads, Subkey, subkeys, value_key

_MIXING = frozenset(
    "conv1d conv2d conv3d scaled_dot_product_attention cumsum flip roll lstm gru rnn_tanh rnn_relu fft rfft fft_rfft fft_fft fft_fft2".split()
)
_GATES = TRANSPORT - {"sum", "pool"}
# An output projection in several factors, or a norm before it: linear in the heads once the norm is frozen.
_PROJECTIONS = frozenset(("shape", "weight", "norm", "join"))


@dataclass(frozen=True, slots=True)
class Attention:
    """Where an attention's parts stand. `pattern` is None where a fused call hides it; then `key` is that call. `asks` are the
    "query" and the "key" that the pattern is made of, as rows of weights, empty where that cannot be told."""

    key: Key
    value: Site
    pattern: Site | None = None
    asks: tuple[Subkey, ...] = ()


@dataclass(frozen=True, slots=True)
class Source:
    """Coordinates h that a write is linear in. `axis` is the axis of h that numbers them; `groups` where rows have experts;
    `sizes` how many there are: (heads, dims of a head), (experts, neurons) or (neurons,); `keys` what switches them on, empty where
    that cannot be told."""

    site: Site
    axis: int
    attention: Attention | None = None
    groups: Site | None = None
    sizes: tuple[int, ...] = ()
    keys: tuple[Subkey, ...] = ()


@dataclass(frozen=True, slots=True)
class Writer:
    """A write as an affine function of its sources: w = sum_i A_i h_i + c, frozen."""

    sources: tuple[Source, ...]
    program: Program
    kind: str


def writer(graph: Graph, term: Node, since: Node, entry: Node, reads: Reads) -> Writer | None:
    """Walks back from a write to its last linear operations, and to the attention before them.

    Parameters: `graph`; `term`, the write; `since`, the point before it; `entry`, the stream's first point; `reads`, the faces of
    all points with their labels. Returns None where no linear operation is reached.
    """
    way = carry(term, lambda n: _is_linear(n) or _attends(n) is not None, TRANSPORT | {"join", "product"}, since.index + 1)
    if way is None:
        return None
    way, inputs, sources = _behind(graph, way, since, reads)
    kind = _kind(graph, term, since, entry, sources)
    return Writer(tuple(sources), way.program(*inputs), kind)


def _behind(graph: Graph, way: Carry, since: Node, reads: Reads) -> tuple[Carry, list[Node], list[Source]]:
    ways, inputs, sources = [], [], []
    for end in way.sources:
        if _attends(end) is not None:
            inputs.append(end)
            sources.append(_attention_source(graph, end, since, reads))
            continue
        path, h = next((path, n) for path, n in carriers(end, frozenset(("weight",))))
        heads = _heads_behind(h, _GATES, since) or _heads_behind(h, _PROJECTIONS, since)
        step = Carry(end, {end: [(path, h)]}, [h])
        if heads is not None:
            ways.append(step.extended([heads]) if heads.live else step)
            inputs.append(heads.sources[0])
            sources.append(_attention_source(graph, heads.sources[0], since, reads))
        else:
            ways.append(step)
            inputs.append(h)
            sources.append(_linear_source(end, path, h, _keys(graph, end, h, reads)))
    return way.extended(ways), inputs, sources


def _heads_behind(h: Node, sorts: frozenset[str], since: Node) -> Carry | None:
    """The way from one attention's result to what a write's last linear operation reads."""
    way = carry(h, lambda n: _attends(n) is not None, sorts, since.index)
    return way if way is not None and len(way.sources) == 1 else None


def _is_linear(node: Node) -> bool:
    found = rule(node.op) if node.call else None
    return found is not None and found.sort in ("weight", "product") and bool(carriers(node, frozenset(("weight",))))


def _attends(node: Node) -> tuple[Node, Node] | None:
    """(pattern, value) of an attention's product; for a fused call the call stands for the pattern."""
    if node.call is None:
        return None
    if node.op == "scaled_dot_product_attention":
        return node, node.operands[2][1]
    if node.op in ("matmul", "bmm", "__matmul__") and len(node.operands) == 2:
        pattern, value = (n for _, n in node.operands)
        if pattern.data and value.data and _is_pattern(pattern):
            return pattern, value
    return None


def _is_pattern(node: Node) -> bool:
    while node.call is not None and node.op != "softmax":
        found = rule(node.op)
        if found is None or found.sort not in ("shape", "scale") or not node.operands:
            return False
        node = node.operands[0][1]
    return node.op == "softmax"


def _keys(graph: Graph, node: Node, h: Node, reads: Reads) -> tuple[Subkey, ...]:
    return () if node.op.startswith("conv") else subkeys(graph, h, reads)


def _attention_source(graph: Graph, node: Node, since: Node, reads: Reads) -> Source:
    """Heads on an axis of their own, or folded into the batch."""
    assert node.key is not None and (found := _attends(node)) is not None
    out, shape = Site(node.key, "out", node.output), node.shape
    sizes = (shape[1] if len(shape) == 4 else shape[0] // since.shape[0], shape[-1])
    keys, asks = value_key(graph, found[1], reads), match_keys(graph, found[0], reads)
    if found[0] is node:
        paths = {path: n for path, n in node.operands}
        value = (2,) if (2,) in paths else ("value",)
        return Source(out, -1, Attention(node.key, Site(node.key, "arg", value), None, asks), sizes=sizes, keys=keys)
    (p, _), (v, _) = node.operands
    attention = Attention(node.key, Site(node.key, "arg", v), Site(node.key, "arg", p), asks)
    return Source(out, -1, attention, sizes=sizes, keys=keys)


def _linear_source(node: Node, path: Path, h: Node, keys: tuple[Subkey, ...]) -> Source:
    assert node.key is not None
    axis = 1 if node.op.startswith("conv") else -1
    site = Site(node.key, "arg", path)
    if node.op != "_grouped_mm":
        return Source(site, axis, sizes=(h.shape[axis],), keys=keys)
    ends = next(p for p, _ in node.operands if p in (("offs",), (2,)))
    experts = node.operands[1][1].shape[0]
    return Source(site, axis, groups=Site(node.key, "arg", ends), sizes=(experts, h.shape[axis]), keys=keys)


def _kind(graph: Graph, term: Node, since: Node, entry: Node, sources: list[Source]) -> str:
    inside = between(term, since)
    values = [_attends(n) for n in inside]
    if any(s.attention for s in sources):
        own = any(v is not None and graph.before(entry, v[1]) for v in values)
        return "attn" if own else "cross"
    if any(n.op.startswith("conv") for n in inside if n.weighted) and all(s.axis == 1 for s in sources):
        return "conv"
    return "mixer" if any(_mixes(graph, n, inside) for n in inside) else "mlp"


def _mixes(graph: Graph, node: Node, inside: list[Node]) -> bool:
    """Whether an operation moves numbers between positions: also the joining of a recurrence's states, each made of the last."""
    if not node.floating:
        return False
    if node.op == "stack":
        states = [n for _, n in node.operands]
        return all(graph.before(a, b) for a, b in pairwise(states)) and len(states) > 1
    if node.op == "__setitem__":  # a step's result put beside the others', made of several steps' pieces of one tensor
        read = [n for n in inside if n.op == "__getitem__" and graph.before(n, node.operands[-1][1])]
        pieces = Counter(n.operands[0][1] for n in read if n.floating and len(n.shape) < len(n.operands[0][1].shape))
        return any(count > 1 for count in pieces.values())
    products = node.op in ("matmul", "bmm", "__matmul__", "einsum")
    return node.op in _MIXING or (products and sum(n.data and not n.heavy for _, n in node.operands) > 1)


def is_matrix(node: Node) -> bool:
    """Whether an operation multiplies by weights, more than a norm's gain. Parameters: `node`."""
    found = rule(node.op) if node.weighted and node.call else None
    return found is not None and found.sort in ("weight", "product")


def between(term: Node, since: Node) -> list[Node]:
    """What of the input stands between a point and a write, in order. Parameters: `term`, the write; `since`, the point."""
    found, stack = {term}, [term]
    while stack:
        node = stack.pop()
        for _, n in node.operands:
            if n not in found and n.index > since.index and n.data:
                found.add(n)
                stack.append(n)
    return sorted(found, key=lambda n: n.index)
