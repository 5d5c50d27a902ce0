"""The measures there are: every module of this room whose name begins without an underscore holds one, `MEASURE`."""

from dataclasses import fields
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, get_type_hints

from mainstem.core import InputError, fits, kind_said

from ._measure import Measure, Pair


@cache
def _members() -> dict[str, type[Measure] | type[Pair]]:
    names = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    found = [import_module(f"{__package__}.{name}").MEASURE for name in names]
    return {member.name: member for member in found}


def measures() -> dict[str, type[Measure]]:
    """Every measure of one site by its name."""
    return {name: member for name, member in _members().items() if issubclass(member, Measure)}


def pairs() -> dict[str, type[Pair]]:
    """Every measure of two sites by its name."""
    return {name: member for name, member in _members().items() if issubclass(member, Pair)}


def measure_named(name: str, **choices: Any) -> Measure | Pair:
    """One measure, of one site or of two.

    Parameters: `name`; `choices`, by name, the measure's own where not said. Raises `InputError` with those that there are.
    """
    if not isinstance(name, str) or name not in _members():
        raise InputError(f"no measure {name!r}; there are {', '.join(_members())}.")
    known = [field.name for field in fields(_members()[name])]
    if strange := set(choices) - set(known):
        raise InputError(f"measure {name!r} has no choice of {min(strange)}; it takes {', '.join(known) or 'none'}.")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in choices.items()}
    hints = get_type_hints(_members()[name])
    for key, value in given.items():
        if not fits(value, hints[key]):
            raise InputError(f"{key} of {name} is {kind_said(hints[key])}, not {choices[key]!r}.")
    return _members()[name](**given)
