"""The scripts of the page: modules of their own on the server, one text in a file or a notebook."""

import re
from collections.abc import Mapping
from graphlib import TopologicalSorter

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:const|let|class|function|async function) )", re.MULTILINE)


def joined(first: str, files: Mapping[str, str]) -> str:
    """A module and all that it imports as one text without imports, each once, those that are imported first.

    Modules are written for this: their names are unique among all, every import is one line or list of names from "./x.js", every
    export stands before its declaration. A test holds them to it.

    Parameters: `first`, its name; `files`, the texts of all by name.
    """
    wanted: dict[str, list[str]] = {}
    open_ = [first]
    while open_:
        name = open_.pop()
        if name not in wanted:
            wanted[name] = _IMPORT.findall(files[name])
            open_ += wanted[name]
    return "".join(_EXPORT.sub("", _IMPORT.sub("", files[name])) for name in TopologicalSorter(wanted).static_order())
