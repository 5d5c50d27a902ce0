"""For every operation that has a rule: calls as a module makes them, with the operands that carry."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mainstem.algebra import Call, base_name

EXACT, HALF = 1e-12, 2e-2


@dataclass(frozen=True)
class Case:
    """`make` returns (the operand's value, what a module does with it); `name` the rule; `at` where the operand stands."""

    name: str
    make: Callable[[], tuple[Tensor, Callable[[Tensor], Any]]]
    at: tuple[int | str, ...] = (0,)
    tolerance: float = EXACT
    pieces: bool = True  # a stack of vectors can be pushed through at once

    def __str__(self) -> str:
        return self.name


class Catch(TorchFunctionMode):
    """Keeps the outermost calls, arguments copied since a call may overwrite them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kept = tuple(a.clone() if isinstance(a, Tensor) else a for a in args)
        out = func(*args, **(kwargs or {}))
        out = args[0].clone() if getattr(func, "__name__", "") == "__setitem__" else out
        name = getattr(func, "__name__", str(func))
        name = func.__self__.__name__ if name == "__get__" else name
        self.calls.append(Call(name, func, kept, kwargs or {}, out))
        return out


def caught(run: Callable[[Tensor], Any], x: Tensor, name: str) -> Call:
    """The call of an operation while `run(x)` runs. Parameters: `run`; `x`; `name`, the rule's name."""
    with Catch() as catch:
        run(x)
    return next(call for call in catch.calls if base_name(call.name) == name)


def double(*shape: int) -> Tensor:
    """Numbers of both signs with a zero among them. Parameters: `shape`."""
    x = torch.randn(shape, dtype=torch.float64)
    x.view(-1)[0] = 0.0
    return x


def case(name: str, run: Callable[[Tensor], Any], *shape: int, **options: Any) -> Case:
    """A case whose function needs nothing of its own. Parameters: `name`, the rule; `run`; `shape`; `options`, of `Case`."""
    return Case(name, lambda: (double(*shape), run), **options)


def with_own(name: str, run: Callable[..., Any], *shapes: tuple[int, ...], **options: Any) -> Case:
    """A case with weights: the first shape is the operand's, the others those of `run`'s further arguments."""

    def make() -> tuple[Tensor, Callable[[Tensor], Any]]:
        x, *own = (double(*shape) for shape in shapes)
        return x, lambda v: run(v, *own)

    return Case(name, make, **options)


def shape_cases() -> list[Case]:
    """Operations that move numbers about."""
    index = torch.tensor([[0, 1, 1], [2, 0, 1]])
    mask = torch.tensor([[True, False, True, True], [False, True, False, True]])
    return [
        case("view", lambda x: x.view(4, 3), 2, 6), case("view", lambda x: x.view(2, 3, -1), 2, 12),
        case("reshape", lambda x: x.reshape(-1), 2, 3), case("permute", lambda x: x.permute(2, 0, 1), 2, 3, 4),
        case("transpose", lambda x: x.transpose(-1, 0), 2, 3, 4), case("movedim", lambda x: x.movedim(0, -1), 2, 3, 4),
        case("moveaxis", lambda x: torch.moveaxis(x, 1, 0), 2, 3), case("swapaxes", lambda x: x.swapaxes(0, 1), 2, 3),
        case("contiguous", lambda x: x.contiguous(), 2, 3), case("clone", lambda x: x.clone(), 2, 3),
        case("to", lambda x: x.to(torch.float64), 2, 3), case("to", lambda x: x.to("cpu", copy=True), 2, 3),
        case("to", lambda x: x.to(torch.float32), 2, 3, tolerance=1e-5),
        case("type", lambda x: x.type(torch.float64), 2, 3), case("type_as", lambda x: x.type_as(x), 2, 3),
        case("double", lambda x: x.double(), 2, 3), case("float", lambda x: x.float(), 2, 3, tolerance=1e-5),
        case("half", lambda x: x.half(), 2, 3, tolerance=HALF), case("bfloat16", lambda x: x.bfloat16(), 2, 3, tolerance=HALF),
        case("cpu", lambda x: x.cpu(), 2, 3), case("squeeze", lambda x: x.squeeze(1), 2, 1, 3),
        case("unsqueeze", lambda x: x.unsqueeze(-1), 2, 3), case("flatten", lambda x: x.flatten(1), 2, 3, 4),
        case("unflatten", lambda x: x.unflatten(1, (2, 3)), 2, 6), case("expand", lambda x: x.expand(4, -1, 3), 2, 1),
        with_own("expand_as", lambda x, y: x.expand_as(y), (1, 3), (4, 3)),
        with_own("view_as", lambda x, y: x.view_as(y), (2, 6), (3, 4)),
        with_own("reshape_as", lambda x, y: x.reshape_as(y), (2, 6), (3, 4)),
        case("chunk", lambda x: x.chunk(3, -1), 2, 9), case("split", lambda x: x.split([2, 3], 1), 2, 5),
        case("unbind", lambda x: x.unbind(1), 2, 3), case("tensor_split", lambda x: x.tensor_split(2, 1), 2, 5),
        case("hsplit", lambda x: x.hsplit(2), 2, 6), case("vsplit", lambda x: torch.vsplit(x, 2), 4, 3),
        case("getitem", lambda x: x[:, -1], 2, 3, 4), case("getitem", lambda x: x[:, :, ::2, ::2], 1, 2, 4, 4),
        case("getitem", lambda x: x[torch.tensor([1, 0, 1])], 2, 3), case("narrow", lambda x: x.narrow(1, 1, 2), 2, 4),
        case("select", lambda x: x.select(1, 2), 2, 4), case("index_select", lambda x: x.index_select(1, index[0]), 2, 3),
        case("gather", lambda x: x.gather(1, index), 2, 3), case("take_along_dim", lambda x: x.take_along_dim(index, 1), 2, 3),
        case("T", lambda x: x.T, 2, 3), case("mT", lambda x: x.mT, 2, 3, 4), case("H", lambda x: x.H, 2, 3),
        case("mH", lambda x: x.mH, 2, 3, 4), case("t", lambda x: x.t(), 2, 3), case("flip", lambda x: x.flip(1), 2, 3),
        case("roll", lambda x: torch.roll(x, 1, 1), 2, 3), case("rot90", lambda x: torch.rot90(x), 2, 3),
        case("pad", lambda x: F.pad(x, (0, 0, 1, 2)), 2, 3), case("pad", lambda x: F.pad(x, (1, 1), "reflect"), 1, 2, 5),
        case("pad", lambda x: F.pad(x, (1, 1), value=2.0), 2, 3),
        case("constant_pad_nd", lambda x: torch.constant_pad_nd(x, (1, 2)), 2, 3),
        case("repeat", lambda x: x.repeat(2, 3), 2, 3), case("tile", lambda x: x.tile(2), 2, 3),
        case("repeat_interleave", lambda x: x.repeat_interleave(2, 1), 2, 3),
        case("masked_fill", lambda x: x.masked_fill(mask, 3.0), 2, 4),
        case("masked_select", lambda x: x.masked_select(mask), 2, 4, pieces=False),
        case("to_dense", lambda x: x.to_dense(), 2, 3), case("real", lambda x: torch.real(x), 2, 3),
        case("unfold", lambda x: x.unfold(1, 2, 1), 2, 5), case("unfold", lambda x: F.unfold(x, 2), 1, 2, 4, 4),
        case("fold", lambda x: F.fold(x, (4, 4), 2, stride=2), 1, 8, 4),
        case("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), 1, 8, 2, 2),
        case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), 1, 2, 4, 4),
        case("diagonal", lambda x: x.diagonal(0, 1, 2), 2, 3, 3),
    ]  # fmt: skip


