"""The objects that users hold."""

from ._lens import LensResult
from ._model import Model, load
from ._queries import QueriesResult
from ._result import Result
from ._target import Contrast, contrast
from ._top import TopResult
from ._trace import Trace
from ._zoo import verify_zoo

__all__ = ["Contrast", "LensResult", "Model", "QueriesResult", "Result", "TopResult", "Trace", "contrast", "load", "verify_zoo"]
