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
    from mainstem import lab
    from mainstem.api import (
        AblationCurve,
        AnyOf,
        Contrast,
        Direction,
        EditEffect,
        ErasersResult,
        Generation,
        HeadResult,
        InputShift,
        LensResult,
        Means,
        Measurements,
        Model,
        OutlierReport,
        PatchingResult,
        QueriesResult,
        Result,
        SubspaceScale,
        TokenSequence,
        TopResult,
        Trace,
        TunedLens,
        WordsResult,
        ablation_curve,
        activation_patching,
        any_of,
        attribution_patching,
        channel_page,
        contrast,
        direction_page,
        edit_effect,
        edit_loss,
        figures,
        input_shift,
        lab_chart,
        load,
        mean,
        measure,
        merge,
        outlier_report,
        patch,
        resample,
        rotate,
        scan,
        sequence,
        shap_chart,
        subspace_scale,
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
        "AblationCurve",
        "AnyOf",
        "Contrast",
        "Direction",
        "EditEffect",
        "ErasersResult",
        "Generation",
        "HeadResult",
        "InputShift",
        "LensResult",
        "Means",
        "Measurements",
        "Model",
        "OutlierReport",
        "PatchingResult",
        "QueriesResult",
        "Result",
        "SubspaceScale",
        "TokenSequence",
        "TopResult",
        "Trace",
        "TunedLens",
        "WordsResult",
        "ablation_curve",
        "activation_patching",
        "any_of",
        "attribution_patching",
        "channel_page",
        "contrast",
        "direction_page",
        "edit_effect",
        "edit_loss",
        "figures",
        "input_shift",
        "lab_chart",
        "load",
        "mean",
        "measure",
        "merge",
        "outlier_report",
        "patch",
        "resample",
        "rotate",
        "scan",
        "sequence",
        "shap_chart",
        "subspace_scale",
        "view",
        "widget",
    ),
    "core": ("InputError", "LoadError", "MainstemError", "MapError", "NoStreamError", "NotClosedError", "Provenance"),
    "find": ("Proof", "Stream", "StreamMap", "find"),
    "models": ("Embedded", "Fact", "embedded", "facts"),
    "stream": ("Edit", "KeyVectors", "scale", "steer", "without_skip", "zero", "zero_dims"),
}
_DOORS = ("lab",)  # rooms that are called by their own name
_HOMES = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AblationCurve",
    "AnyOf",
    "Contrast",
    "Direction",
    "Edit",
    "EditEffect",
    "Embedded",
    "ErasersResult",
    "Fact",
    "Generation",
    "HeadResult",
    "InputError",
    "InputShift",
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
    "PatchingResult",
    "Proof",
    "Provenance",
    "QueriesResult",
    "Result",
    "Stream",
    "StreamMap",
    "SubspaceScale",
    "TokenSequence",
    "TopResult",
    "Trace",
    "TunedLens",
    "WordsResult",
    "ablation_curve",
    "activation_patching",
    "any_of",
    "attribution_patching",
    "channel_page",
    "contrast",
    "direction_page",
    "edit_effect",
    "edit_loss",
    "embedded",
    "facts",
    "figures",
    "find",
    "input_shift",
    "lab",
    "lab_chart",
    "load",
    "mean",
    "measure",
    "merge",
    "outlier_report",
    "patch",
    "resample",
    "rotate",
    "scale",
    "scan",
    "sequence",
    "shap_chart",
    "steer",
    "subspace_scale",
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
    if name in _DOORS:
        return import_module(f"mainstem.{name}")
    raise AttributeError(f"module 'mainstem' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


class _Door(ModuleType):
    """Importing the room `find` would put the module where the function `find` is to be: the door's names win."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
