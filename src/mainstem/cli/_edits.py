"""Edits as they are typed: LABEL, LABEL=0.5, LABEL=FILE, FILE@LABEL."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from torch import Tensor

    from mainstem.api import Means, Model
    from mainstem.stream import Edit

_FORMS = (".pt", ".pth", ".safetensors", ".npy")
Typed = list[str] | None


def positions_of(typed: str | None) -> list[int] | None:
    """Positions that were typed with commas between them. Parameters: `typed`, None for all."""
    if typed is None:
        return None
    try:
        return [int(part) for part in typed.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--positions is numbers such as -1 or 3,4, not {typed!r}") from error


def edit_of(
    held: "Model", at: list[int] | None, zero: Typed, scale: Typed, without_skip: Typed, mean: Typed, steer: Typed
) -> "Edit":
    """All that was typed as one edit. Parameters: `held`; `at`, positions; `zero`, `scale`, `without_skip`, `mean`, `steer`."""
    from mainstem.stream import Edit
    from mainstem.stream import scale as scaled
    from mainstem.stream import without_skip as skipless
    from mainstem.stream import zero as zeroed

    edit = Edit()
    if zero:
        edit += zeroed(*zero, positions=at)
    for label, value in (_pair(one, "scale", "L2.attn=0.5") for one in scale or ()):
        edit += scaled(label, by=_number(value, "scale", label), positions=at)
    if without_skip:
        edit += skipless(*without_skip)
    for label, value in (_pair(one, "mean", "L3.mlp=stories.txt") for one in mean or ()):
        from mainstem.api import mean as put_mean

        edit += put_mean(label, over=_means(held, label, value), positions=at)
    for one in steer or ():
        edit += _steered(one, at)
    return edit


def _pair(typed: str, option: str, like: str) -> tuple[str, str]:
    label, equals, value = typed.partition("=")
    if not (label and equals and value):
        raise typer.BadParameter(f"--{option} is written {like}, not {typed!r}")
    return label, value


def _number(typed: str, option: str, label: str) -> float:
    try:
        return float(typed)
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {label}= takes a number, not {typed!r}") from error


def _means(held: "Model", label: str, file: str) -> "Means":
    from mainstem.api import Means

    return Means.load(file) if file.endswith(".safetensors") else held.means(file, label)


def _steered(typed: str, at: list[int] | None) -> "Edit":
    from mainstem.stream import steer

    file, mark, rest = typed.rpartition("@")
    label, equals, by = rest.partition("=")
    if not (file and mark and label):
        raise typer.BadParameter(f"--steer is written FILE@LABEL, such as direction.pt@L3.resid_post, not {typed!r}")
    return steer(_vector(Path(file)), at=label, by=_number(by, "steer", label) if equals else 1.0, positions=at)


def _vector(path: Path) -> "Tensor":
    """The one tensor of a file."""
    import torch

    from mainstem.core import InputError

    if path.suffix not in _FORMS:
        raise InputError(f"a vector to steer with is read from {', '.join(_FORMS)}, not from {path.name}.")
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    try:
        if path.suffix == ".npy":
            import numpy

            return torch.from_numpy(numpy.load(path, allow_pickle=False))
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # each library has errors of its own for a file that is none of its kind
        raise InputError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    some = list(found.values()) if isinstance(found, dict) else [found]
    if len(some) != 1 or not isinstance(some[0], torch.Tensor):
        raise InputError(f"{path} holds {len(some)} things: a vector to steer with is one tensor in a file.")
    return some[0]
