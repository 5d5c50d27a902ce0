"""The objects that users hold."""

from ._lens import LensResult
from ._model import Model, load
from ._result import Result
from ._target import Contrast, contrast
from ._top import TopResult
from ._trace import Trace
from ._words import WordsResult, save_words
from ._zoo import verify_zoo

__all__ = [
    "Contrast",
    "LensResult",
    "Model",
    "Result",
    "TopResult",
    "Trace",
    "WordsResult",
    "contrast",
    "load",
    "save_words",
    "verify_zoo",
]
