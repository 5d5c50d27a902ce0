"""Finds residual streams and proves them; the interception by which forward passes are read and edited."""

from ._find import find
from ._map import Point, Proof, Stream, Write
from ._prove import transport
from ._run import Captured, Patch, Tap, run
from ._show import bottleneck
from ._stream_map import StreamMap
from ._subkeys import Subkey
from ._writers import Attention, Source, Writer

__all__ = [
    "Attention",
    "Captured",
    "Patch",
    "Point",
    "Proof",
    "Source",
    "Stream",
    "StreamMap",
    "Subkey",
    "Tap",
    "Write",
    "Writer",
    "bottleneck",
    "find",
    "run",
    "transport",
]
