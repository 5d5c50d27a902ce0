"""Runs a mapped module and takes its stream apart: points, writes, subvalues, carrying, edits."""

from ._attention import factors, heads
from ._edit import Edit, patches, zero
from ._parts import LEVELS, applies, needed, opened, subscores, subvector, writer_map
from ._pass import Pass, find_point, find_write, graded, pre_point, refit, take
from ._places import Places, reduce
from ._readout import readout
from ._sweep import Row, Sweep, carry, pull, push, rows, through, transport

__all__ = [
    "LEVELS",
    "Edit",
    "Pass",
    "Places",
    "Row",
    "Sweep",
    "applies",
    "carry",
    "factors",
    "find_point",
    "find_write",
    "graded",
    "heads",
    "needed",
    "opened",
    "patches",
    "pre_point",
    "pull",
    "push",
    "readout",
    "reduce",
    "refit",
    "rows",
    "subscores",
    "subvector",
    "take",
    "through",
    "transport",
    "writer_map",
    "zero",
]
