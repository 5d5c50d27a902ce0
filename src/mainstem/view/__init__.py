"""Draws: a trace as one offline page or one picture, a map as a diagram, a few numbers as a chart."""

from ._charts import grid, lines
from ._compatibility import compatibility
from ._diagram import diagram
from ._page import page, save_page
from ._river import river
from ._svg import Picture

__all__ = ["Picture", "compatibility", "diagram", "grid", "lines", "page", "river", "save_page"]
