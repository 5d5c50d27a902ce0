"""The map of a module: its streams, and the proof of them."""

from dataclasses import dataclass
from typing import Any

from mainstem.core import Key, from_plain, to_plain

from ._map import Proof, Stream
from ._show import frame, text


@dataclass(frozen=True, slots=True)
class StreamMap:
    """The residual streams of a module, plain data, valid for every input of the same form. Made by `find`.

    Parameters: `module`, the module's class; `streams`, the main one first; `volatile`, calls whose tensors are overwritten
    later in the pass; `proof`.
    """

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
        return frame(self.streams)

    def __str__(self) -> str:
        return text(self.module, self.streams, self.proof)
