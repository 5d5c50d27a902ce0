"""The embedded model, and loading of others: by id, folder or module."""

from ._inputs import Inputs, example, prepare
from ._load import Loaded, load
from ._streamless import STREAMLESS
from ._text import Codec
from ._zoo import KINDS, Architecture, Small, architectures, small

__all__ = [
    "KINDS",
    "STREAMLESS",
    "Architecture",
    "Codec",
    "Inputs",
    "Loaded",
    "Small",
    "architectures",
    "example",
    "load",
    "prepare",
    "small",
]