def idle_cases() -> list[Case]:
    """Operations that hand their input on in eval mode."""
    return [
        case("detach", lambda x: x.detach(), 2, 3), case("dropout", lambda x: F.dropout(x, 0.5, False), 2, 3),
        case("dropout", lambda x: F.dropout(x.clone(), 0.5, False, inplace=True), 2, 3),
        case("dropout1d", lambda x: F.dropout1d(x, 0.5, False), 2, 3, 4),
        case("dropout2d", lambda x: F.dropout2d(x, 0.5, False), 1, 2, 3, 3),
        case("dropout3d", lambda x: F.dropout3d(x, 0.5, False), 1, 2, 2, 2, 2),
        case("alpha_dropout", lambda x: F.alpha_dropout(x, 0.5, False), 2, 3),
        case("feature_dropout", lambda x: torch.feature_dropout(x, 0.5, False), 2, 3),
        case("feature_alpha_dropout", lambda x: F.feature_alpha_dropout(x, 0.5, False), 2, 3),
    ]  # fmt: skip


def pool_cases() -> list[Case]:
    """Means, sums, resampling, and the picking of maxima."""
    return [
        case("mean", lambda x: x.mean(1), 2, 3), case("mean", lambda x: x.mean((-2, -1), keepdim=True), 1, 2, 3, 3),
        case("sum", lambda x: x.sum(-1), 2, 3), case("cumsum", lambda x: x.cumsum(1), 2, 3),
        case("avg_pool1d", lambda x: F.avg_pool1d(x, 2), 1, 2, 6),
        case("avg_pool2d", lambda x: F.avg_pool2d(x, 2, ceil_mode=True), 1, 2, 5, 5),
        case("avg_pool3d", lambda x: F.avg_pool3d(x, 2), 1, 1, 4, 4, 4),
        case("adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 3), 1, 2, 7),
        case("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (1, 1)), 1, 2, 5, 4),
        case("adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, 1), 1, 2, 3, 3, 3),
        case("interpolate", lambda x: F.interpolate(x, scale_factor=2), 1, 2, 3, 3),
        case("interpolate", lambda x: F.interpolate(x, size=(5, 7), mode="bilinear"), 1, 2, 3, 3),
        case("max_pool1d", lambda x: F.max_pool1d(x, 2), 1, 2, 6),
        case("max_pool2d", lambda x: F.max_pool2d(x, 3, 2, 1), 1, 2, 7, 7),
        case("max_pool2d", lambda x: F.max_pool2d(x, kernel_size=2, stride=1, dilation=2, ceil_mode=True), 2, 2, 6, 5),
        case("max_pool2d", lambda x: torch.max_pool2d(x, [2, 2]), 2, 4, 4),
        case("max_pool3d", lambda x: F.max_pool3d(x, 2), 1, 2, 4, 4, 4),
    ]  # fmt: skip


def function(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of a name. Parameters: `name`, that of its rule."""
    return getattr(F, name, None) or getattr(torch, name, None) or F.logsigmoid


def act_cases() -> list[Case]:
    """Activations, those with f(0) != 0 and those with a kink at zero included."""
    names = "gelu silu mish tanh sigmoid elu selu celu softplus hardswish hardtanh hardsigmoid leaky_relu relu6 relu".split()
    names += ["log_sigmoid", "softsign"]
    plain = [case(name, function(name), *shape) for name in names for shape in ((7,), (2, 3, 4))]
    return [
        *plain, case("gelu", lambda x: F.gelu(x, approximate="tanh"), 3, 4),
        case("leaky_relu", lambda x: F.leaky_relu(x, 0.3), 3, 4),
        case("hardtanh", lambda x: F.hardtanh(x, -0.5, 2.0), 3, 4), case("softplus", lambda x: F.softplus(x, 2.0), 3, 4),
        case("relu", lambda x: F.relu(x.clone(), inplace=True), 3, 4), case("relu", lambda x: torch.relu_(x.clone()), 3, 4),
        case("silu", lambda x: F.silu(x.clone(), inplace=True), 3, 4), case("tanh", lambda x: x.clone().tanh_(), 3, 4),
        case("sigmoid", lambda x: x.sigmoid(), 3, 4), case("elu", lambda x: F.elu(x, alpha=0.5, inplace=False), 3, 4),
    ]  # fmt: skip


def norm_cases() -> list[Case]:
    """Norms with and without gain and bias, over one axis and over several."""
    running = torch.rand(3, dtype=torch.float64) + 0.5
    return [
        with_own("layer_norm", lambda x, w, b: F.layer_norm(x, (5,), w, b), (2, 3, 5), (5,), (5,)),
        with_own("layer_norm", lambda x, w, b: F.layer_norm(x, (3, 5), w, b, 1e-2), (2, 3, 5), (3, 5), (3, 5)),
        with_own("layer_norm", lambda x, w: F.layer_norm(x, normalized_shape=[4], weight=w, eps=1e-6), (3, 4), (4,)),
        case("layer_norm", lambda x: torch.layer_norm(x, [4]), 3, 4), case("rms_norm", lambda x: F.rms_norm(x, (4,)), 3, 4),
        with_own("rms_norm", lambda x, w: F.rms_norm(x, (3, 4), weight=w, eps=1e-3), (2, 3, 4), (3, 4)),
        with_own("group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), (2, 4, 3, 3), (4,), (4,)),
        case("group_norm", lambda x: F.group_norm(x, 3, eps=1e-3), 2, 6, 5),
        with_own("batch_norm", lambda x, m, w, b: F.batch_norm(x, m, running, w, b), (2, 3, 4), (3,), (3,), (3,)),
        case("normalize", lambda x: F.normalize(x), 3, 4),
        case("normalize", lambda x: F.normalize(x, p=1.0, dim=-1, eps=1e-3), 2, 3, 4),
    ]  # fmt: skip


def weight_cases() -> list[Case]:
    """Products with weights."""
    ends = torch.tensor([2, 2, 5], dtype=torch.int32)
    return [
        with_own("linear", lambda x, w, b: F.linear(x, w, b), (2, 3, 4), (5, 4), (5,)),
        with_own("linear", F.linear, (4,), (5, 4)),
        with_own("conv1d", lambda x, w, b: F.conv1d(x, w, b, padding=1), (2, 3, 6), (4, 3, 3), (4,)),
        with_own("conv2d", lambda x, w: F.conv2d(x, w, stride=2, groups=2), (1, 4, 5, 5), (6, 2, 3, 3)),
        with_own("conv3d", F.conv3d, (1, 2, 3, 3, 3), (2, 2, 2, 2, 2)),
        with_own("conv_transpose1d", F.conv_transpose1d, (1, 3, 4), (3, 2, 3)),
        with_own("conv_transpose2d", lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2), (1, 3, 4, 4), (3, 2, 3, 3), (2,)),
        with_own("conv_transpose3d", F.conv_transpose3d, (1, 2, 2, 2, 2), (2, 2, 2, 2, 2)),
        with_own("matmul", lambda x, w: x @ w, (2, 3, 4), (4, 5)), with_own("matmul", torch.matmul, (4,), (4, 5)),
        with_own("matmul", lambda x, w: torch.matmul(w, x), (4, 2), (3, 4), at=(1,)), with_own("mm", torch.mm, (2, 3), (3, 4)),
        with_own("bmm", torch.bmm, (2, 3, 4), (2, 4, 5)), with_own("bmm", lambda x, w: w.bmm(x), (2, 3, 4), (2, 5, 3), at=(1,)),
        with_own("rmatmul", lambda x, w: x.__rmatmul__(w), (3, 4), (2, 3)),
        with_own("addmm", lambda x, b, w: torch.addmm(b, x, w, beta=0.5, alpha=2.0), (3, 4), (5,), (4, 5), at=(1,)),
        with_own("addbmm", lambda x, b, w: torch.addbmm(b, x, w), (2, 3, 4), (3, 5), (2, 4, 5), at=(1,)),
        with_own("baddbmm", lambda x, b, w: torch.baddbmm(b, w, x), (2, 3, 4), (2, 5, 4), (2, 5, 3), at=(2,)),
        with_own("einsum", lambda x, w: torch.einsum("bij,jk->bik", x, w), (2, 3, 4), (4, 5), at=(1,)),
        with_own("einsum", lambda x, w: torch.einsum("ij,bjk->bik", w, x), (2, 3, 4), (5, 3), at=(2,)),
        with_own("_grouped_mm", lambda x, w: _grouped_mm(x, w, offs=ends), (5, 4), (3, 4, 6)),
    ]  # fmt: skip


def _grouped_mm(x: Tensor, w: Tensor, offs: Tensor) -> Tensor:
    """The fused product knows no float64: what it computes, shown to modes under its name."""
    if torch.overrides.has_torch_function((x, w)):
        return torch.overrides.handle_torch_function(_grouped_mm, (x, w), x, w, offs=offs)
    starts = [0, *offs.tolist()]
    return torch.cat([x[a:b] @ w[i] for i, (a, b) in enumerate(pairwise(starts))])


def sum_cases() -> list[Case]:
    """Sums and scales with something that stays as it is, and joints."""
    where = torch.tensor([1, 0])
    mask = torch.tensor([[True, False, True, True], [False, True, False, True]])
    return [
        with_own("add", lambda x, y: x + y, (2, 3), (3,)), with_own("add", lambda x, y: y + x, (2, 3), (2, 3), at=(1,)),
        with_own("add", lambda x, y: torch.add(x, y, alpha=3), (2, 3), (2, 3)), case("add", lambda x: 2.0 + x, 2, 3),
        with_own("add", lambda x, y: torch.add(y, other=x, alpha=0.5), (2, 3), (2, 3), at=("other",)),
        with_own("add", lambda x, y: x.clone().add_(y), (2, 3), (2, 3)), with_own("add", _iadd, (2, 3), (2, 3)),
        with_own("sub", lambda x, y: x - y, (2, 3), (2, 3)), with_own("sub", lambda x, y: y - x, (2, 3), (2, 3), at=(1,)),
        case("rsub", lambda x: 1.0 - x, 2, 3), with_own("rsub", lambda x, y: torch.rsub(x, y, alpha=2), (2, 3), (2, 3)),
        with_own("where", lambda x, y: torch.where(mask, x, y), (2, 4), (2, 4), at=(1,)),
        with_own("where", lambda x, y: torch.where(mask, y, x), (2, 4), (2, 4), at=(2,)),
        with_own("index_add", lambda x, y: x.index_add(1, where, y, alpha=2.0), (2, 3), (2, 2)),
        with_own("index_add", lambda x, y: y.clone().index_add_(0, where, x), (2, 3), (4, 3), at=(3,)),
        with_own("index_copy", lambda x, y: x.index_copy(0, where, y), (3, 2), (2, 2)),
        with_own("index_copy", lambda x, y: y.index_copy(0, where, x), (2, 2), (3, 2), at=(3,)),
        with_own("index_put", lambda x, y: x.index_put((where,), y), (3, 2), (2, 2)),
        with_own("setitem", lambda x, y: x.clone().__setitem__((slice(1), slice(None)), y), (3, 2), (2,)),
        with_own("setitem", lambda x, y: y.clone().__setitem__(where, x), (2, 2), (3, 2), at=(2,)),
        case("glu", lambda x: F.glu(x, -1), 3, 4),
        case("glu", lambda x: F.glu(x, dim=1), 2, 4, 3),
        with_own("index_put", lambda x, y: y.index_put((where,), x, accumulate=True), (2, 2), (3, 2), at=(2,)),
        with_own("scatter_add", lambda x, y: x.scatter_add(0, where.expand(2, 2), y), (3, 2), (2, 2)),
        with_own("scatter_add", lambda x, y: y.scatter_add(0, where.expand(2, 2), x), (2, 2), (3, 2), at=(3,)),
        with_own("mul", lambda x, y: x * y, (2, 3), (3,)), with_own("mul", lambda x, y: y * x, (2, 3), (2, 1), at=(1,)),
        case("mul", lambda x: 0.5 * x, 2, 3), with_own("mul", lambda x, y: x.clone().mul_(y), (2, 3), (2, 3)),
        with_own("mul", lambda x, y: torch.mul(x, other=y), (2, 3), (2, 3)), with_own("multiply", torch.multiply, (2, 3), (2, 3)),
        case("div", lambda x: x / 3.0, 2, 3), case("div", _itruediv, 2, 3),
        with_own("div", lambda x, y: torch.div(x, y + 3), (2, 3), (2, 1)),
        case("divide", lambda x: x.divide(2.0), 2, 3), case("neg", lambda x: -x, 2, 3), case("neg", lambda x: torch.neg(x), 2, 3),
        with_own("cat", lambda x, y: torch.cat([y, x, y], 1), (2, 3), (2, 1), at=(0, 1)),
        with_own("concat", lambda x, y: torch.concat((x, y)), (2, 3), (1, 3), at=(0, 0)),
        with_own("concatenate", lambda x, y: torch.concatenate((x, y)), (2, 3), (1, 3), at=(0, 0)),
        with_own("stack", lambda x, y: torch.stack([y, x], -1), (2, 3), (2, 3), at=(0, 1)),
    ]  # fmt: skip


def _iadd(x: Tensor, y: Tensor) -> Tensor:
    x = x.clone()
    x += y
    return x


def _itruediv(x: Tensor) -> Tensor:
    x = x.clone()
    x /= 4.0
    return x


CASES = [
    *shape_cases(), *idle_cases(), *pool_cases(), *act_cases(), *norm_cases(), *weight_cases(), *sum_cases(),
]  # fmt: skip
