"""The map of a module's residual streams: plain data, valid for every input of the same form."""

from dataclasses import dataclass
from typing import Any

from mainstem.algebra import Program
from mainstem.core import Key, Site, from_plain, to_plain

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

    `site` is where the sum stands; `stream` the operand of this addition that is the stream (None at the entry); `writes`
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


@dataclass(frozen=True, slots=True)
class Stream:
    """A chain of additions from the entry (`points[0]`) to the last point, and the readout behind it."""

    name: str
    points: tuple[Point, ...]
    blocks: tuple[str, ...]
    block_kind: str
    output: Site | None

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
        shape = self.points[-1].shape
        return shape[1] if len(shape) == 4 else shape[-1]

    def keys(self) -> set[Key]:
        """The calls that a run must capture to rebuild points, writes, transports and the readout."""
        keys = {self.output.key} if self.output else set()
        for p in self.points:
            keys |= {p.site.key, *p.inner, *p.face.keys(), *p.onward.keys(), *(w.site.key for w in p.writes)}
            keys |= {p.stream.key} if p.stream else set()
        return keys


@dataclass(frozen=True, slots=True)
class Proof:
    """What was proved, in which dtype, and how far each part was from holding."""

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
        """Whether the points rebuilt from entry, writes and transports agree with the run's within the bound."""
        return self.max_error <= self.bound and self.continuity <= self.bound


@dataclass(frozen=True, slots=True)
class StreamMap:
    """The streams of a module, the main one first, and the proof of it."""

    module: str
    streams: tuple[Stream, ...]
    volatile: frozenset[Key] = frozenset()
    proof: Proof | None = None

    @property
    def main(self) -> Stream:
        """The stream that most of the module's weights write to."""
        return self.streams[0]

    def to_dict(self) -> dict[str, Any]:
        """The map as plain JSON types."""
        return dict(to_plain(self))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "StreamMap":
        """The map that `to_dict` gave. Parameters: `data`."""
        return from_plain(cls, data)

    def frame(self) -> Any:
        """A tidy polars frame, one row a write: stream, block, point, write, kind, module, operation, sources, transport."""
        from ._show import frame

        return frame(self)

    def __str__(self) -> str:
        from ._show import text

        return text(self)
