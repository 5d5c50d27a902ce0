"""mainstem finds the residual stream of any PyTorch model, proves it, and takes it apart exactly.

import mainstem as ms
trace = ms.load("default").trace("The capital of France is")
print(trace.scores(" Paris"))
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mainstem.api import (
        AnyOf,
        Contrast,
        Direction,
        ErasersResult,
        Generation,
        HeadResult,
        LensResult,
        Means,
        Measurements,
        Model,
        OutlierReport,
        QueriesResult,
        Result,
        TokenSequence,
        TopResult,
        Trace,
        TunedLens,
        WordsResult,
        any_of,
        contrast,
        figures,
        load,
        mean,
        measure,
        merge,
        outlier_report,
        patch,
        resample,
        scan,
        sequence,
        view,
        widget,
    )
    from mainstem.core import InputError, LoadError, MainstemError, MapError, NoStreamError, NotClosedError, Provenance
    from mainstem.find import Proof, Stream, StreamMap, find
    from mainstem.models import Embedded, Fact, embedded, facts
    from mainstem.stream import Edit, KeyVectors, scale, steer, without_skip, zero, zero_dims

__version__ = "0.1.0"

_ROOMS = {
    "api": (
        "AnyOf",
        "Contrast",
        "Direction",
        "ErasersResult",
        "Generation",
        "HeadResult",
        "LensResult",
        "Means",
        "Measurements",
        "Model",
        "OutlierReport",
        "QueriesResult",
        "Result",
        "TokenSequence",
        "TopResult",
        "Trace",
        "TunedLens",
        "WordsResult",
        "any_of",
        "contrast",
        "figures",
        "load",
        "mean",
        "measure",
        "merge",
        "outlier_report",
        "patch",
        "resample",
        "scan",
        "sequence",
        "view",
        "widget",
    ),
    "core": ("InputError", "LoadError", "MainstemError", "MapError", "NoStreamError", "NotClosedError", "Provenance"),
    "find": ("Proof", "Stream", "StreamMap", "find"),
    "models": ("Embedded", "Fact", "embedded", "facts"),
    "stream": ("Edit", "KeyVectors", "scale", "steer", "without_skip", "zero", "zero_dims"),
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AnyOf",
    "Contrast",
    "Direction",
    "Edit",
    "Embedded",
    "ErasersResult",
    "Fact",
    "Generation",
    "HeadResult",
    "InputError",
    "KeyVectors",
    "LensResult",
    "LoadError",
    "MainstemError",
    "MapError",
    "Means",
    "Measurements",
    "Model",
    "NoStreamError",
    "NotClosedError",
    "OutlierReport",
    "Proof",
    "Provenance",
    "QueriesResult",
    "Result",
    "Stream",
    "StreamMap",
    "TokenSequence",
    "TopResult",
    "Trace",
    "TunedLens",
    "WordsResult",
    "any_of",
    "contrast",
    "embedded",
    "facts",
    "figures",
    "find",
    "load",
    "mean",
    "measure",
    "merge",
    "outlier_report",
    "patch",
    "resample",
    "scale",
    "scan",
    "sequence",
    "steer",
    "view",
    "widget",
    "without_skip",
    "zero",
    "zero_dims",
]


def __getattr__(name: str) -> Any:
    """Rooms are opened when something of theirs is asked for, so that importing mainstem costs nothing."""
    if name in _HOMES:
        return getattr(import_module(f"mainstem.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'mainstem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Door(ModuleType):
    """Importing the room `find` would put the module where the function `find` is to be: the door's names win."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
