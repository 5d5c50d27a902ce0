"""The map of a module's residual streams: plain data, valid for every input of the same form."""

from dataclasses import dataclass

import torch

from mainstem.algebra import Program
from mainstem.core import FACTOR, Key, Site

from ._writers import Writer


@dataclass(frozen=True, slots=True)
class Write:
    """One vector that is added to the stream: its label, where it stands, its factor in the sum, what made it."""

    label: str
    kind: str
    block: int
    site: Site
    factor: float = 1.0
    module: str = ""
    writer: Writer | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """A value of the stream: result of an addition (or the entry), the face that is read, and the way on to the next addition.

    `axis` is the axis of features: the last one, or the channels of an image. `site` is where the sum stands; `stream` the operand of this addition that is the stream (None at the entry); `writes`
    what is added to it; `face` leads from the sum to what the next block reads; `onward` from the face to the next
    addition's stream operand, or to the output at the last point.
    """

    site: Site
    stream: Site | None
    factor: float
    writes: tuple[Write, ...]
    face: Program
    onward: Program
    block: int
    name: str
    inner: tuple[Key, ...] = ()
    shape: tuple[int, ...] = ()
    axis: int = -1

    @property
    def width(self) -> int:
        """Features of a token, or channels of an image."""
        return self.shape[self.axis] if self.shape else 1


@dataclass(frozen=True, slots=True)
class Stream:
    """A chain of additions from the entry (`points[0]`) to the last point, and the readout behind it.

    Parameters: `name`, empty where it is the only stream; `points`; `blocks`, the module paths of the blocks that tile the
    chain; `block_kind`, their class; `output`, where the output stands that the readout leads to; `classes`, of the modules
    around a block, the outermost first.
    """

    name: str
    points: tuple[Point, ...]
    blocks: tuple[str, ...]
    block_kind: str
    output: Site | None
    classes: tuple[str, ...] = ()

    @property
    def writes(self) -> tuple[Write, ...]:
        """All writes after the entry, in order."""
        return tuple(w for p in self.points[1:] for w in p.writes)

    @property
    def entry(self) -> tuple[Write, ...]:
        """The parts of the entry."""
        return self.points[0].writes

    @property
    def width(self) -> int:
        """Size of the stream at its last point: features of a token, or channels of an image."""
        return self.points[-1].width

    def keys(self) -> set[Key]:
        """The calls that a run must capture to rebuild points, writes, transports and the readout."""
        keys = {self.output.key} if self.output else set()
        for p in self.points:
            keys |= {p.site.key, *p.inner, *p.face.keys(), *p.onward.keys(), *(w.site.key for w in p.writes)}
            keys |= {p.stream.key} if p.stream else set()
        return keys


def continuity_limit(dtype: torch.dtype) -> float:
    """What transports may miss by, as a share of the stream's size. Parameters: `dtype`, that of the proof."""
    return 100 * FACTOR * torch.finfo(dtype).eps


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved, and how far each part was from holding.

    Parameters: `dtype`, the precision of the proof; `max_error` and `bound`, of the stream rebuilt from entry, writes and
    transports; `continuity`, the most that a transport misses by, as a share of the stream's size; `cut`, the most that what
    follows `cut_points` swapped points differs by; `bypass`, what else had to be swapped; `uncovered`, weights that reach the
    output around the stream; `response`, what a removed write changes the end by beyond what was carried there.
    """

    dtype: str
    max_error: float
    bound: float
    continuity: float
    cut: float
    cut_points: int
    bypass: tuple[str, ...]
    uncovered: tuple[str, ...]
    response: float

    @property
    def closed(self) -> bool:
        """Whether the points rebuilt from entry, writes and transports agree with the run's within the bound.

        The bound is that of sums; transports miss by a share of the stream's size, held against a limit in that unit.
        """
        return self.max_error <= self.bound and self.continuity <= continuity_limit(getattr(torch, self.dtype))
