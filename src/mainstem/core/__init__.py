"""Words that every room shares: errors, keys of calls, labels, results, plain-data records."""

from ._bounds import FACTOR, bound, error
from ._checks import a_kind, file_path, fits, kind_said, real, whole
from ._errors import InputError, LoadError, MainstemError, MapError, NoStreamError, NotClosedError
from ._files import whole_file
from ._keys import Key, Path, Site, show
from ._labels import Label, parse_label
from ._memory import give_back
from ._plain import finite, from_plain, to_plain
from ._progress import go_on, heeding, listening, progress_bar, tracked
from ._provenance import Provenance, versions
from ._result import Group, Parts, Tops, name_inside

__all__ = [
    "FACTOR",
    "Group",
    "InputError",
    "Key",
    "Label",
    "LoadError",
    "MainstemError",
    "MapError",
    "NoStreamError",
    "NotClosedError",
    "Parts",
    "Path",
    "Provenance",
    "Site",
    "Tops",
    "a_kind",
    "bound",
    "error",
    "file_path",
    "finite",
    "fits",
    "from_plain",
    "give_back",
    "go_on",
    "heeding",
    "kind_said",
    "listening",
    "name_inside",
    "parse_label",
    "progress_bar",
    "real",
    "show",
    "to_plain",
    "tracked",
    "versions",
    "whole",
    "whole_file",
]
