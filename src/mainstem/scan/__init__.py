"""Loops over data: examples through measures and scores, in one process or on many machines, into a folder that keeps what is done."""

from ._batches import Batch, Batching, batches, token_at
from ._differences import differences
from ._gather import Gather, Related, called, checksum, choices_of
from ._local import local
from ._merge import Merged, merge
from ._ray import Ray
from ._reader import Reader
from ._rows import Example
from ._scan import Summary, scan
from ._source import Source, source
from ._survey import PIECE, Piece, Survey, survey
from ._work import Job

__all__ = [
    "PIECE",
    "Batch",
    "Batching",
    "Example",
    "Gather",
    "Job",
    "Merged",
    "Piece",
    "Ray",
    "Reader",
    "Related",
    "Source",
    "Summary",
    "Survey",
    "batches",
    "called",
    "checksum",
    "choices_of",
    "differences",
    "local",
    "merge",
    "scan",
    "source",
    "survey",
    "token_at",
]
