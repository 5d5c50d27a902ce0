"""The embedded model, and loading of others: by id, folder or module."""

from ._facts import Fact, facts
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
    "Fact",
    "Inputs",
    "Loaded",
    "Small",
    "architectures",
    "example",
    "facts",
    "load",
    "prepare",
    "small",
]
