"""Additions flattened into sums, and which of them are residual."""

from dataclasses import dataclass, replace

from mainstem.algebra import base_name
from mainstem.core import Site

from ._carry import TRANSPORT, carriers, is_partial
from ._record import Graph, Node


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One operand of a sum: the node, where it stands in the call, the factor it enters with."""

    node: Node
    site: Site
    factor: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """A sum of tensors, of which a smaller one is spread. `stream` is the position of the stream's term, None for a sum that
    is not residual; `origin` is what the other terms are computed from, the stream's term or what it comes from."""

    node: Node
    terms: tuple[Term, ...]
    inner: frozenset[Node]
    stream: int | None = None
    origin: Node | None = None
    shortcut: Node | None = None


def sums(graph: Graph) -> list[Sum]:
    """All sums of a graph, partial sums that nothing else reads folded into the sum that reads them.

    Parameters: `graph`.
    """
    found: dict[Node, Sum] = {}
    for node in graph.nodes:
        terms = _terms(node)
        if terms:
            found[node] = _flatten(node, terms, found)
    inner = {n for s in found.values() for n in s.inner}
    return [s for node, s in found.items() if node not in inner]


def residual(graph: Graph, candidates: list[Sum]) -> dict[Node, Sum]:
    """The sums of which one term is the stream, by their node, in order.

    Parameters: `graph`; `candidates`, from `sums`.
    """
    found: dict[Node, Sum] = {}
    reach: dict[Node, frozenset[Node]] = {}
    ends = 0
    for _, end in graph.outputs:
        ends |= graph.above[end.index]
    for s in candidates:
        if not s.node.data or not ends >> s.node.index & 1:
            continue
        origins = [_origins(t.node, found, reach) for t in s.terms]
        chosen = _stream_term(graph, s, origins, found)
        if chosen is not None:
            found[s.node] = replace(s, stream=chosen[0], origin=chosen[1])
        elif (shortcut := _projection(graph, s, found)) is not None:
            found[s.node] = replace(s, stream=shortcut[0], shortcut=shortcut[1])
    return found


def _terms(node: Node) -> list[Term]:
    name = base_name(node.op)
    if not node.floating or node.key is None:
        return []
    if name == "sum":
        return _stacked(node)
    if name not in ("add", "sub", "rsub") or len(node.operands) < 2:
        return []
    alpha = float(node.call.kwargs.get("alpha", 1.0)) if node.call else 1.0
    signs = {"add": (1.0, alpha), "sub": (1.0, -alpha), "rsub": (-alpha, 1.0)}[name]
    pairs = [(path, n) for path, n in node.operands if path in ((0,), (1,), ("other",))]
    if len(pairs) != 2 or not any(n.data for _, n in pairs) or any(_is_vector(n, node) for _, n in pairs):
        return []
    if not any(n.data and n.shape == node.shape for _, n in pairs):
        return []
    return [Term(n, Site(node.key, "arg", path), sign) for (path, n), sign in zip(pairs, signs, strict=True)]


def _is_vector(n: Node, node: Node) -> bool:
    """A norm's or a linear map's bias, which belongs to what it is added to."""
    return not n.data and n.numel() <= max(n.shape, default=1) < node.numel()


def _stacked(node: Node) -> list[Term]:
    """Tensors stacked to be summed up at once along the new axis."""
    stack = node.operands[0][1]
    if stack.op != "stack" or stack.reads() != 1 or node.call is None or stack.call is None or stack.key is None:
        return []
    axis, along = node.call.parameter(1, "dim"), stack.call.parameter(1, "dim", 0)
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    if len(axes) != 1 or axes[0] is None or (axes[0] - along) % len(stack.shape) or len(node.shape) != len(stack.shape) - 1:
        return []
    terms = [Term(n, Site(stack.key, "arg", path)) for path, n in stack.operands if path[0] == 0]
    return terms if len(terms) > 1 and any(t.node.data for t in terms) else []


def _flatten(node: Node, terms: list[Term], found: dict[Node, Sum]) -> Sum:
    flat, inner = [], set()
    for term in terms:
        part = found.get(term.node)
        if part is None or term.node.reads() != 1 or part.node.shape != node.shape or _within(part.node, node):
            flat.append(term)
            continue
        inner |= {part.node, *part.inner}
        flat += [replace(t, factor=t.factor * term.factor) for t in part.terms]
    if node.op == "sum":
        inner.add(node.operands[0][1])
    return Sum(node, tuple(flat), frozenset(inner))


def _within(part: Node, node: Node) -> bool:
    """Whether a partial sum is made inside of a module that the whole is not: it is what that module returns, one write."""
    depth = len(node.frames)
    return len(part.frames) > depth and part.frames[:depth] == node.frames


def _origins(node: Node, residuals: dict[Node, Sum], reach: dict[Node, frozenset[Node]]) -> frozenset[Node]:
    """All nodes that a term is reached from through transports, not beyond a residual addition."""
    if node in reach:
        return reach[node]
    found, stack = {node}, [node]
    while stack:
        current = stack.pop()
        if current in residuals:
            continue
        back = [n for _, n in carriers(current, TRANSPORT)]
        if is_partial(current, back):
            continue
        for n in back:
            if n not in found:
                found.add(n)
                stack.append(n)
    reach[node] = frozenset(found)
    return reach[node]


def _stream_term(graph: Graph, s: Sum, origins: list[frozenset[Node]], residuals: dict[Node, Sum]) -> tuple[int, Node] | None:
    """Which term the others are computed from, and from what on the way to it: the one from the latest addition, with the fewest older values of the stream
    beside it, and of those left the one that goes back furthest (a gate on a write may come from the stream too)."""
    found: list[tuple[int, int, int, int]] = []
    for i, own in enumerate(origins):
        latest = max((n.index for n in own if n in residuals), default=-1)
        for source in own:
            again = _added_again(graph, source, i, s) if source.data else None
            if again is not None:
                found.append((latest, -again, -source.index, -i))
    if not found:
        return None
    *_, origin, at = max(found)
    return -at, graph.nodes[-origin]


def _added_again(graph: Graph, source: Node, i: int, s: Sum) -> int | None:
    """How many terms are not computed from the source by weights: constants, older values of the stream, what else of the
    input is added beside. None where no term is, or where of two terms the other is not."""
    again = sum(j != i and not graph.weights_between(source, term.node) for j, term in enumerate(s.terms))
    return again if again < len(s.terms) - 1 else None


def _projection(graph: Graph, s: Sum, residuals: dict[Node, Sum]) -> tuple[int, Node] | None:
    """Of two terms one is a linear, unmasked image of a common ancestor, the other is not: a projection shortcut."""
    if len(s.terms) != 2:
        return None
    linear = TRANSPORT - {"act"} | {"weight"}
    roots = [_linear_roots(t.node, residuals, linear) for t in s.terms]
    for i, other in ((0, 1), (1, 0)):
        if graph.before(s.terms[i].node, s.terms[other].node):
            continue  # x + f(x), and x is not carried from the stream: an activation spelled out behind a weight
        common = [n for n in roots[i] if graph.weights_between(n, s.terms[other].node) and n not in roots[other]]
        if common and not any(n in roots[other] for n in roots[i]):
            return i, max(common, key=lambda n: n.index)
    return None


def _linear_roots(node: Node, residuals: dict[Node, Sum], sorts: frozenset[str]) -> set[Node]:
    found, stack = set(), [node]
    while stack:
        current = stack.pop()
        if current in residuals:
            continue
        for _, n in carriers(current, sorts):
            if n not in found:
                found.add(n)
                stack.append(n)
    return found
