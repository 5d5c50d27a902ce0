"""What switches the coordinates of a write on: pre-activations, linear in what is read of the stream.

A neuron is h = act(u), h = act(g) * u or another function of single numbers u, g, ..., each of which is a row of weights times
what a block reads of the stream, once the norms in between are frozen. The values that attention adds up are such rows themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mainstem.algebra import Program, base_name, rule
from mainstem.core import Site

from ._carry import Carry, carry
from ._record import Graph, Node

_LINEAR = frozenset(("shape", "scale", "sum", "norm", "weight", "pool", "join"))
# Operations that treat every number by itself, beside those that have a rule of their own.
_ALONE = frozenset(
    "pow float_power square sqrt rsqrt reciprocal abs sign exp expm1 log log1p erf sin cos clamp clip clamp_min clamp_max "
    "minimum maximum threshold hardshrink softshrink tanhshrink logsigmoid log_sigmoid prelu rrelu true_divide mul multiply div "
    "divide neg add sub rsub where masked_fill gt lt ge le eq ne logical_and logical_or logical_not".split()
)
_IN_ORDER = frozenset(
    "view reshape view_as reshape_as contiguous clone to type type_as float double half bfloat16 squeeze unsqueeze detach alias "
    "identity dropout feature_dropout alpha_dropout cuda cpu".split()
)
Reads = Mapping[Node, str]
Leaves = dict[Node, bool]


@dataclass(frozen=True, slots=True)
class Subkey:
    """A pre-activation of a write's coordinates, linear in what is read of the stream once norms are frozen.

    Parameters: `name`, "key" where a coordinate has one, "gate" (through an activation) and "up" where it is a product,
    "value" for what attention adds up; `site`, where the pre-activation stands, coordinates on its last axis; `point`, the
    label of the point that is read; `program`, from that point's face to the site.
    """

    name: str
    site: Site
    point: str
    program: Program


def subkeys(graph: Graph, h: Node, reads: Reads) -> tuple[Subkey, ...]:
    """The pre-activations of a write's coordinates; none where these are not functions of such numbers one by one.

    Parameters: `graph`; `h`, the coordinates, on its last axis; `reads`, the faces of all points with their labels.
    """
    leaves = _leaves(graph, h, reads, False, {})
    if not leaves or any(n.shape[-1] != h.shape[-1] or n.numel() != h.numel() for n in leaves):
        return ()
    each = sorted(_distinct(leaves).items(), key=lambda leaf: (not leaf[1], leaf[0].index))
    names = ["gate" if active else "up" for _, active in each]
    names = [f"{n}{names[:i].count(n) + 1}" if n in names[:i] else n for i, n in enumerate(names)]
    made = [_subkey(graph, node, reads, name) for (node, _), name in zip(each, names if len(names) > 1 else ["key"], strict=True)]
    return tuple(key for key in made if key is not None) if all(made) else ()


def value_key(graph: Graph, value: Node, reads: Reads) -> tuple[Subkey, ...]:
    """What attention adds up, as the one pre-activation of its coordinates. Parameters: `graph`; `value`; `reads`."""
    return linear_keys(graph, {"value": value}, reads)


def linear_keys(graph: Graph, nodes: Mapping[str, Node], reads: Reads) -> tuple[Subkey, ...]:
    """Tensors that are linear in what is read, by name; none where one of them is not. Parameters: `graph`; `nodes`; `reads`."""
    made = [_subkey(graph, node, reads, name) for name, node in nodes.items()]
    found = tuple(key for key in made if key is not None)
    return found if len(found) == len(made) else ()


def _subkey(graph: Graph, node: Node, reads: Reads, name: str) -> Subkey | None:
    way = _linear(graph, node, reads)
    if way is None or node.call is None or node.key is None:
        return None
    (read,) = way.sources
    return Subkey(name, Site(node.key, "out", node.output), reads[read], way.program(read))


def _leaves(graph: Graph, node: Node, reads: Reads, active: bool, known: dict[tuple[Node, bool], Leaves | None]) -> Leaves | None:
    """The linear numbers that a tensor is a function of place by place, each with whether an activation stands on its way.

    None where something else goes into it.
    """
    if (node, active) not in known:
        known[node, active] = _found(graph, node, reads, active, known)
    return known[node, active]


def _found(graph: Graph, node: Node, reads: Reads, active: bool, known: dict[tuple[Node, bool], Leaves | None]) -> Leaves | None:
    if _linear(graph, node, reads) is not None:
        return {node: active}
    found: Leaves = {}
    for part in _parts(node):
        below = _leaves(graph, part, reads, active or _sort(node) == "act", known)
        if below is None:
            return None
        for leaf, through in below.items():
            found[leaf] = found.get(leaf, False) or through
    return found or None


def _parts(node: Node) -> list[Node]:
    """What the numbers of a tensor are made of one by one; a factor for each row is none of them. Empty for what mixes numbers."""
    name, sort = base_name(node.op), _sort(node)
    if node.call is None or not node.operands:
        return []
    if sort == "norm" or name in _IN_ORDER:
        first = node.operands[0][1]
        return [first] if first.shape[-1:] == node.shape[-1:] else []
    if name in _ALONE or sort == "act":
        return [n for _, n in node.operands if n.data and _full(n, node)]
    return []


def _full(operand: Node, node: Node) -> bool:
    return operand.shape[-1:] == node.shape[-1:] and node.shape[-1:] != (1,)


def _sort(node: Node) -> str:
    found = rule(node.op) if node.call else None
    return found.sort if found is not None else ""


def _linear(graph: Graph, node: Node, reads: Reads) -> Carry | None:
    """The way from one point's face, if all on it is linear once norms and factors of whole rows are frozen."""
    way = carry(node, reads.__contains__, _LINEAR)
    if way is None or len(way.sources) != 1:
        return None
    return way if all(_frozen(graph, n, [m for _, m in live], way.sources[0]) for n, live in way.live.items()) else None


