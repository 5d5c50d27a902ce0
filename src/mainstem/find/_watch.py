"""The one interception: torch calls of a forward pass, by key. Capturing and editing are handlers of it.

Nothing is attached to the module. While at least one watch is on, two process-wide forward hooks keep each thread's
stack of module calls; a thread that watches nothing passes through them untouched. Where keys are given, the function mode
stands on torch's stack only while a module runs that has one of them: every call under it costs a microsecond or more.
"""

import threading
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as hooks
from torch.overrides import TorchFunctionMode

from mainstem.core import Key, go_on

from ._fused import COMPOSED, opened, spelled
from ._sliced import SLICED, Sliced

_local = threading.local()
_lock = threading.Lock()
_attached: dict[str, Any] = {"watches": 0, "handles": ()}
_depth, _push, _pop = (
    torch._C._len_torch_function_stack,
    torch._C._push_on_torch_function_stack,
    torch._C._pop_torch_function_stack,
)

_IGNORED = frozenset(
    "shape dtype device requires_grad grad grad_fn is_cuda is_leaf is_sparse is_quantized is_mps is_meta ndim itemsize nbytes "
    "layout names size dim numel nelement element_size is_floating_point is_complex is_contiguous stride storage_offset "
    "data_ptr untyped_storage storage get_device __len__ __repr__ __format__ __hash__ __bool__ __int__ __float__ __index__ "
    "__contains__ item tolist numpy requires_grad_ retain_grad is_nonzero is_same_size is_tensor is_inference allclose equal "
    "_version _backward_hooks _is_view __dlpack__ __dlpack_device__ register_hook backward is_nested is_xpu is_mkldnn "
    "is_vulkan is_ipu is_maia is_mtia is_xla is_cpu finfo iinfo result_type can_cast is_signed is_conj is_neg is_shared "
    "output_nr volatile _base _grad retains_grad name is_sparse_csr".split()
)


class Frame:
    """One call of a module: its path, how often the module was called before, operations seen so far, whether they are watched."""

    __slots__ = ("call", "counts", "kind", "on", "path")

    def __init__(self, path: str, call: int, kind: str, on: bool) -> None:
        self.path, self.call, self.kind, self.on = path, call, kind, on
        self.counts: dict[str, int] = {}


Handler = Callable[[Key, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]


class Watch(TorchFunctionMode):
    """Gives torch calls under it a key and hands those asked for to `handle`, which runs them and returns their results.

    Parameters: `root`, the module that is run; `handle`; `keys`, the calls to hand over, None for every one.
    """

    def __init__(self, root: nn.Module, handle: Handler, keys: Collection[Key] | None = None) -> None:
        super().__init__()
        self.root, self.handle, self.keys = root, handle, keys
        self.where = frozenset(key[0] for key in keys or ())
        self.known = {id(m): (name, *self._about(name, m)) for name, m in root.named_modules()}
        self.frames: list[Frame] = []
        self.on = self.busy = False
        self.sliced = Sliced()
        self._restart()

    def _restart(self) -> None:
        self.frames[:] = [Frame("", 0, *self._about("", self.root))]
        self.calls: dict[str, int] = {}

    def _about(self, path: str, module: nn.Module) -> tuple[str, bool]:
        kind = type(module)
        return kind.__name__, path in self.where or _asks(kind)

    def __enter__(self) -> "Watch":
        self._outer, self.below = getattr(_local, "watch", None), _depth()
        _local.watch = self
        _attach()
        self._switch(True)
        return self

    def __exit__(self, *error: Any) -> None:
        self.busy = False
        self.sliced = Sliced()
        self._switch(False)
        _local.watch = self._outer
        self.handle = _over  # it holds this watch and what was captured: without it nothing waits for a collector of cycles
        _detach()

    def everything(self) -> None:
        """From now on every call is handed over. To be called while one is."""
        self.keys = None

    def _switch(self, on: bool) -> None:
        """Puts this mode on torch's stack or takes it off, below the modes that the module itself has put there since.

        Not while a call is handled: torch has taken the mode off for that time itself.
        """
        if on is self.on or self.busy:
            return
        above = [_pop() for _ in range(_depth() - self.below - self.on)]
        if on:
            _push(self)
        else:
            _pop()
        for mode in reversed(above):
            _push(mode)
        self.on = on

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = _names.get(func) or _name(func)
        if name in _IGNORED or _transformed():
            return func(*args, **kwargs) if kwargs else func(*args)
        frame = self.frames[-1]
        ordinal = frame.counts.get(name, 0)
        frame.counts[name] = ordinal + 1
        key = (frame.path, frame.call, name, ordinal)
        if name in SLICED and (done := self.sliced.looked_at(name, args, kwargs, partial(self._part, key))) is not None:
            return done.result
        if name in COMPOSED and (form := spelled(name, *_positional(args, kwargs))) is not None:
            return form(partial(self._part, key))
        if (inside := opened(func)) is not None:
            return self._inside(inside, args, kwargs or {})
        if self.keys is not None and key not in self.keys:
            return func(*args, **kwargs) if kwargs else func(*args)
        return self._handed(key, name, func, *_positional(args, kwargs))

    def _handed(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.busy = True
        try:
            return self.handle(key, name, func, args, kwargs)
        finally:
            self.busy = False

    def _part(self, whole: Key, name: str, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """One part of a call that does several things. Parts of one name are numbered within the module's call."""
        frame = self.frames[-1]
        label = f"{whole[2]}.{name}"
        ordinal = frame.counts.get(label, 0)
        frame.counts[label] = ordinal + 1
        key = (whole[0], whole[1], label, ordinal)
        if self.keys is not None and key not in self.keys:
            return func(*args, **kwargs)
        return self._handed(key, name, func, args, kwargs)

    def _inside(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A composite with every call in it seen: torch has taken the mode off while this call is looked at."""
        _push(self)
        try:
            return func(*args, **kwargs)
        finally:
            _pop()

    def enter(self, module: nn.Module) -> None:
        """A module call begins. Parameters: `module`, the module called."""
        if module is self.root:
            self._restart()
        else:
            known = self.known.get(id(module))
            if known is None:
                path = f"{self.frames[-1].path}.<{type(module).__name__}>"
                known = (path, *self._about(path, module))
            path = known[0]
            call = self.calls.get(path, 0)
            self.calls[path] = call + 1
            self.frames.append(Frame(path, call, known[1], known[2]))
        on = self.keys is None or self.frames[-1].on
        if on is not self.on:
            self._switch(on)

    def leave(self, module: nn.Module) -> None:
        """A module call ends, also by an error. Parameters: `module`, the module called."""
        if module is not self.root:
            self.frames.pop()
        on = self.keys is None or self.frames[-1].on
        if on is not self.on:
            self._switch(on)


def _over(key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Handles nothing: a watch is entered once."""
    raise RuntimeError("this watch is over.")


_asking: dict[type[nn.Module], bool] = {}


def _asks(kind: type[nn.Module]) -> bool:
    """Whether modules of a class take another way through their code where calls are not watched, as torch's fused encoders do."""
    found = _asking.get(kind)
    if found is None:
        code = getattr(kind.forward, "__code__", None)
        found = _asking[kind] = code is not None and "has_torch_function" in code.co_names
    return found


def _transformed() -> bool:
    """Inside a vmap, jvp or grad of the module's own, where tensors have no storage: what comes out of it is seen, not its steps."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def _before(module: nn.Module, args: Any) -> None:
    watch = getattr(_local, "watch", None)
    if watch is not None:
        watch.enter(module)
        go_on()  # behind it: torch calls `_after` for this module too where this raises


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
