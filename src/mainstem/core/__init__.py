"""Words that every room shares: errors, keys of calls, labels, results, plain-data records."""

from ._errors import InputError, LoadError, MainstemError, MapError, NoStreamError, NotClosedError
from ._keys import Key, Path, Site, show

__all__ = [
    "InputError",
    "Key",
    "LoadError",
    "MainstemError",
    "MapError",
    "NoStreamError",
    "NotClosedError",
    "Path",
    "Site",
    "show",
]
