"""The module run again with what its norms divide by worked out anew, held as it was, or left out."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from mainstem.algebra import Affine, Call, Program, Step, Wire, base_name, unscaled
from mainstem.core import InputError, Key, MapError, show
from mainstem.find import Patch, Tap

from ._pass import Pass

SCALES = ("live", "frozen", "absent")
_FUSED = frozenset(("layer_norm", "rms_norm", "group_norm", "normalize"))
_ROOTS, _LENGTHS = frozenset(("sqrt", "rsqrt")), frozenset(("norm", "vector_norm", "linalg_vector_norm", "std"))
_POWERS = (0.5, -0.5)


class Rerun:
    """Runs of a pass again, with changes, in which its norms divide by what they did, or by nothing.

    Norms are those of one call (layer, RMS and group norms, `normalize`) and those that are spelled out, of which a root, or a
    length, that is one number a row is held or set to one; norms of queries and keys are norms too. "absent" leaves a norm its
    gain, its shift and the mean that it subtracts. A batch norm in eval mode divides by weights, and stays.

    Parameters: `run`.
    """

    def __init__(self, run: Pass) -> None:
        self.run = run

    @cached_property
    def _held(self) -> dict[Key, Call]:
        """The calls of this run that scales are made in."""
        tap = _Scales(self.run, "live", {}, self.run.patches)
        self._ran(tap)
        return tap.held

    def changed(self, changes: Iterable[Patch], scales: str = "frozen", grad: bool = False) -> Pass:
        """The run with changes beside its own edits. Parameters: `changes`; `scales`, one of `SCALES`; `grad`, record gradients.

        Raises `InputError` for another rule, and where a group norm is to have no scale.
        """
        if scales not in SCALES:
            raise InputError(f"no rule {scales!r} for the norms' scales; there are {', '.join(SCALES)}.")
        held = self._held if scales == "frozen" else {}
        tap = _Scales(self.run, scales, held, (*self.run.patches, *changes))
        self._ran(tap, grad)
        return replace(self.run, seen=tap.captured, patches=tuple(tap.changes), grad=grad)

    def _ran(self, tap: "_Scales", grad: bool = False) -> None:
        with torch.set_grad_enabled(grad), tap.watch:
            tap.captured.result = self.run.module(*self.run.args, **self.run.kwargs)
        tap.check()


class _Scales(Tap):
    """Captures the stream, edits, and does to norms as told. Parameters: as of `Rerun` and its runs; `held`, calls of the run before."""

    def __init__(self, run: Pass, scales: str, held: dict[Key, Call], changes: Iterable[Patch]) -> None:
        self.changes, self.scales, self.held = tuple(changes), scales, held
        patches = (*self.changes, run.cut.patch()) if run.cut else self.changes
        super().__init__(run.module, run.stream.keys(), patches, run.map.volatile, run.double)
        self.at: Key = ("", 0, "", 0)
        self.watch.everything()

    def __call__(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.at = key
        return super().__call__(key, name, func, args, kwargs)

    def _call(self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        base = base_name(name)
        if base not in _FUSED:
            out = super()._call(name, func, args, kwargs)
            return self._rooted(Call(base, func, args, kwargs, out)) if _is_scale(base, args, out) else out
        call = Call(base, func, args, kwargs, None)
        if self.scales == "live":
            self.held[self.at] = replace(call, args=(args[0].detach().clone(), *args[1:]))
            return super()._call(name, func, args, kwargs)
        if self.scales == "absent" and base == "group_norm":
            raise InputError("a group norm's scale cannot be left out: take scales 'live' or 'frozen'.")
        one = Affine(Program((Step(self.at, (Wire((0,), -1),)),)), (self._known() if self.scales == "frozen" else call,))
        return (one if self.scales == "frozen" else unscaled(one))(args[0])

    def _rooted(self, call: Call) -> Any:
        """A root that is one number a row."""
        if self.scales == "live":
            self.held[self.at] = replace(call, args=(), kwargs={}, out=call.out.detach().clone())
            return call.out
        return torch.ones_like(call.out) if self.scales == "absent" else self._known().out

    def _known(self) -> Call:
        if self.at not in self.held:
            raise MapError(f"with this change the module runs other norms than before, the first at {show(self.at)}.")
        return self.held[self.at]


def _is_scale(base: str, args: tuple[Any, ...], out: Any) -> bool:
    if not isinstance(out, Tensor) or not out.is_floating_point() or out.ndim < 2 or out.shape[-1] != 1:
        return False
    return base in _ROOTS or base in _LENGTHS or (base in ("pow", "float_power") and len(args) > 1 and args[1] in _POWERS)
