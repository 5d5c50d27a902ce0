"""The readout from the last sum of a stream, noted as it happens: by the norm's own rule, or frozen."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.algebra import Affine, Program, at_places, raised_to
from mainstem.core import InputError, Key
from mainstem.find import Captured, Patch, Stream, StreamMap

from ._pass import Cut, is_double
from ._take import Trail, cut_at

NORMS = ("own", "final")


class Noted(Trail):
    """A run of a module in which all that follows the last sum is noted; what is asked for of it is captured.

    Parameters: `module`; `found`, its map; `stream`; `keys`, of calls to capture; `patches`.
    """

    def __init__(
        self, module: nn.Module, found: StreamMap, stream: Stream, keys: Collection[Key], patches: Iterable[Patch] = ()
    ) -> None:
        last, self.flat = stream.points[-1], is_double(module)
        if stream.output is None:
            raise InputError("nothing of the module's output can be followed back to this stream, so it has no readout.")
        every = {*keys, stream.output.key, last.site.key, *last.face.keys(), *last.onward.keys()}
        super().__init__(module, stream, every, list(patches), found.volatile, self.flat)
        self.start, self.stream = (last.site.key, last.site.path), stream
        self.cut: Cut | None = None

    def ran(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], only: Tensor | None = None) -> Tensor:
        """Runs the module and returns its output. Parameters: `args` and `kwargs`; `only`, [batch], the position that it is wanted of."""
        self.cut = None if only is None else cut_at(self.stream, only, args, kwargs)
        if self.cut is not None:
            self.patches.setdefault(self.cut.site.key, []).append(self.cut.patch())
        with torch.no_grad(), self.watch:
            self.captured.result = self.watch.root(*args, **kwargs)
        self.check()
        assert self.stream.output is not None
        return self.captured.at(self.stream.output)

    def readout(self, norm: str) -> Callable[[Tensor], Tensor]:
        """From a last sum to the output. Parameters: `norm`, "own", live, or "final", frozen at this run."""
        if norm == "final":
            return frozen(self.captured, self.stream, self.cut, self.flat)
        found = self.affine()
        assert found is not None
        return _narrowed(found, self.cut, self.flat).live


def frozen(seen: Captured, stream: Stream, cut: Cut | None, double: bool) -> Callable[[Tensor], Tensor]:
    """The readout frozen at a run. Parameters: `seen`, that run; `stream`; `cut`; `double`, whether the module is in float64."""
    last = stream.points[-1]
    face, onward = (_narrowed(p.bind(seen.calls), cut, double) for p in (last.face, last.onward))
    return lambda x: onward(face(x))


def live(seen: Captured, program: Program, double: bool) -> Affine:
    """A program bound to a run, to be applied live. Parameters: `seen`; `program`; `double`, whether the module is in float64."""
    return _narrowed(program.bind(seen.calls), None, double)


def _narrowed(found: Affine, cut: Cut | None, double: bool) -> Affine:
    keys = found.program.keys()
    if cut is not None and cut.site.key in keys:
        found = at_places(found, keys.index(cut.site.key), cut.places, cut.length)
    return replace(found, calls=tuple(raised_to(c, torch.float64) for c in found.calls)) if double else found
