"""What patching found as plain data, and back: the file that `PatchingResult.load` reads."""

from math import isfinite, nan
from typing import Any, Protocol

import torch
from torch import Tensor

from mainstem.core import Provenance
from mainstem.score import Patched

from ._store import plain
from ._weights import Weights

FORM = "patching 1"


class Found(Protocol):
    """What is written of a result."""

    @property
    def parts(self) -> tuple[Patched, ...]: ...
    @property
    def clean(self) -> Tensor: ...
    @property
    def corrupt(self) -> Tensor: ...
    @property
    def checked(self) -> tuple[tuple[int, int, int, Tensor], ...]: ...
    @property
    def model(self) -> str: ...
    @property
    def targets(self) -> tuple[str, ...]: ...
    @property
    def prompts(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]: ...
    @property
    def places(self) -> dict[tuple[int, int], int]: ...
    @property
    def choices(self) -> dict[str, Any]: ...
    @property
    def provenance(self) -> Provenance | None: ...


def written(found: Found) -> dict[str, Any]:
    """A result as plain data, which JSON can hold: what is not finite is None. Parameters: `found`."""
    return {
        "form": FORM,
        "model": found.model,
        "choices": found.choices,
        "targets": found.targets,
        "prompts": found.prompts,
        "tokens": found.tokens,
        "places": [[turn, prompt, at] for (turn, prompt), at in found.places.items()],
        "clean": _numbers(found.clean),
        "corrupt": _numbers(found.corrupt),
        "parts": [
            {"label": part.label, "names": part.names, "tokens": part.tokens, "effects": _numbers(part.effects)}
            for part in found.parts
        ],
        "checked": [[part, component, turn, _numbers(value)] for part, component, turn, value in found.checked],
        "provenance": plain(found.provenance),
    }


def read(held: dict[str, Any]) -> dict[str, Any]:
    """The fields of a result. Parameters: `held`, what `written` gave."""
    return {
        "parts": tuple(_part(part) for part in held["parts"]),
        "clean": _tensor(held["clean"]),
        "corrupt": _tensor(held["corrupt"]),
        "checked": tuple((part, component, turn, _tensor(value)) for part, component, turn, value in held["checked"]),
        "model": held["model"],
        "targets": tuple(held["targets"]),
        "prompts": tuple(map(tuple, held["prompts"])),
        "tokens": tuple(map(tuple, held["tokens"])),
        "places": {(turn, prompt): at for turn, prompt, at in held["places"]},
        "choices": held["choices"],
        "weights": Weights.known(Provenance.from_dict(held["provenance"])) if held["provenance"] else None,
    }


def _part(held: dict[str, Any]) -> Patched:
    names, effects = tuple(held["names"]), _tensor(held["effects"])
    if effects.ndim != 3 or len(effects) != len(names):
        raise ValueError(f"effects of {held['label']}")
    return Patched(held["label"], names, effects, bool(held["tokens"]))


def _numbers(values: Tensor) -> Any:
    return _plain(values.double().tolist())


def _plain(tree: Any) -> Any:
    return [_plain(one) for one in tree] if isinstance(tree, list) else tree if isfinite(tree) else None


def _tensor(tree: Any) -> Tensor:
    return torch.tensor(_filled(tree), dtype=torch.float64)


def _filled(tree: Any) -> Any:
    return [_filled(one) for one in tree] if isinstance(tree, list) else nan if tree is None else tree
