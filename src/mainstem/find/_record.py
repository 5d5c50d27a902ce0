"""One forward pass as a graph: every tensor that a torch call made is a node, every argument that was a tensor an edge."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.algebra import Call, base_name, is_inplace, tensors
from mainstem.core import Key, Path

from ._refuse import DRAWS, Guard
from ._watch import Handler, Watch

_VIEWS = frozenset(
    "view reshape permute transpose contiguous to type float squeeze unsqueeze flatten unflatten expand T mT detach alias "
    "movedim swapaxes t view_as reshape_as".split()
)
# Only the shape of what these read shows in what they make; of the second group, the shape of all but the first operand.
_FORMS = frozenset("zeros_like ones_like empty_like full_like new_zeros new_ones new_empty new_full rand_like randn_like".split())
_SHAPED_LIKE = frozenset("expand_as view_as reshape_as type_as".split())
FrameTrail = tuple[tuple[str, int, str], ...]


@dataclass(slots=True, eq=False)
class Node:
    """A tensor. `call` is None for a leaf, whose `leaf` is "param", "buffer", "input", "const" or "alias".

    `pure` nodes come from parameters and buffers alone; `heavy` ones are weights, or were chosen from them by data; `data` nodes depend on the
    module's inputs; a `weighted` node is where data meets weights; `volatile` ones are overwritten later. Leaves and draws keep their `value`.
    """

    index: int
    shape: torch.Size
    floating: bool
    complex: bool = False
    leaf: str = ""
    name: str = ""
    call: Call | None = None
    key: Key | None = None
    output: Path = ()
    frames: FrameTrail = ()
    operands: tuple[tuple[Path, "Node"], ...] = ()
    readers: list["Node"] = field(default_factory=list)
    pure: bool = False
    heavy: bool = False
    data: bool = False
    weighted: bool = False
    volatile: bool = False
    value: Tensor | None = None

    def __repr__(self) -> str:
        """Short: a node holds its operands, and their operands in turn, so that the whole of it would never end."""
        return f"Node({self.index}, {self.op}, {tuple(self.shape)})"

    @property
    def op(self) -> str:
        """The operation's name, or the kind of leaf."""
        return self.call.name if self.call else self.leaf

    @property
    def view(self) -> bool:
        """Whether the node only shows its first operand in another form."""
        return self.op in _VIEWS and bool(self.operands)

    def reads(self) -> int:
        """How many calls read this tensor, looking through views."""
        return sum(reader.reads() if reader.view else 1 for reader in self.readers)

    def numel(self) -> int:
        """How many numbers the tensor holds."""
        return self.shape.numel()


@dataclass
class Graph:
    """The nodes of one forward pass in the order they were made, and what the module returned."""

    nodes: list[Node]
    outputs: list[tuple[Path, Node]]
    above: list[int]
    weighted: list[int]

    def __repr__(self) -> str:
        return f"Graph({len(self.nodes)} nodes)"

    def before(self, ancestor: Node, node: Node) -> bool:
        """Whether `node` is `ancestor` or depends on it."""
        return bool(self.above[node.index] >> ancestor.index & 1)

    def weights_between(self, ancestor: Node, node: Node) -> bool:
        """Whether some path from `ancestor` to `node` passes an operation with parameters."""
        return bool(self.weighted[node.index] >> ancestor.index & 1)


def record(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], through: Handler | None = None) -> Graph:
    """Runs the module once and returns the graph of its forward pass.

    Parameters: `module`; `args` and `kwargs`, its inputs; `through`, a handler that makes the calls, to keep some of them. Raises
    `InputError` in train mode with active dropout.
    """
    recorder = _Recorder(module, (args, kwargs), through)
    with torch.no_grad(), recorder.watch:
        result = module(*args, **kwargs)
    outputs = [(path, recorder.node(t)) for path, t in tensors(_opened(result))]
    return Graph(recorder.nodes, outputs, *_bits(recorder.nodes))


def _opened(result: Any) -> Any:
    """What a module returned as something whose tensors can be listed; an object's are its attributes."""
    known = isinstance(result, (Tensor, list, tuple, Mapping)) or not hasattr(result, "__dict__")
    return result if known else vars(result)


