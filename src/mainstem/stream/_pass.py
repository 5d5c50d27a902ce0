"""One forward pass held for reading: points, writes, the frozen maps between them."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, wraps
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from mainstem.algebra import Affine, Call, Program, at_places, raised_to, rows_at, tensors
from mainstem.core import InputError, Key, Site, parse_label
from mainstem.find import Captured, Patch, Stream, StreamMap, Write, run

T = TypeVar("T")
_LOW = (torch.bfloat16, torch.float16)
_INSIDE = re.compile(r"\.(bias|B\d+)$")  # the constant of a write, or one of several branches that it is a sum of


@dataclass
class Cut:
    """One position of every prompt, the only one that the output is computed at: the rows of its product are left away.

    Parameters: `site`, the operand of that product; `places`, the positions; `length`, how many there are.
    """

    site: Site
    places: Tensor
    length: int

    def patch(self) -> Patch:
        """The cut as a change of the run."""
        return Patch(self.site, lambda rows: rows_at(rows, self.places, self.length))


@dataclass
class Pass:
    """What one run of a module left: the calls that the map needs, nothing expanded.

    `stream` is the stream looked at. In bfloat16 and float16 all algebra is done in float32 on the run's own values. A module
    in float64 runs in float64 throughout: what it casts to less inside, as most RMS norms do, stays in float64. `trail` is
    the readout with nothing frozen; `cut` says where the output was computed, if not at every position; `only` names the one write
    that levels take apart, None for every write.
    """

    module: nn.Module
    map: StreamMap
    stream: Stream
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    seen: Captured
    patches: tuple[Patch, ...] = ()
    grad: bool = False
    trail: Affine | None = None
    cut: Cut | None = None
    only: str | None = None
    inside: Captured | None = field(default=None, repr=False)  # captured since, for what else will be asked

    @cached_property
    def low(self) -> bool:
        """Whether some of the stream was in a precision too low for exact sums: a point, a write or what is between them."""
        return any(_is_low(self.seen.calls[key]) for key in self.stream.keys())

    def rough(self, write: Write, seen: Captured) -> bool:
        """Whether a write was made in such a precision, that of the stream or another. Parameters: `write`; `seen`."""
        return self.low or (write.writer is not None and any(_is_low(seen.calls[k]) for k in write.writer.program.keys()))

    @property
    def prompts(self) -> int:
        """How many prompts, rows or images the run is of."""
        return self.raw_point(0).shape[0] if self.stream.output is None else self.output().shape[0]

    @cached_property
    def double(self) -> bool:
        """Whether the module is in float64."""
        return is_double(self.module)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the algebra: the run's own, float32 for a bfloat16 or float16 run."""
        return torch.float32 if self.low else self.raw_point(len(self.stream.points) - 1).dtype

    def raw_point(self, t: int) -> Tensor:
        """The sum at point t as the run had it. Parameters: `t`, 0 is the entry."""
        return self.seen.at(self.stream.points[t].site)

    def point(self, t: int) -> Tensor:
        """The sum at point t, in the precision of the algebra. Parameters: `t`."""
        return self.shaped(self.lift(self.raw_point(t)))

    def face(self, t: int) -> Tensor:
        """What the next block reads of point t: the sum itself, or what a norm or a ReLU makes of it. Parameters: `t`."""
        with torch.set_grad_enabled(self.grad):
            return self.shaped(self.affine(self.stream.points[t].face).live(self.point(t)))

    def write(self, write: Write) -> Tensor:
        """What a write adds, its factor included. Parameters: `write`."""
        value = self.shaped(self.lift(self.seen.at(write.site)))
        return value if write.factor == 1 else write.factor * value

    def edited(self, site: Site) -> bool:
        """Whether an edit changed the tensor at a site. Parameters: `site`."""
        return any(patch.site == site for patch in self.patches)

    def factor(self, t: int) -> float:
        """What the stream's operand of addition t is multiplied by: nothing comes through where the skip was taken away. Parameters: `t`."""
        point = self.stream.points[t]
        return 0.0 if point.stream is not None and self.edited(point.stream) else point.factor

    def output(self) -> Tensor:
        """The output that the readout leads to, in the precision of the algebra."""
        if self.stream.output is None:
            raise InputError("nothing of the module's output can be followed back to this stream, so it has no readout to score.")
        return self.shaped(self.lift(self.seen.at(self.stream.output)))

    def lift(self, value: Tensor) -> Tensor:
        """A value in the precision of the algebra. Parameters: `value`."""
        return value.float() if value.dtype in _LOW else value

    @cached_property
    def places(self) -> torch.Size:
        """Prompts and positions, as a point has them that has an axis for each; empty where none has."""
        shapes = (self.raw_point(t).shape for t in range(len(self.stream.points)))
        return torch.Size(next((shape[:2] for shape in shapes if len(shape) == 3), ()))

    @cached_property
    def spread(self) -> tuple[int, ...]:
        """Prompts, and their positions where the stream has some: prompts first, whatever the points have first."""
        sizes = tuple(self.places)
        return sizes[::-1] if sizes and sizes[0] != self.prompts else sizes or (self.prompts,)

    def shaped(self, value: Tensor) -> Tensor:
        """A tensor of the stream with an axis each for prompts and positions: some modules add with both on one.

        Parameters: `value`, of the stream's shape or with its rows on one axis.
        """
        flat = value.ndim == 2 and len(self.places) == 2 and value.shape[0] == self.places.numel()
        return value.reshape(*self.places, -1) if flat else value

    def affine(self, program: Program, seen: Captured | None = None) -> Affine:
        """A program frozen at this run. Parameters: `program`; `seen`, a later run of the same input with more captured."""
        found = self.frozen(program, seen)
        return Affine(found.program, tuple(map(self.raised, found.calls)))

    def frozen(self, program: Program, seen: Captured | None = None) -> Affine:
        """A program with this run's calls as they were made. Parameters: as of `affine`."""
        found, cut = program.bind((seen or self.seen).calls), self.cut
        if cut is None or cut.site.key not in program.keys():
            return found
        return at_places(found, program.keys().index(cut.site.key), cut.places, cut.length)

    def raised(self, call: Call) -> Call:
        """A call in the precision of the algebra. Parameters: `call`."""
        return raised_to(call, self.dtype) if self.low or self.double or _is_low(call) else call

    def hold(self, keys: set[Key]) -> None:
        """Captures calls by one run for all that is asked of them afterwards. Parameters: `keys`, none to let go of what was held."""
        self.inside = self.again(keys) if keys else None

    def again(self, keys: set[Key]) -> Captured:
        """The same run once more, other calls captured; this one itself where it holds them. Parameters: `keys`."""
        for held in (self.seen, self.inside):
            if held is not None and keys <= held.calls.keys():
                return held
        patches = (*self.patches, self.cut.patch()) if self.cut else self.patches
        with torch.set_grad_enabled(self.grad):
            found = run(self.module, self.args, self.kwargs, keys, patches, self.map.volatile, self.double, partly=True)
        if self.only:  # its parts are asked for one after the other
            self.inside = found
        return found


