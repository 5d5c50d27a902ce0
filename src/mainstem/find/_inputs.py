"""A second input of the same form: other token ids, other pixels, the same masks."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mainstem.algebra import base_name, put, tensors
from mainstem.core import Path

from ._carry import carriers
from ._record import Graph, Node

_HANDING = frozenset(("shape", "join", "sum"))


def second_input(graph: Graph, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The inputs with every tensor changed that carries content: ids that are looked up in a table, and float data.

    Parameters: `graph`, of the pass with the first input; `args` and `kwargs`, the first input.
    """
    generator = torch.Generator().manual_seed(0)
    leaves = {n.name: n for n in graph.nodes if n.leaf == "input"}
    first: Any = (args, dict(kwargs))
    named = [(path, tensor, leaves.get(".".join(map(str, path)))) for path, tensor in tensors(first)]
    for masks_too in (False, True):
        both = first
        for path, tensor, node in named:
            if node is not None:
                both = put(both, path, _other(tensor, node, generator, masks_too))
        if any(not torch.equal(a, b) for (_, a), (_, b) in zip(tensors(first), tensors(both), strict=True)):
            break
    return both


def _other(tensor: Tensor, node: Node, generator: torch.Generator, masks_too: bool) -> Tensor:
    """Other content of the same form. A mask of zeros and ones stays, unless there is nothing else to change."""
    if tensor.is_floating_point():
        if bool(((tensor == 0) | (tensor == 1)).all()) and not masks_too:
            return tensor
        noise = torch.randn(tensor.shape, generator=generator).to(tensor)
        spread = tensor.std() if tensor.numel() > 1 and bool((tensor != tensor.flatten()[0]).any()) else 1.0
        return noise * spread + tensor.mean()
    rows = _table_rows(node)
    if rows is None or tensor.dtype == torch.bool:
        return tensor
    return (tensor + torch.randint(1, max(2, rows), tensor.shape, generator=generator).to(tensor.device)) % rows


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
