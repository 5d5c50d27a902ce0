"""One run of a module taken: what the map needs is held, and the readout is noted as it happens."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.algebra import Affine, Call, Program, Step, Wire, dig, is_inplace, last_product, put, rows_at, tensors
from mainstem.core import InputError, Key, Path, Site, bound, error
from mainstem.find import Patch, Stream, StreamMap, Tap, find

from ._parts import LEVELS, applies, needed
from ._pass import Cut, Pass, is_double


def take(
    module: nn.Module,
    found: StreamMap,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    patches: tuple[Patch, ...] = (),
    stream: str | None = None,
    grad: bool = False,
    levels: Collection[str] = (),
    only: Tensor | None = None,
) -> Pass:
    """Runs the module and keeps what the map needs.

    Parameters: `module`; `found`, its map; `args` and `kwargs`, the input; `patches`, edits; `stream`, the stream to look at
    by name (the main one); `grad`, record gradients; `levels`, below "write", that are held too, so that their scores need
    no second run; `only`, [batch], compute the output at one position of every prompt, where the module allows it.
    """
    chosen = found.main if stream is None else next((s for s in found.streams if s.name == stream), None)
    if chosen is None:
        raise InputError(f"no stream {stream!r}; there are {', '.join(s.name or '(main)' for s in found.streams)}.")
    if unknown := set(levels) - set(LEVELS):
        raise InputError(f"no level {min(unknown)!r}; there are {', '.join(LEVELS)}.")
    keys = chosen.keys() | {k for level in levels for w in chosen.writes if applies(w, level) for k in needed(w)}

    def made(cut: Cut | None) -> Pass:
        every = (*patches, cut.patch()) if cut else patches
        trail = Trail(module, chosen, keys, every, found.volatile, is_double(module))
        with torch.set_grad_enabled(grad), trail.watch:
            trail.captured.result = module(*args, **kwargs)
        trail.check()
        return Pass(module, found, chosen, args, dict(kwargs), trail.captured, tuple(patches), grad, trail.affine())

    cut = None if only is None else cut_at(chosen, only, args, kwargs)
    return (_tried(made, cut) if cut else None) or made(None)


def refit(run: Pass) -> Pass:
    """The run made again on a map of its very input: another input's writes may have come by calls that do not happen here.

    Parameters: `run`.
    """
    found, only = find(run.module, *run.args, **run.kwargs), run.cut.places if run.cut else None
    return take(run.module, found, run.args, run.kwargs, run.patches, run.stream.name or None, run.grad, (), only)


def cut_at(stream: Stream, only: Tensor, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Cut | None:
    """Where rows can be left away; the length is that of the ids, the one input of integers with a row for each prompt.

    Parameters: `stream`; `only`, [batch], the position that is kept; `args` and `kwargs`, the input.
    """
    onward = stream.points[-1].onward
    at = last_product(onward)
    lengths = {t.shape[1] for _, t in tensors((args, dict(kwargs))) if not t.is_floating_point() and t.ndim == 2}
    if at is None or len(lengths) != 1 or lengths == {1}:
        return None
    step = onward.steps[at]
    return Cut(Site(step.key, "arg", step.wires[0].operand), only, *lengths)


def _tried(made: Callable[[Cut | None], Pass], cut: Cut) -> Pass | None:
    """The run with rows left away; None where the module's own code needs them all, or the rows are not the stream's."""
    try:
        run = made(cut)
    except Exception:  # whatever the module says of it; the same run without the cut says what is wrong, if anything is
        return None
    shape = run.seen.at(run.stream.output).shape if run.stream.output else ()
    if len(shape) != 3 or shape[:2] != (cut.places.shape[0], 1):
        return None
    last = run.stream.points[-1]
    at = last.onward.keys().index(cut.site.key)
    before = Program(last.onward.steps[:at], last.onward.steps[at].wires[0].output)
    with torch.no_grad():
        rows = run.affine(before)(run.affine(last.face)(run.lift(run.raw_point(-1))))
        seen = run.seen.at(cut.site)
        want = rows_at(rows, cut.places, cut.length)
        fits = want.shape == seen.shape and error(want, seen) <= bound(seen.dtype, want)
    return replace(run, cut=cut) if fits else None


class Trail(Tap):
    """Captures, edits, and notes every call from the last point's face to the output that depends on it.

    The map's own way on will not do for other vectors than the last point: it freezes what it does not carry, and of a norm
    that is spelled out, x * rsqrt(mean(x^2) + eps), it carries x alone.

    Parameters: `module`; `stream`; the others as of `run`.
    """

    def __init__(
        self,
        module: nn.Module,
        stream: Stream,
        keys: Collection[Key],
        patches: Collection[Patch],
        volatile: Collection[Key],
        double: bool,
    ) -> None:
        super().__init__(module, keys, patches, volatile, double)
        last, self.end = stream.points[-1], stream.output
        self.start: tuple[Key, Path] = (
            (last.face.steps[-1].key, last.face.output) if last.face.steps else (last.site.key, last.site.path)
        )
        self.on = False
        self.steps: list[Step] = []
        self.noted: list[Call] = []
        self.made: dict[int, tuple[int, Path]] = {}
        self.kept: list[Any] = []  # alive, so that no other tensor takes their ids

    def __call__(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = (args[0].clone(), *args[1:]) if self.on and is_inplace(name, kwargs) and isinstance(args[0], Tensor) else args
        origin = self.made.get(id(args[0])) if before is not args else None
        out = super().__call__(key, name, func, args, kwargs)
        if self.on:
            if origin is not None:
                self._made(before[0], origin)
            self._note(key, Call(name, func, before, kwargs, None), out)
        elif key == self.start[0] and self.end is not None and key != self.end.key:  # else the output is the face itself
            self.on, self.mapped = True, self.watch.keys
            self._made(dig(out, self.start[1]), (-1, ()))
            self.watch.everything()
        return out

    def _made(self, tensor: Tensor, origin: tuple[int, Path]) -> None:
        self.made[id(tensor)] = origin
        self.kept.append(tensor)

    def _note(self, key: Key, call: Call, out: Any) -> None:
        both = [*tensors(call.args), *tensors(call.kwargs)]
        wires = tuple(Wire(path, *self.made[id(t)]) for path, t in both if id(t) in self.made)
        if wires:
            for path, tensor in tensors(out):
                self._made(tensor, (len(self.steps), path))
            self.steps.append(Step(key, wires))
            self.noted.append(_emptied(call, wires))
        if self.end is not None and key == self.end.key:
            self.on, self.watch.keys = False, self.mapped
            self.kept.clear()

    def affine(self) -> Affine | None:
        """What was noted up to the output."""
        if self.end is None:
            return None
        there = not self.on and self.steps
        return Affine(Program(tuple(self.steps), self.end.path), tuple(self.noted)) if there else Affine(Program(), ())


def _emptied(call: Call, wires: tuple[Wire, ...]) -> Call:
    """The call without the tensors that are replaced when it is made again."""
    args, kwargs = call.args, call.kwargs
    for wire in wires:
        if isinstance(wire.operand[0], str):
            kwargs = put(kwargs, wire.operand, None)
        else:
            args = put(args, wire.operand, None)
    return replace(call, args=args, kwargs=kwargs)
