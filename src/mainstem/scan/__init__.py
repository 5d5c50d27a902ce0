"""Loops over data: examples through measures and scores, in one process or on many machines, into a folder that keeps what is done."""

from ._batches import Batch, Batching, batches, token_at
from ._differences import differences
from ._gather import Gather, Related, called, checksum, choices_of
from ._labels import check_classes, counted, labels_of
from ._local import local
from ._merge import Merged, merge
from ._metrics import METRICS, Metric, metric_named
from ._ray import Ray
from ._reader import Reader
from ._rows import Example
from ._scan import Summary, scan
from ._source import Source, source
from ._survey import PIECE, Piece, Survey, survey
from ._tally import Tally
from ._work import Job

__all__ = [
    "METRICS",
    "PIECE",
    "Batch",
    "Batching",
    "Example",
    "Gather",
    "Job",
    "Merged",
    "Metric",
    "Piece",
    "Ray",
    "Reader",
    "Related",
    "Source",
    "Summary",
    "Survey",
    "Tally",
    "batches",
    "called",
    "check_classes",
    "checksum",
    "choices_of",
    "counted",
    "differences",
    "labels_of",
    "local",
    "merge",
    "metric_named",
    "scan",
    "source",
    "survey",
    "token_at",
]
