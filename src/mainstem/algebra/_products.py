"""Programs that multiply rows by one matrix: where the product stands, its matrix, what is before it and what after.

Such a program needs no product of all rows with all columns where few columns, few rows or rows that are multiples of each
other are asked for.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mainstem.core import Path

from ._calls import Call, base_name, put, tensors
from ._program import Affine, Program, Step, Wire
from ._rules import rule

_CASTS = frozenset("to type type_as float double half bfloat16 contiguous clone detach alias identity dropout cuda cpu".split())
_ORDERED = _CASTS | frozenset("view reshape flatten unflatten view_as reshape_as".split())
_MOVES = _ORDERED | frozenset("transpose permute movedim swapaxes squeeze unsqueeze T mT getitem select narrow".split())
_PRODUCTS, _ALONE = ("weight", "product"), ("scale", "act")
_BESIDE = frozenset(("shape", "scale", "norm", "act", "sum"))
_PICK = ("", 0, "index_select", 0)


@dataclass(frozen=True)
class Split:
    """v -> after(M before(v) + b), every row of before(v) by itself; `call` is the product."""

    before: Affine
    matrix: Tensor
    bias: Tensor | None
    after: Affine
    call: Call

    @property
    def moves(self) -> bool:
        """Whether nothing but layout changes before the product: zeros stay zeros."""
        return all(base_name(call.name) in _MOVES for call in self.before.calls)

    @property
    def plain(self) -> bool:
        """Whether nothing but layout that keeps rows in their order follows the product."""
        return all(base_name(call.name) in _ORDERED for call in self.after.calls)

    @property
    def ordered(self) -> bool:
        """Whether rows of before(v) come out as rows of the whole, in their order."""
        steps = [(base_name(call.name), rule(call.name)) for call in self.after.calls]
        return all(name in _ORDERED or (found is not None and found.sort in (*_ALONE, "norm")) for name, found in steps)


def split(affine: Affine) -> Split | None:
    """A program taken apart at its one product; None where it is no single chain around one product with a plain matrix.

    Parameters: `affine`.
    """
    steps, names = affine.program.steps, [base_name(call.name) for call in affine.calls]
    sorts = [found.sort if (found := rule(name)) else "" for name in names]
    at = [i for i, sort in enumerate(sorts) if sort in _PRODUCTS]
    if len(at) != 1 or not _is_chain(steps, 0) or any(s not in _BESIDE for i, s in enumerate(sorts) if i not in at):
        return None
    return cut(affine, at[0])


def cut(affine: Affine, at: int) -> Split | None:
    """A program taken apart at a step that is followed by a chain; None where that step is no product with a plain matrix.

    Parameters: `affine`; `at`, the step.
    """
    steps, call, wire = affine.program.steps, affine.calls[at], affine.program.steps[at].wires[0]
    found = plain_matrix(call, wire.operand)
    if found is None:
        return None
    before = Affine(Program(steps[:at], wire.output), affine.calls[:at])
    after = tuple(Step(s.key, (replace(s.wires[0], source=i - 1),)) for i, s in enumerate(steps[at + 1 :]))
    return Split(before, *found, Affine(Program(after, affine.program.output if after else ()), affine.calls[at + 1 :]), call)


def plain_matrix(call: Call, operand: Path) -> tuple[Tensor, Tensor | None] | None:
    """M [out, in] and b with call = M x + b for every row x of an operand; None where the call is not of this form.

    Parameters: `call`; `operand`, the place of x.
    """
    name = base_name(call.name)
    matrix: Tensor | None = None
    bias: Tensor | None = None
    if name == "linear" and operand == (0,):
        matrix, bias = call.parameter(1, "weight"), call.parameter(2, "bias")
    elif name in ("matmul", "mm") and operand == (0,) and len(call.args) > 1:
        matrix = _transposed(call.args[1])
    elif name == "addmm" and operand == (1,) and len(call.args) == 3 and not call.kwargs:
        bias, matrix = call.args[0], _transposed(call.args[2])
    if matrix is None or matrix.ndim != 2 or (bias is not None and bias.ndim != 1):
        return None
    return matrix, bias


def _transposed(value: Any) -> Any:
    return value.mT if isinstance(value, Tensor) and value.ndim == 2 else None


def last_product(program: Program) -> int | None:
    """The step after which every number of a vector is treated by itself: the product with the unembedding, in a readout.

    Parameters: `program`. None where there is none, or where something other than casts, scales and activations follows.
    """
    at = len(program.steps)
    while at:
        at -= 1
        name = program.steps[at].key[2]
        found = rule(name)
        if found is not None and found.sort in _PRODUCTS:
            return at if len(program.steps[at].wires) == 1 and _is_chain(program.steps, at + 1) else None
        if base_name(name) not in _CASTS and (found is None or found.sort not in _ALONE):
            return None
    return None


def _is_chain(steps: Collection[Step], start: int) -> bool:
    """Whether from a step on each reads what the one before it made, and only that."""
    return all(s.wires == (Wire(s.wires[0].operand, i - 1),) for i, s in enumerate(steps) if i >= start)


def at_places(affine: Affine, at: int, places: Tensor, length: int) -> Affine:
    """A program whose step `at`, and what follows it number by number, is made for one position of every prompt only.

    Parameters: `affine`; `at`; `places`, a position for each prompt; `length`, how many positions there are.
    """
    steps, wire = affine.program.steps, affine.program.steps[at].wires[0]
    moved = [Step(s.key, tuple(replace(w, source=w.source + (w.source >= at)) for w in s.wires)) for s in steps[at + 1 :]]
    pick = Step(_PICK, (replace(wire, operand=(0,)),))
    product = Step(steps[at].key, (Wire(wire.operand, at),))
    call = Call(_PICK[2], lambda rows: rows_at(rows, places, length), (None,), {}, None)
    program = Program((*steps[:at], pick, product, *moved), affine.program.output)
    after = (_call_at(c, places, length) for c in affine.calls[at + 1 :])
    return Affine(program, (*affine.calls[:at], call, affine.calls[at], *after))


def _call_at(call: Call, places: Tensor, length: int) -> Call:
    """A call that treats every number by itself, with what it was made at narrowed to the rows that are left."""

    def narrowed(tree: Any) -> Any:
        for path, tensor in list(tensors(tree)):
            tree = put(tree, path, rows_at(tensor, places, length))
        return tree

    return replace(call, args=narrowed(call.args), kwargs=narrowed(call.kwargs))


def rows_at(rows: Tensor, places: Tensor, length: int) -> Tensor:
    """One row a prompt out of [batch, pos, x] or [batch*pos, x]; what is neither, or was cut already, as it is.

    Parameters: `rows`; `places`, [batch]; `length`, positions of a prompt.
    """
    batch = places.shape[0]
    if rows.ndim == 3 and rows.shape[:2] == (batch, length):
        return rows.take_along_dim(places.to(rows.device)[:, None, None], 1)
    if rows.ndim == 2 and rows.shape[0] == batch * length:
        return rows.index_select(0, torch.arange(batch, device=rows.device) * length + places.to(rows.device))
    return rows


def few_columns(found: Split, ids: Tensor) -> Affine | None:
    """after(M before(v) + b) at a few of its numbers: [..., entry] instead of [..., all].

    Parameters: `found`; `ids`, which numbers, of shape [rows, entry] or, for the same in all rows, [1, entry].
    """
    size = found.matrix.shape[0]
    after = [_few(call, ids, size) for call in found.after.calls]
    if any(call is None for call in after):
        return None
    ids = ids.to(found.matrix.device)
    chosen = found.matrix[ids], None if found.bias is None else found.bias[ids]
    step = found.before.program
    steps = (*step.steps, Step(("", 0, "linear", 0), (Wire((0,), len(step.steps) - 1, step.output),)))
    steps += tuple(
        Step(s.key, (replace(s.wires[0], source=len(steps) - 1 + i),)) for i, s in enumerate(found.after.program.steps)
    )
    product = Call("linear", _rows_product, (None, *chosen), {}, None)
    calls = (*found.before.calls, product, *(call for call in after if call is not None))
    return Affine(Program(steps), calls)


def _rows_product(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    """Every row of x with the few rows of a matrix that are its own: [rows or 1, entry, in]."""
    if matrix.shape[0] == 1:
        return torch.nn.functional.linear(x, matrix[0], None if bias is None else bias[0])
    found = (matrix.reshape(*x.shape[:-1], *matrix.shape[1:]) * x.unsqueeze(-2)).sum(-1)
    return found if bias is None else found + bias.reshape(found.shape)


def _few(call: Call, ids: Tensor, size: int) -> Call | None:
    """A call that treats every number by itself, at a few of them; None where its other operands do not say which they are of."""
    if any(isinstance(a, Tensor) for a in call.kwargs.values()):
        return None
    args = [_few_of(a, ids, size) if isinstance(a, Tensor) else a for a in call.args]
    if any(isinstance(a, Tensor) and b is None for a, b in zip(call.args, args, strict=True)):
        return None
    return replace(call, args=tuple(args), out=None)


def _few_of(value: Tensor, ids: Tensor, size: int) -> Tensor | None:
    if value.numel() == 1:
        return value
    if value.shape[-1] != size:
        return None
    flat, ids = value.reshape(-1, size), ids.to(value.device)
    rows = max(flat.shape[0], ids.shape[0])
    if flat.shape[0] not in (1, rows) or ids.shape[0] not in (1, rows):
        return None
    found = flat.expand(rows, size).gather(-1, ids.expand(rows, -1))
    return found.reshape(*value.shape[:-1], -1) if flat.shape[0] == rows else found
