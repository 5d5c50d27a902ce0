"""A forward pass with chosen calls captured and chosen tensors replaced, by the one interception."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mainstem.algebra import Call, dig, is_inplace, put, tensors
from mainstem.core import Key, MapError, Site, show

from ._double import call_double
from ._refuse import Guard, refuse_autocast
from ._watch import Watch


@dataclass(frozen=True, slots=True)
class Patch:
    """Replace the tensor at `site` by `change` of it while the module runs; where `seeing`, of it and of the call that it is in."""

    site: Site
    change: Callable[..., Tensor]
    seeing: bool = False


@dataclass
class Captured:
    """The calls that were asked for, by key, and what the module returned."""

    calls: dict[Key, Call] = field(default_factory=dict)
    result: Any = None

    def at(self, site: Site) -> Tensor:
        """The tensor that stood at a site. Parameters: `site`."""
        call = self.calls[site.key]
        return dig(call.out, site.path) if site.role == "out" else call.arg(site.path)


def run(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    keys: Collection[Key] = (),
    patches: Iterable[Patch] = (),
    volatile: Collection[Key] = (),
    double: bool = False,
) -> Captured:
    """Runs the module once.

    Parameters: `module`; `args` and `kwargs`, its inputs; `keys`, calls to capture; `patches`, edits; `volatile`, captured
    calls whose tensors are overwritten later and must be copied; `double`, rewrite casts to lower precision to float64.
    Raises `MapError` where a wanted call did not happen.
    """
    tap = Tap(module, keys, patches, volatile, double)
    with tap.watch:
        tap.captured.result = module(*args, **kwargs)
    tap.check()
    return tap.captured


class Tap:
    """Handler of a watch that captures and edits.

    Parameters: as of `run`.
    """

    def __init__(
        self, module: nn.Module, keys: Collection[Key], patches: Iterable[Patch], volatile: Collection[Key], double: bool = False
    ) -> None:
        refuse_autocast()
        self.captured = Captured()
        self.keys, self.volatile, self.double = frozenset(keys), frozenset(volatile), double
        self.patches: dict[Key, list[Patch]] = {}
        for patch in patches:
            self.patches.setdefault(patch.site.key, []).append(patch)
        # In eval mode nothing draws or trains that `find` has not refused, so only what is mapped is looked at. Casts are anywhere.
        self.guard = Guard(module) if double or any(m.training for m in module.modules()) else None
        self.watch = Watch(module, self, None if self.guard else self.keys | self.patches.keys())
        self.edited: set[Key] = set()

    def __call__(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.guard is not None:
            self.guard.check(key, name, args, kwargs)
        patches = self.patches.get(key, ())
        wanted = key in self.keys
        if not patches and not wanted:
            return self._call(name, func, args, kwargs)
        for patch in patches:
            if patch.site.role == "arg":
                args, kwargs = _patch_argument(patch, Call(name, func, args, kwargs, None))
        copy = key in self.volatile
        kept_args, kept_kwargs = (_copied(args), _copied(kwargs)) if wanted and copy else (args, kwargs)
        out = self._edited([p for p in patches if p.site.role == "out"], name, func, args, kwargs)
        self.edited.add(key)
        if wanted:
            self.captured.calls[key] = Call(name, func, kept_args, kept_kwargs, _copied(out) if copy else out)
        return out

    def check(self) -> None:
        """Raises `MapError` where a wanted call or an edited one did not happen."""
        missing = [k for k in self.keys if k not in self.captured.calls] + [k for k in self.patches if k not in self.edited]
        if missing:
            raise MapError(
                f"this input takes another way through the module: {len(missing)} mapped calls did not happen, the first is "
                f"{show(min(missing))}. Map it again with an input of this form: mainstem.find(module, *inputs)."
            )

    def _edited(self, patches: list[Patch], name: str, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """The call with its results replaced. The module goes on with what an in-place call overwrites, so that is written
        into; the call is made on a copy, since what autograd remembers of it must not be overwritten.
        """
        inplace = bool(patches) and is_inplace(name, kwargs)
        target = (kwargs["out"] if kwargs.get("out") is not None else args[0]) if inplace else None
        if inplace and target is args[0]:
            args = (target.clone(), *args[1:])
        out = self._call(name, func, args, kwargs)
        if out is None and is_inplace(name, kwargs):
            out = args[0]  # an assignment to a part returns nothing; what it made is the whole
        call = Call(name, func, args, kwargs, out)
        for patch in patches:
            out = put(out, patch.site.path, _changed(patch, dig(out, patch.site.path), call))
        return out if target is None else _written(target, out)

    def _call(self, name: str, func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        return call_double(name, func, args, kwargs) if self.double else func(*args, **kwargs)


def _patch_argument(patch: Patch, call: Call) -> tuple[Any, dict[str, Any]]:
    path, args, kwargs = patch.site.path, call.args, call.kwargs
    where = kwargs if isinstance(path[0], str) else args
    old = dig(where, path)
    if is_inplace(call.name, kwargs) and path == (0,):
        old.copy_(patch.change(old.clone()))
        return args, kwargs
    new = _changed(patch, old, call)
    return (args, put(kwargs, path, new)) if where is kwargs else (put(args, path, new), kwargs)


def _changed(patch: Patch, old: Tensor, call: Call) -> Tensor:
    """What an edit puts in, as a tensor of the module's own: one that was kept elsewhere must not be overwritten by it."""
    new = patch.change(old, call) if patch.seeing else patch.change(old)
    return new if new is old else new.clone()


def _written(target: Tensor, new: Tensor) -> Tensor:
    """An in-place call's operand with another value in it, of another size where an edit gave it one."""
    return target.copy_(new) if target.shape == new.shape else target.set_(new)  # type: ignore[call-overload]


def _copied(tree: Any) -> Any:
    for path, tensor in list(tensors(tree)):
        tree = put(tree, path, tensor.clone())
    return tree
