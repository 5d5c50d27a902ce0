"""The command line: parses what was typed, makes one Python call, prints its result."""

from ._app import app
from ._main import main

__all__ = ["app", "main"]
