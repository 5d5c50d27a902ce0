"""The objects that users hold."""

from ._ablation_curve import ablation_curve
from ._ablation_result import AblationCurve
from ._channel_page import channel_page
from ._direction import Direction
from ._direction_page import direction_page
from ._edit_effect import EditEffect, edit_effect, edit_loss
from ._erasers import ErasersResult
from ._figures import figures
from ._generate import Generation
from ._heads import HeadResult
from ._input_shift import InputShift, input_shift
from ._lab import lab_chart, shap_chart
from ._lens import LensResult
from ._means import Means
from ._measure import measure, merge, scan
from ._measurements import Measurements
from ._model import Model, load
from ._outliers import OutlierReport, outlier_report
from ._patched import PatchingResult
from ._patching import activation_patching, attribution_patching
from ._queries import QueriesResult
from ._result import Result
from ._rotate import rotate
from ._scaled import SubspaceScale, subspace_scale
from ._taken import mean, patch, resample
from ._target import AnyOf, Contrast, TokenSequence, any_of, contrast, sequence
from ._top import TopResult
from ._trace import Trace
from ._tuned import TunedLens
from ._view import view, widget
from ._words import WordsResult, save_words
from ._zoo import verify_zoo

__all__ = [
    "AblationCurve",
    "AnyOf",
    "Contrast",
    "Direction",
    "EditEffect",
    "ErasersResult",
    "Generation",
    "HeadResult",
    "InputShift",
    "LensResult",
    "Means",
    "Measurements",
    "Model",
    "OutlierReport",
    "PatchingResult",
    "QueriesResult",
    "Result",
    "SubspaceScale",
    "TokenSequence",
    "TopResult",
    "Trace",
    "TunedLens",
    "WordsResult",
    "ablation_curve",
    "activation_patching",
    "any_of",
    "attribution_patching",
    "channel_page",
    "contrast",
    "direction_page",
    "edit_effect",
    "edit_loss",
    "figures",
    "input_shift",
    "lab_chart",
    "load",
    "mean",
    "measure",
    "merge",
    "outlier_report",
    "patch",
    "resample",
    "rotate",
    "save_words",
    "scan",
    "sequence",
    "shap_chart",
    "subspace_scale",
    "verify_zoo",
    "view",
    "widget",
]