def graded(f: Callable[..., T]) -> Callable[..., T]:
    """Makes a function of a pass record gradients only where the pass did. Parameters: `f`, its first argument the pass."""

    @wraps(f)
    def wrapped(run: Pass, *args: Any, **kwargs: Any) -> T:
        with torch.set_grad_enabled(run.grad):
            return f(run, *args, **kwargs)

    return wrapped


def _is_low(call: Call) -> bool:
    return any(t.dtype in _LOW for _, t in tensors((call.args, tuple(call.kwargs.values()), call.out)))


def is_double(module: nn.Module) -> bool:
    """Whether a module is in float64. Parameters: `module`."""
    return next((p.dtype for p in module.parameters() if p.is_floating_point()), None) == torch.float64


def find_write(stream: Stream, label: str) -> Write:
    """The write that a label is of, or is inside of: `L3.attn` for L3.attn.H7 and for L3.attn.bias.

    Parameters: `stream`; `label`. Raises `InputError` with the writes that there are where there is none.
    """
    name = parse_label(label).write
    whole = whole_label(name)
    for write in (*stream.entry, *stream.writes):
        if write.label in (name, whole):
            return write
    inner = next((w for w in (*stream.entry, *stream.writes) if name.startswith(f"{w.label}.")), None)
    if inner is not None:
        forms = ", ".join(f"{inner.label}{end}" for end in (".H1", ".H1<-3", ".H1.D2", ".N12", ".E4.N12"))
        raise InputError(f"{label!r} names nothing inside of {inner.label}: parts of writes are named as in {forms}.")
    raise InputError(f"no write {name!r} in this model{_nearest(stream, name)}")


def whole_label(label: str) -> str:
    """The label of the write that one of its branches or its constant is of. Parameters: `label`."""
    return _INSIDE.sub("", label)


def find_point(stream: Stream, label: str) -> int | None:
    """The index of a point by its label, None where it is none: `L3.resid_post`, `L0.resid_pre`, `entry`.

    Parameters: `stream`; `label`.
    """
    names = [p.name for p in stream.points]
    if not isinstance(label, str):
        raise InputError(f"a label is text such as 'L3.mlp' or {names[-1]!r}, not {label!r}.")
    if label in names:
        return names.index(label)
    head, _, tail = label.rpartition(".")
    if tail != "resid_pre":
        return None
    block = parse_label(head).write.rpartition("L")[2]
    return pre_point(stream, int(block)) if block.isdigit() else None


def pre_point(stream: Stream, block: int) -> int | None:
    """The index of the point that a block reads. Parameters: `stream`; `block`."""
    return next((i for i, p in enumerate(stream.points[1:]) if p.block == block), None)


def _nearest(stream: Stream, name: str) -> str:
    return no_such(name, [w.label for w in (*stream.entry, *stream.writes)], [p.name for p in stream.points])


def no_such(name: str, known: Sequence[str], more: Sequence[str] = ()) -> str:
    """How a message ends about a name that there is not: with those that there are, and those nearest to it.

    Parameters: `name`; `known`; `more`, names of other things that may have been meant.
    """
    near = get_close_matches(name, [*known, *more], 3, 0.75)
    some = ", ".join(known) if len(known) < 9 else f"{', '.join(known[:6])} ... {', '.join(known[-2:])}"
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"; there are {some}.{meant}"
