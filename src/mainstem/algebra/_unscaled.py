"""Maps without the scale that a norm takes from its input: what is left is weights alone, the same at every place."""

from dataclasses import replace

from torch import Tensor

from ._calls import Call, base_name
from ._program import Affine


def unscaled(affine: Affine, centred: bool = True) -> Affine:
    """A map with every norm's division by its input's size left out, its gain and shift kept.

    Of v -> gain * (v - mean v) / sigma + shift it leaves gain * (v - mean v) + shift, of a spelled-out norm the factors that are
    one number a row are left out.

    Parameters: `affine`; `centred`, subtract the mean where a layer norm does so; a mean that the module subtracts in an operation
    of its own is subtracted always.
    """
    operands = [step.wires[0].operand for step in affine.program.steps]
    calls = (_bare(call, operand[0], centred) for call, operand in zip(affine.calls, operands, strict=True))
    return replace(affine, calls=tuple(calls))


def _bare(call: Call, operand: int | str, centred: bool) -> Call:
    name = base_name(call.name)
    if name in ("layer_norm", "rms_norm", "normalize"):
        dims = _dims(call, name)
        weight = None if name == "normalize" else call.parameter(2, "weight")
        bias = call.parameter(3, "bias") if name == "layer_norm" else None
        mean = centred and name == "layer_norm"

        def norm(v: Tensor, shift: Tensor | float) -> Tensor:
            v = v - v.mean(dims, keepdim=True) if mean else v
            return (v if weight is None else v * weight) + shift

        return Call("add", norm, (None, 0.0 if bias is None else bias), {}, None)
    if name in ("mul", "multiply", "div", "divide") and operand in (0, 1) and _by_row(call.args[1 - int(operand)]):
        return Call("reshape", lambda *args: args[operand], (None, None), {}, None)
    return call


def _dims(call: Call, name: str) -> tuple[int, ...]:
    shape = 1 if name == "normalize" else call.parameter(1, "normalized_shape")
    return tuple(range(-(1 if isinstance(shape, int) else len(shape)), 0))


def _by_row(factor: object) -> bool:
    return isinstance(factor, Tensor) and factor.ndim > 1 and factor.shape[-1] == 1
