"""The one interception: every torch call of a forward pass, by key. Capturing and editing are handlers of it.

Nothing is attached to the module. While at least one watch is on, two process-wide forward hooks keep each thread's
stack of module calls; a thread that watches nothing passes through them untouched.
"""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from mainstem.core import Key

from ._fused import opened, spelled

_local = threading.local()
_lock = threading.Lock()
_attached: dict[str, Any] = {"watches": 0, "handles": ()}

_IGNORED = frozenset(
    "shape dtype device requires_grad grad grad_fn is_cuda is_leaf is_sparse is_quantized is_mps is_meta ndim itemsize nbytes "
    "layout names size dim numel nelement element_size is_floating_point is_complex is_contiguous stride storage_offset "
    "data_ptr untyped_storage storage get_device __len__ __repr__ __format__ __hash__ __bool__ __int__ __float__ __index__ "
    "__contains__ item tolist numpy requires_grad_ retain_grad is_nonzero is_same_size is_tensor is_inference allclose equal "
    "_version _backward_hooks _is_view __dlpack__ __dlpack_device__ register_hook backward is_nested is_xpu is_mkldnn "
    "is_vulkan is_ipu is_maia is_mtia is_xla is_cpu finfo iinfo result_type can_cast is_signed is_conj is_neg is_shared "
    "output_nr volatile _base _grad retains_grad name is_sparse_csr".split()
)


@dataclass(slots=True)
class Frame:
    """One call of a module: its path, how often the module was called before, operations seen so far."""

    path: str
    call: int
    kind: str
    counts: Counter[str] = field(default_factory=Counter)


Handler = Callable[[Key, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Watch(TorchFunctionMode):
    """Gives every torch call under it a key and hands it to `handle`, which runs it and returns its result."""

    def __init__(self, root: nn.Module, handle: Handler) -> None:
        super().__init__()
        self.root, self.handle = root, handle
        self.paths = {id(m): name for name, m in root.named_modules()}
        self.frames: list[Frame] = []
        self._restart()

    def _restart(self) -> None:
        self.frames[:] = [Frame("", 0, type(self.root).__name__)]
        self.calls: Counter[str] = Counter()

    def __enter__(self) -> "Watch":
        self._outer = getattr(_local, "watch", None)
        _local.watch = self
        _attach()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        _local.watch = self._outer
        _detach()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = _name(func)
        if name in _IGNORED or _transformed():
            return func(*args, **(kwargs or {}))
        frame = self.frames[-1]
        ordinal = frame.counts[name]
        frame.counts[name] = ordinal + 1
        args, kwargs = _positional(args, kwargs)
        key = (frame.path, frame.call, name, ordinal)
        if (form := spelled(name, args, kwargs)) is not None:
            return form(partial(self._part, key))
        if (inside := opened(func)) is not None:
            return self._inside(inside, args, kwargs)
        return self.handle(key, name, func, args, kwargs)

    def _part(self, whole: Key, name: str, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One part of a call that does several things. Parts of one name are numbered within the call."""
        path, call, of, _ = whole
        frame = self.frames[-1]
        label = f"{of}.{name}"
        number = frame.counts[label]
        frame.counts[label] = number + 1
        return self.handle((path, call, label, number), name, func, args, kwargs)

    def _inside(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A composite with every call in it seen: while one is handled, the mode is off."""
        super().__enter__()
        try:
            return func(*args, **kwargs)
        finally:
            super().__exit__(None, None, None)

    def enter(self, module: nn.Module) -> None:
        """A module call begins. Parameters: `module`, the module called."""
        if module is self.root:
            return self._restart()
        path = self.paths.get(id(module))
        if path is None:
            path = f"{self.frames[-1].path}.<{type(module).__name__}>"
        self.frames.append(Frame(path, self.calls[path], type(module).__name__))
        self.calls[path] += 1

    def leave(self, module: nn.Module) -> None:
        """A module call ends, also by an error. Parameters: `module`, the module called."""
        if module is not self.root:
            self.frames.pop()


def _transformed() -> bool:
    """Inside a vmap, jvp or grad of the module's own, where tensors have no storage: what comes out of it is seen, not its steps."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _before(module: nn.Module, args: Any) -> None:
    watch = getattr(_local, "watch", None)
    if watch is not None:
        watch.enter(module)


def _after(module: nn.Module, args: Any, output: Any) -> None:
    watch = getattr(_local, "watch", None)
    if watch is not None and len(watch.frames) > (module is not watch.root):
        watch.leave(module)


def _attach() -> None:
    with _lock:
        if not _attached["watches"]:
            _attached["handles"] = (
                hooks.register_module_forward_pre_hook(_before),
                hooks.register_module_forward_hook(_after, always_call=True),
            )
        _attached["watches"] += 1


def _detach() -> None:
    with _lock:
        _attached["watches"] -= 1
        if not _attached["watches"]:
            for handle in _attached["handles"]:
                handle.remove()


_names: dict[Any, str] = {}


def _name(func: Any) -> str:
    """The operation's bare name; a property getter goes by the property."""
    found = _names.get(func)
    if found is None:
        found = getattr(func, "__name__", str(func))
        if found in ("__get__", "__set__"):
            found = getattr(func.__self__, "__name__", found)
        elif isinstance(func, torch._ops.OpOverloadPacket | torch._ops.OpOverload):
            found = str(func)
        _names[func] = found
    return found


def _positional(args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The first operand always by position."""
    kwargs = dict(kwargs or {})
    for word in ("input", "tensors", "query"):
        if not args and word in kwargs:
            return (kwargs.pop(word),), kwargs
    return args, kwargs
