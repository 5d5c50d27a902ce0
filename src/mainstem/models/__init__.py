"""The embedded model, and loading of others: by id, folder or module."""

from ._inputs import Inputs, example, prepare
from ._load import Loaded, load
from ._text import Codec

__all__ = ["Codec", "Inputs", "Loaded", "example", "load", "prepare"]
