"""A module whose stream stands in another basis, and whose output does not change."""

from collections.abc import Mapping
from copy import deepcopy
from math import nan
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mainstem.algebra import tensors
from mainstem.core import FACTOR, InputError, error
from mainstem.find import Basis, Slot, basis, run, unscaled

Rotation = Float[Tensor, "width width"]
Given = Float[Tensor, "row column"] | Int[Tensor, "row column"]
_LIMIT = (
    1e3 * FACTOR * torch.finfo(torch.float64).eps
)  # rounding grows over a model's depth: a thousand times what a single sum keeps


def rotated(module: nn.Module, R: Given | None, args: Any, kwargs: Mapping[str, Any], stream: str | None, make: Any) -> nn.Module:
    """A copy of a module whose stream is R x where the module's was x (R C x, C taking out the mean, where its norms take it out).

    Parameters: `module`; `R`, orthogonal, None to take `make`'s; `args` and `kwargs`, an input; `stream`, by name, None for the main one; `make`, a
    rotation of the width it is called with. Raises `InputError` for what cannot be rotated.
    """
    found = basis(module, tuple(args), dict(kwargs), stream)
    turn = make(found.width) if R is None else checked(R, found.width)
    changed = {slot: _turned(module, found, slot, turn) for slot in {*found.weights, *found.shifts}}
    with torch.no_grad():
        new = _assembled(module, found, changed)
        _check(module, new, found, changed, args, kwargs)
    return new


def checked(R: Given, width: int) -> Rotation:
    """R in float64, made orthogonal to that precision where it is orthogonal to its own.

    Parameters: `R`; `width`, of the stream. Raises `InputError` where it is not square, of another width, or not orthogonal.
    """
    if not R.is_floating_point() or R.shape != (width, width):
        raise InputError(f"R has to be a floating {width} x {width} matrix, the stream's width, not {R.dtype} {list(R.shape)}.")
    wide = R.detach().double().cpu()
    miss = error(wide @ wide.T, torch.eye(width, dtype=torch.float64))
    limit = FACTOR * torch.finfo(R.dtype).eps
    if not miss <= limit:
        raise InputError(f"R is not orthogonal: R R^T misses the identity by {miss:.3g}, the bound in {R.dtype} is {limit:.3g}.")
    u, _, v = torch.linalg.svd(wide)
    return u @ v


def _turned(module: nn.Module, found: Basis, slot: Slot, R: Tensor) -> Tensor:
    """A weight in float64 with what norms did folded in, centred where it writes to a centred stream, and turned."""
    held = getattr(module.get_submodule(slot.owner), slot.name)
    value = torch.zeros_like(found.shifts[slot]) if held is None else held.detach().double()
    if slot in found.shifts:
        value = value + found.shifts[slot].to(value)
    for axis, norm in found.weights.get(slot, {}).items():
        rows = value.movedim(axis, -1)
        if norm is not None:
            rows = rows * found.norms[norm].gain.to(rows)
        if found.centred and (slot, axis) in found.writes:
            rows = rows - rows.mean(-1, keepdim=True)
        value = (rows @ R.T.to(rows)).movedim(-1, axis).contiguous()
    return value


def _assembled(module: nn.Module, found: Basis, changed: Mapping[Slot, Tensor]) -> nn.Module:
    """A copy with its changed weights, each of its own, and norms that do nothing but norm."""
    new = deepcopy(module)
    for slot, value in changed.items():
        owner = new.get_submodule(slot.owner)
        old = getattr(owner, slot.name)
        like = next(owner.parameters()) if old is None else old
        made = value.to(device=like.device, dtype=like.dtype)
        if slot.name in owner._buffers:
            owner._buffers[slot.name] = made
        else:
            owner.register_parameter(slot.name, nn.Parameter(made, requires_grad=like.requires_grad))
    for path, form in found.norms.items():
        norm = new.get_submodule(path)
        plain = unscaled(norm, form).train(module.training)
        for other, one in list(new.named_modules(remove_duplicate=False)):  # one that is held in several places is put into each
            if one is norm:
                parent, _, name = other.rpartition(".")
                setattr(new.get_submodule(parent), name, plain)
    return new


def _check(
    module: nn.Module, new: nn.Module, found: Basis, changed: Mapping[Slot, Tensor], args: Any, kwargs: Mapping[str, Any]
) -> None:
    """Both in float64 on the input at hand: every floating output must be the same."""
    before = _outputs(deepcopy(module).double(), args, kwargs)
    wide = deepcopy(new).double()
    for slot, value in changed.items():
        getattr(wide.get_submodule(slot.owner), slot.name).copy_(value)
    tied = [c for c in (getattr(m, "config", None) for m in (new, wide)) if getattr(c, "tie_word_embeddings", False)]
    _say(tied, False)
    miss = _miss(before, _outputs(wide, args, kwargs))
    if tied and not miss <= _LIMIT:
        _say(tied, True)
        miss = _miss(before, _outputs(wide, args, kwargs))
    if not miss <= _LIMIT:
        raise InputError(f"this stream cannot be rotated: turned, an output differs by {miss:.3g} of its size.")


def _say(configs: list[Any], tied: bool) -> None:
    """Says in configurations whether embeddings are shared: some modules ask at every pass whether they once were."""
    for config in configs:
        config.tie_word_embeddings = tied


def _miss(before: list[Tensor], after: list[Tensor]) -> float:
    """The most that an output differs by, as a share of its size; not a number where one does not compare."""
    shares = [
        error(a, b) / (float(a.abs().max()) or 1.0) if a.shape == b.shape else nan for a, b in zip(before, after, strict=True)
    ]
    return nan if any(share != share for share in shares) else max(shares, default=0.0)


def _outputs(module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> list[Tensor]:
    result = run(module, _wide(args), _wide(kwargs), double=True).result
    opened = result if isinstance(result, (Tensor, list, tuple, Mapping)) else vars(result)
    return [t for _, t in tensors(opened) if t.is_floating_point() and t.numel()]


def _wide(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.double() if tree.is_floating_point() else tree
    if isinstance(tree, Mapping):
        return {k: _wide(v) for k, v in tree.items()}
    return type(tree)(map(_wide, tree)) if type(tree) in (list, tuple) else tree
