"""Draws: a model as pages served on this machine, a trace as one offline page or one picture, a map as a diagram, a few numbers or a table of scores as a chart."""

from ._altair import Chart, check_charts
from ._charts import grid, lines
from ._compatibility import compatibility
from ._curves import additivity, lower_layer_curve
from ._diagram import diagram
from ._layers import query_histogram, score_by_layer
from ._maps import head_map, source_map
from ._outlier_page import dimension_map, effect_chart, outlier_page
from ._page import framed, page, save_page
from ._panels import panels
from ._plot import plot
from ._points import by_point
from ._ranking import top_components
from ._river import river
from ._serve import Served, serve
from ._svg import MINUS, Picture
from ._turns import Answer, Asked, Superseded, Turn
from ._widget import widget

__all__ = [
    "MINUS",
    "Answer",
    "Asked",
    "Chart",
    "Picture",
    "Served",
    "Superseded",
    "Turn",
    "additivity",
    "by_point",
    "check_charts",
    "compatibility",
    "diagram",
    "dimension_map",
    "effect_chart",
    "framed",
    "grid",
    "head_map",
    "lines",
    "lower_layer_curve",
    "outlier_page",
    "page",
    "panels",
    "plot",
    "query_histogram",
    "river",
    "save_page",
    "score_by_layer",
    "serve",
    "source_map",
    "top_components",
    "widget",
]
