"""Finds residual streams and proves them; the interception by which forward passes are read and edited."""

from ._basis import basis
from ._find import find
from ._map import Point, Proof, Stream, Write
from ._norm_form import Norm, unscaled
from ._prove import transport
from ._run import Captured, Patch, Tap, run
from ._show import bottleneck
from ._stream_map import StreamMap
from ._subkeys import Subkey
from ._weights import Basis, Slot
from ._writers import Attention, Source, Writer

__all__ = [
    "Attention",
    "Basis",
    "Captured",
    "Norm",
    "Patch",
    "Point",
    "Proof",
    "Slot",
    "Source",
    "Stream",
    "StreamMap",
    "Subkey",
    "Tap",
    "Write",
    "Writer",
    "basis",
    "bottleneck",
    "find",
    "run",
    "transport",
    "unscaled",
]
