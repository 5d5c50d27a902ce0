"""Which operations carry a vector, through which operand, and in which frozen form.

One line an operation. `sort` says what the operation is to a stream: "shape" moves numbers about, "scale" multiplies by
something else, "sum" adds, "norm", "act", "pool" and "mix" (a weighted sum over positions or copies that does not look
at weights of the module) are transports; "weight" multiplies by parameters and is a transport for a readout only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _frozen as frozen
from ._calls import base_name


@dataclass(frozen=True, slots=True)
class Rule:
    """How an operation carries a vector: its sort, the operands that may carry, its frozen form."""

    sort: str
    operands: tuple[int, ...] = (0,)
    form: Callable[..., Any] = frozen.plain


_SHAPE = (
    "view reshape permute transpose movedim moveaxis swapaxes contiguous clone to type float double half bfloat16 squeeze "
    "unsqueeze flatten unflatten expand expand_as view_as reshape_as chunk split unbind getitem narrow select index_select "
    "gather T mT H mH flip roll pad constant_pad_nd repeat repeat_interleave tile type_as t masked_fill masked_select to_dense cuda cpu "
    "real tensor_split hsplit vsplit unfold fold pixel_shuffle pixel_unshuffle real diagonal rot90 take_along_dim spread"
)
_IDENTITY = "detach alias identity dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout"
_POOL = "mean sum avg_pool1d avg_pool2d avg_pool3d interpolate upsample cumsum"
_ADAPTIVE = "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"
_ACT = "gelu silu mish tanh sigmoid elu selu celu softplus hardswish hardtanh hardsigmoid leaky_relu relu6 log_sigmoid softsign"
_MAX_POOL = "max_pool1d max_pool2d max_pool3d"
_WEIGHT_FIRST = "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"

RULES: dict[str, Rule] = {
    **{name: Rule("shape") for name in _SHAPE.split()},
    **{name: Rule("shape", form=frozen.identity) for name in _IDENTITY.split()},
    **{name: Rule("pool") for name in _POOL.split()},
    **{name: Rule("pool", form=frozen.adaptive_pool) for name in _ADAPTIVE.split()},
    **{name: Rule("act", form=frozen.activation) for name in _ACT.split()},
    **{name: Rule("pool", form=frozen.max_pool) for name in _MAX_POOL.split()},
    **{name: Rule("weight") for name in _WEIGHT_FIRST.split()},
    **{name: Rule("product", (0, 1)) for name in ("matmul", "mm", "bmm")},
    "rmatmul": Rule("product", (0, 1)),
    "addmm": Rule("product", (1, 2)),
    "addbmm": Rule("product", (1, 2)),
    "baddbmm": Rule("product", (1, 2)),
    "_grouped_mm": Rule("weight", form=frozen.grouped_product),
    "einsum": Rule("product", (1, 2)),
    "relu": Rule("act", form=frozen.relu),
    "layer_norm": Rule("norm", form=frozen.layer_norm),
    "rms_norm": Rule("norm", form=frozen.rms_norm),
    "batch_norm": Rule("norm"),
    "group_norm": Rule("norm", form=frozen.group_norm),
    "normalize": Rule("norm", form=frozen.normalize),
    "mul": Rule("scale", (0, 1)),
    "multiply": Rule("scale", (0, 1)),
    "div": Rule("scale"),
    "divide": Rule("scale"),
    "neg": Rule("scale"),
    "glu": Rule("scale", form=frozen.gated),
    "add": Rule("sum", (0, 1)),
    "sub": Rule("sum", (0, 1)),
    "rsub": Rule("sum", (0, 1)),
    "where": Rule("sum", (1, 2)),
    "index_add": Rule("sum", (0, 3)),
    "index_copy": Rule("sum", (0, 3)),
    "index_put": Rule("sum", (0, 2)),
    "scatter_add": Rule("sum", (0, 3)),
    "setitem": Rule("sum", (0, 2)),
    "cat": Rule("join"),
    "concat": Rule("join"),
    "concatenate": Rule("join"),
    "stack": Rule("join"),
}


def rule(name: str) -> Rule | None:
    """The rule of an operation, in-place and operator forms included; None where a vector cannot be carried."""
    return RULES.get(base_name(name))
