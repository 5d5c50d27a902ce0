"""The errors that users meet.

MainstemError
├── NoStreamError      the module has no residual stream; the message says what was looked for and seen
├── NotClosedError     a decomposition or a proof does not hold; the message says where it stopped holding
├── MapError           a run does not fit the map that was made of the module
├── LoadError          a model cannot be loaded
└── InputError         a prompt, a token, a label or an option is not usable (also a ValueError)
"""


class MainstemError(Exception):
    """Base of every error that mainstem raises on purpose."""


class NoStreamError(MainstemError):
    """The module has no residual stream."""


class NotClosedError(MainstemError):
    """Parts do not sum to the whole, or a proof of the stream fails."""


class MapError(MainstemError):
    """A run of the module does not match the map: other additions, other calls."""


class LoadError(MainstemError):
    """A model, its weights or its tokenizer cannot be loaded."""


class InputError(MainstemError, ValueError):
    """Something that was passed in cannot be used; the message names the fix."""
