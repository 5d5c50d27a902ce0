"""A second input of the same form: other token ids, other pixels, the same masks."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mainstem.algebra import base_name, put, tensors
from mainstem.core import Path

from ._carry import carriers
from ._record import Graph, Node

Inputs = tuple[tuple[Any, ...], dict[str, Any]]
_HANDING = frozenset(("shape", "join", "sum"))


def second_inputs(graph: Graph, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Inputs]:
    """The inputs with every tensor changed that carries content: ids that are looked up in a table, and float data.

    Parameters: `graph`, of the pass with the first input; `args` and `kwargs`, the first input. Returns what to try in turn:
    a module that takes other ids amiss (some stand for the pixels beside them) keeps them in the second.
    """
    first: Any = (args, dict(kwargs))
    leaves = {n.name: n for n in graph.nodes if n.leaf == "input"}
    named = [(path, tensor, leaves.get(".".join(map(str, path)))) for path, tensor in tensors(first)]
    found = [_changed(first, named, *way) for way in ((True, False), (True, True), (False, False))]
    other = [both for both in found if any(not torch.equal(a, b) for (_, a), (_, b) in _pairs(first, both))]
    return other[:1] + other[2:] or [first]


def _changed(first: Any, named: list, ids_too: bool, masks_too: bool) -> Any:
    generator, both = torch.Generator().manual_seed(0), first
    for path, tensor, node in named:
        if node is not None and (tensor.is_floating_point() or ids_too):
            both = put(both, path, _other(tensor, node, generator, masks_too))
    return both


def _pairs(a: Any, b: Any) -> Any:
    return zip(tensors(a), tensors(b), strict=True)


def _other(tensor: Tensor, node: Node, generator: torch.Generator, masks_too: bool) -> Tensor:
    """Other content of the same form. A mask of zeros and ones stays, unless there is nothing else to change."""
    if tensor.is_floating_point():
        if bool(((tensor == 0) | (tensor == 1)).all()) and not masks_too:
            return tensor
        noise = torch.randn(tensor.shape, generator=generator).to(tensor)
        spread = tensor.std() if tensor.numel() > 1 and bool((tensor != tensor.flatten()[0]).any()) else 1.0
        return noise * spread + tensor.mean()
    rows = _table_rows(node)
    return tensor if rows is None or tensor.dtype == torch.bool else _ids(tensor, rows)


def _ids(tensor: Tensor, rows: int) -> Tensor:
    """Every id becomes the next one of those that are there: each of them is known to be one that may stand."""
    known, place = tensor.unique(return_inverse=True)
    return (tensor + 1) % rows if len(known) < 2 else known.roll(-1)[place]


def _table_rows(node: Node) -> int | None:
    """How many rows the table has that these ids are looked up in; None where they are not ids."""
    for reader in node.readers:
        if reader.op == "embedding":
            return reader.operands[1][1].shape[0]
        if not reader.floating and any(n is node for _, n in _handed_on(reader)) and (found := _table_rows(reader)) is not None:
            return found
    return None


def _handed_on(reader: Node) -> list[tuple[Path, Node]]:
    """The operands whose numbers an operation on integers hands on: moved, joined, filled in, but not counted or compared."""
    if base_name(reader.op) in ("clamp", "clip", "clamp_min", "clamp_max", "setitem"):
        return list(reader.operands[:1])
    return carriers(reader, _HANDING)