class _Recorder:
    """Handler of a watch that builds the graph. Tensors are kept alive, since their ids are the names of nodes."""

    def __init__(self, module: nn.Module, inputs: Any, through: Handler | None = None) -> None:
        self.through, self.guard = through, Guard(module)
        self.nodes: list[Node] = []
        self.current: dict[int, Node] = {}
        self.kept: list[Tensor] = []
        self.by_storage: dict[int, list[tuple[Tensor, Node]]] = defaultdict(list)
        self.leaves = {id(b): ("buffer", n) for n, b in module.named_buffers()}
        self.leaves |= {id(p): ("param", n) for n, p in module.named_parameters()}
        self.leaves |= {id(t): ("input", ".".join(map(str, path))) for path, t in tensors(inputs)}
        self.watch = Watch(module, self)

    def __call__(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.guard.check(key, name, args, kwargs)
        read = [] if name in _FORMS else [*tensors(args[:1] if name in _SHAPED_LIKE else args), *tensors(kwargs)]
        operands = tuple((path, self.node(t)) for path, t in read)
        overwrites = is_inplace(name, kwargs) and bool(operands)
        out = self.through(key, name, func, args, kwargs) if self.through else func(*args, **kwargs)
        made = (kwargs.get("out") if kwargs.get("out") is not None else args[0]) if overwrites else out
        call = Call(name, func, args, kwargs, None)
        drawn = base_name(name) in DRAWS
        for path, tensor in tensors(made):
            if overwrites or id(tensor) not in self.current:
                node = self._make(tensor, call, key, path, operands)
                node.value = tensor.clone() if drawn else None
                if overwrites:
                    self._mark_aliases(tensor, node)
        return out

    def node(self, tensor: Tensor) -> Node:
        """The node of a tensor as it is now; a leaf if no call made it."""
        found = self.current.get(id(tensor))
        if found is None:
            leaf, name = self.leaves.get(id(tensor), ("const", ""))
            found = self._add(tensor, leaf=leaf, name=name, value=tensor)
            found.pure, found.data = leaf in ("param", "buffer"), leaf == "input"
            found.heavy = leaf == "param" or (leaf == "buffer" and tensor.ndim > 1 and tensor.is_floating_point())
        return found

    def _make(self, tensor: Tensor, call: Call, key: Key, path: Path, operands: Any) -> Node:
        inputs = [n for _, n in operands]
        frames = tuple((f.path, f.call, f.kind) for f in self.watch.frames)
        node = self._add(tensor, call=call, key=key, output=path, frames=frames, operands=operands)
        node.data = any(n.data for n in inputs)
        node.pure = any(n.pure for n in inputs) and all(n.pure or n.leaf == "const" for n in inputs)
        node.heavy = (node.pure and any(n.heavy for n in inputs)) or _chosen(call.name, inputs)
        node.weighted = node.data and any(n.heavy for n in inputs)
        for operand in {id(n): n for n in inputs}.values():
            operand.readers.append(node)
        return node

    def _add(self, tensor: Tensor, **fields: Any) -> Node:
        node = Node(len(self.nodes), tensor.shape, tensor.is_floating_point(), tensor.is_complex(), **fields)
        self.nodes.append(node)
        self.kept.append(tensor)
        self.current[id(tensor)] = node
        if (storage := _storage(tensor)) is not None:
            self.by_storage[storage].append((tensor, node))
        return node

    def _mark_aliases(self, target: Tensor, made: Node) -> None:
        """All that shares the overwritten storage: what was read before is volatile, what is read later depends on the write."""
        for tensor, node in list(self.by_storage.get(_storage(target) or 0, ())):
            if node is made:
                continue
            node.volatile = True
            if tensor is not target and self.current.get(id(tensor)) is node:
                alias = self._add(tensor, leaf="alias", operands=(((0,), node), ((1,), made)))
                alias.data, alias.key, alias.frames = node.data or made.data, made.key, made.frames
                made.readers.append(alias)


def _chosen(name: str, inputs: list[Node]) -> bool:
    """Whether matrices are taken out of a stack of weights by an index, which may depend on data: an expert's; also in another form."""
    if name in _VIEWS and inputs and inputs[0].heavy:
        return True
    stacked = bool(inputs) and inputs[0].pure and inputs[0].heavy and len(inputs[0].shape) > 2
    return stacked and name in ("__getitem__", "index_select") and not any(n.floating for n in inputs[1:])


def _storage(tensor: Tensor) -> int | None:
    if tensor.layout != torch.strided or tensor.device.type == "meta":
        return None
    return tensor.untyped_storage().data_ptr() or None


def _bits(nodes: list[Node]) -> tuple[list[int], list[int]]:
    """Two bit sets a node: its ancestors with itself, and those of them with weights on a path in between."""
    above: list[int] = []
    weighted: list[int] = []
    for node in nodes:
        up, heavy = 1 << node.index, 0
        for _, operand in node.operands:
            up |= above[operand.index]
            heavy |= weighted[operand.index]
            if node.weighted and operand.data:
                heavy |= above[operand.index]
        above.append(up)
        weighted.append(heavy)
    return above, weighted


def overwritten(graph: Graph) -> frozenset[Key]:
    """The calls that touch tensors which a later call overwrites: what they saw must be copied to be kept.

    Parameters: `graph`.
    """
    return frozenset(n.key for n in graph.nodes if n.key and (n.volatile or any(o.volatile for _, o in n.operands)))