def _frozen(graph: Graph, node: Node, carried: list[Node], read: Node) -> bool:
    """Whether what else goes into an operation may be taken as it is: weights, masks, factors of rows, experts' biases."""
    name, sort = base_name(node.op), _sort(node)
    if name == "glu":
        return False
    others = [n for _, n in node.operands if n.data and n not in carried]
    if sort == "sum":
        return all(_chosen(n) for n in others if n.floating) and not any(
            graph.weights_between(read, n) for n in others if _mask(n)
        )
    if name.startswith("masked_"):
        return not any(graph.weights_between(read, n) for n in others)
    if sort in ("scale", "join"):
        return not any(n.floating and graph.weights_between(read, n) for n in others if sort == "join" or _full(n, node))
    return True


def _mask(node: Node) -> bool:
    return not node.floating


def _chosen(node: Node) -> bool:
    """Whether a term is weights that were looked up, such as the bias of the expert that a row goes to."""
    while node.data and len([n for _, n in node.operands if n.floating]) == 1 and node.call is not None:
        node = next(n for _, n in node.operands if n.floating)
    return not node.data


def _distinct(leaves: Leaves) -> Leaves:
    """Leaves that are multiples of one tensor, as spelled-out activations make them, become that tensor."""
    found: dict[Node, dict[Node, bool]] = {}
    for node, active in leaves.items():
        found.setdefault(_root(node), {})[node] = active
    return {root if len(same) > 1 else next(iter(same)): any(same.values()) for root, same in found.items()}


def _root(node: Node) -> Node:
    while node.call is not None and (below := _below(node)) is not None:
        node = below
    return node


def _below(node: Node) -> Node | None:
    """What a tensor is in another precision or form, or times a number."""
    data = [n for _, n in node.operands if n.data]
    same = len(data) == 1 and data[0].numel() == node.numel() and data[0].shape[-1] == node.shape[-1]
    if not same or not (base_name(node.op) in _IN_ORDER or base_name(node.op) in ("mul", "div", "neg")):
        return None
    return data[0] if all(n.numel() == 1 for _, n in node.operands if n is not data[0]) else None
