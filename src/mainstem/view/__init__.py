"""Draws: a model as pages served on this machine, a trace as one offline page or one picture, a map as a diagram, a few numbers or a table of scores as a chart."""

from ._ablation import ablation_curve
from ._along import gradients, growth, persistence
from ._altair import Chart, check_charts
from ._charts import grid, lines
from ._compatibility import compatibility
from ._curves import additivity, lower_layer_curve
from ._diagram import diagram
from ._held import LARGEST, save_held
from ._layers import query_histogram, score_by_layer
from ._maps import head_map, source_map
from ._outlier_page import dimension_map, effect_chart, outlier_page
from ._page import framed, page, save_page
from ._panels import panels
from ._plot import plot
from ._points import by_point
from ._ranking import top_components
from ._river import river
from ._scale_curve import scale_curve
from ._serve import Served, serve
from ._shapley import beeswarm, feature_bars, force_by_similarity
from ._svg import MINUS, Picture
from ._token_map import token_map
from ._turns import Answer, Asked, Superseded, Turn
from ._variants import against, intervals
from ._widget import widget

__all__ = [
    "LARGEST",
    "MINUS",
    "Answer",
    "Asked",
    "Chart",
    "Picture",
    "Served",
    "Superseded",
    "Turn",
    "ablation_curve",
    "additivity",
    "against",
    "beeswarm",
    "by_point",
    "check_charts",
    "compatibility",
    "diagram",
    "dimension_map",
    "effect_chart",
    "feature_bars",
    "force_by_similarity",
    "framed",
    "gradients",
    "grid",
    "growth",
    "head_map",
    "intervals",
    "lines",
    "lower_layer_curve",
    "outlier_page",
    "page",
    "panels",
    "persistence",
    "plot",
    "query_histogram",
    "river",
    "save_held",
    "save_page",
    "scale_curve",
    "score_by_layer",
    "serve",
    "source_map",
    "token_map",
    "top_components",
    "widget",
]
