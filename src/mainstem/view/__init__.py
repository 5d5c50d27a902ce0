"""Draws: a trace as one offline page or one picture, a map as a diagram."""

from ._compatibility import compatibility
from ._diagram import diagram
from ._page import page, save_page
from ._river import river

__all__ = ["compatibility", "diagram", "page", "river", "save_page"]
