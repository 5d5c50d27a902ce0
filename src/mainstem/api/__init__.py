"""The objects that users hold."""

from ._direction import Direction
from ._erasers import ErasersResult
from ._figures import figures
from ._generate import Generation
from ._heads import HeadResult
from ._lens import LensResult
from ._means import Means
from ._measure import measure, merge, scan
from ._measurements import Measurements
from ._model import Model, load
from ._outliers import OutlierReport, outlier_report
from ._queries import QueriesResult
from ._result import Result
from ._taken import mean, patch, resample
from ._target import AnyOf, Contrast, TokenSequence, any_of, contrast, sequence
from ._top import TopResult
from ._trace import Trace
from ._tuned import TunedLens
from ._view import view, widget
from ._words import WordsResult, save_words
from ._zoo import verify_zoo

__all__ = [
    "AnyOf",
    "Contrast",
    "Direction",
    "ErasersResult",
    "Generation",
    "HeadResult",
    "LensResult",
    "Means",
    "Measurements",
    "Model",
    "OutlierReport",
    "QueriesResult",
    "Result",
    "TokenSequence",
    "TopResult",
    "Trace",
    "TunedLens",
    "WordsResult",
    "any_of",
    "contrast",
    "figures",
    "load",
    "mean",
    "measure",
    "merge",
    "outlier_report",
    "patch",
    "resample",
    "save_words",
    "scan",
    "sequence",
    "verify_zoo",
    "view",
    "widget",
]
