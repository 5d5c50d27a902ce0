"""The experiments there are: every module whose name begins without an underscore holds one, `recipe(size)`, which returns its plan."""

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from mainstem.core import InputError

from .._setup import Plan

SIZES = ("small", "paper")  # of a recipe that names no others


@cache
def sizes(name: str) -> tuple[str, ...]:
    """The sizes that a recipe has. Parameters: `name`."""
    found: tuple[str, ...] = getattr(_module(name), "SIZES", SIZES)
    return found


@cache
def recipes() -> tuple[str, ...]:
    """The names of all recipes."""
    return tuple(sorted(path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[!_]*.py")))


def recipe(name: str, size: str = "small") -> Plan:
    """The whole plan of an experiment.

    Parameters: `name`; `size`, "small", minutes on two cores, or "paper", that of the source; some have "medium" between them. Raises `InputError`
    with the names that there are.
    """
    if name not in recipes():
        raise InputError(f"no recipe {name!r}; there are {', '.join(recipes())}.")
    if size not in sizes(name):
        raise InputError(f"{name} has no size {size!r}: choose {' or '.join(map(repr, sizes(name)))}.")
    found: Plan = _module(name).recipe(size)
    return found


def _module(name: str) -> Any:
    return import_module(f"{__package__}.{name.replace('-', '_')}")
