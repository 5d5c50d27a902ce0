"""Runs a mapped module and takes its stream apart: points, writes, subvalues, carrying, edits."""

from ._ablated import Ablated, Unshared
from ._activation import Coordinate, activations, by_key_position, keys_of
from ._aim import Aimed, Entries, aimed, transport
from ._attention import factors, heads
from ._behind import NORMS
from ._blocks import SIDES, Block
from ._changes import Change, Held, Mean
from ._edit import Edit, check_finite, named, patches, places, scale, steer, without_skip, zero, zero_dims
from ._exchanges import MODES, Exchange, Source, exchanges
from ._growth import Grown, grown
from ._key_products import key_products
from ._key_vectors import KeyVectors, key_vectors
from ._matrices import Matrices, carried_rows, matrices
from ._ov import Head, head_of, through_head
from ._parts import LEVELS, applies, needed, needed_inside, opened, subscores, subvector, writer_map
from ._pass import Cut, Pass, find_point, find_write, graded, is_double, pre_point
from ._passing import BASES, Shown, passing, shown
from ._places import Places, placed, reduce
from ._rank import Ranks
from ._readout import readout
from ._rotate import rotated
from ._scales import SCALES, Rerun
from ._seated import seated
from ._siblings import PATCHED, Siblings, siblings
from ._spots import Spots, spots
from ._swaps import Swap, Swaps
from ._sweep import Row, Sweep, carry, pull, push, rows, through
from ._take import refit, take
from ._taken import taken
from ._target import Target
from ._targets import targets
from ._tokens import Tokens
from ._type_change import TypeChange, type_change
from ._unembed import spot, unembed
from ._vectors import Vectors, vectors, whole
from ._without import Without

__all__ = [
    "BASES",
    "LEVELS",
    "MODES",
    "NORMS",
    "PATCHED",
    "SCALES",
    "SIDES",
    "Ablated",
    "Aimed",
    "Block",
    "Change",
    "Coordinate",
    "Cut",
    "Edit",
    "Entries",
    "Exchange",
    "Grown",
    "Head",
    "Held",
    "KeyVectors",
    "Matrices",
    "Mean",
    "Pass",
    "Places",
    "Ranks",
    "Rerun",
    "Row",
    "Shown",
    "Siblings",
    "Source",
    "Spots",
    "Swap",
    "Swaps",
    "Sweep",
    "Target",
    "Tokens",
    "TypeChange",
    "Unshared",
    "Vectors",
    "Without",
    "activations",
    "aimed",
    "applies",
    "by_key_position",
    "carried_rows",
    "carry",
    "check_finite",
    "exchanges",
    "factors",
    "find_point",
    "find_write",
    "graded",
    "grown",
    "head_of",
    "heads",
    "is_double",
    "key_products",
    "key_vectors",
    "keys_of",
    "matrices",
    "named",
    "needed",
    "needed_inside",
    "opened",
    "passing",
    "patches",
    "placed",
    "places",
    "pre_point",
    "pull",
    "push",
    "readout",
    "reduce",
    "refit",
    "rotated",
    "rows",
    "scale",
    "seated",
    "shown",
    "siblings",
    "spot",
    "spots",
    "steer",
    "subscores",
    "subvector",
    "take",
    "taken",
    "targets",
    "through",
    "through_head",
    "transport",
    "type_change",
    "unembed",
    "vectors",
    "whole",
    "without_skip",
    "writer_map",
    "zero",
    "zero_dims",
]
