"""States of measures as a file: whole, or refused."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from mainstem.core import InputError
from mainstem.measure import State
from mainstem.scan import checksum

FORM = "measurements 2"
States = dict[tuple[str, str], State]


def write_states(path: Path, states: States, about: Mapping[str, Any]) -> None:
    """Stores states with their checksum. Parameters: `path`; `states`, by measure and site; `about`, plain data."""
    from safetensors.torch import save_file

    keys = list(states)
    tensors = {f"{i}/{k}": v.contiguous().clone() for i, key in enumerate(keys) for k, v in states[key].items()}
    text = json.dumps({"form": FORM, "keys": keys, **about})
    save_file(tensors, path, {"measurements": text, "sha256": checksum(text, states)})


def read_states(path: Path) -> tuple[dict[str, Any], States]:
    """What a file holds: what is said of the states, and they themselves. Parameters: `path`. Raises `InputError` for any other file."""
    from safetensors import SafetensorError, safe_open

    _check_place(path)
    try:
        with safe_open(path, "pt") as held:
            said = held.metadata() or {}
            text = said.get("measurements", "{}")
            about = json.loads(text)
            tensors: dict[str, Tensor] = {name: held.get_tensor(name) for name in held.keys()}
    except (SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} is no file of measurements, or a broken one: {error}.") from error
    if about.get("form") != FORM:
        raise InputError(f"{path} is no file of measurements that this version reads.")
    states = _states(about.get("keys", []), tensors)
    if checksum(text, states) != said.get("sha256"):
        raise InputError(f"{path} is broken: its numbers are not those that were stored. Take another copy, or measure again.")
    return about, states


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder: what a scan left in one is read by mainstem.merge({str(path)!r}).")
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    if path.suffix in (".parquet", ".csv"):
        raise InputError(f"{path} holds numbers as a table, not the states: load reads what save wrote as .safetensors.")


def _states(keys: Sequence[Sequence[str]], tensors: Mapping[str, Tensor]) -> States:
    """States by measure and site. Parameters: `keys`, of the measures and sites; `tensors`, by number of the key and part of the state."""
    states: States = {(measure, site): {} for measure, site in keys}
    for name, value in tensors.items():
        number, _, part = name.partition("/")
        if number.isdigit() and int(number) < len(keys):
            measure, site = keys[int(number)]
            states[measure, site][part] = value
    return states
