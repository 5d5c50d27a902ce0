"""The embedded models, and loading of others: by id, folder or module; which weights a model has."""

from ._boundary import continued, continued_by_one
from ._digest import digest, digest_of, stamp
from ._embedded import Embedded, embedded
from ._facts import Fact, facts
from ._inputs import Inputs, advice, example, prepare, reads_images
from ._load import Loaded, load
from ._provenance import provenance
from ._streamless import STREAMLESS
from ._text import Codec
from ._zoo import KINDS, Architecture, Small, architectures, small

__all__ = [
    "KINDS",
    "STREAMLESS",
    "Architecture",
    "Codec",
    "Embedded",
    "Fact",
    "Inputs",
    "Loaded",
    "Small",
    "advice",
    "architectures",
    "continued",
    "continued_by_one",
    "digest",
    "digest_of",
    "embedded",
    "example",
    "facts",
    "load",
    "prepare",
    "provenance",
    "reads_images",
    "small",
    "stamp",
]
