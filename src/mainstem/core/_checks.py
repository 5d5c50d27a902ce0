"""Arguments of the wrong type: said at once and by name, before anything is worked out with them."""

import os
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from ._errors import InputError

_WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "text", NoneType: "None"}
_MOST = 2**63


def whole(name: str, value: Any, least: int | None = None) -> int:
    """A whole number. Parameters: `name`, of the argument; `value`; `least`, the smallest that it may be. Raises `InputError`."""
    if not fits(value, int) or not -_MOST <= value < _MOST or (least is not None and value < least):
        raise InputError(f"{name} is a whole number{'' if least is None else f' from {least}'}, not {value!r}.")
    return int(value)


def real(name: str, value: Any) -> float:
    """A number. Parameters: `name`, of the argument; `value`. Raises `InputError`."""
    if not fits(value, float):
        raise InputError(f"{name} is a number, not {value!r}.")
    return float(value)


def file_path(value: Any) -> Path:
    """A path. Parameters: `value`, text or a path. Raises `InputError`."""
    if not isinstance(value, str | os.PathLike):
        raise InputError(f"a file or folder is named by text or a Path, not by {value!r}.")
    return Path(value)


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a kind; True for kinds that are not known here. Parameters: `value`; `kind`, an annotation."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inside)
    if origin is tuple:
        return isinstance(value, tuple) and bool(inside) and all(fits(one, inside[0]) for one in value)
    numbers = {int: Integral, float: Real}
    if kind in numbers:
        return isinstance(value, numbers[kind]) and not isinstance(value, bool)
    return not (isinstance(kind, type) and kind in _WORDS) or isinstance(value, kind)


def kind_said(kind: Any) -> str:
    """An annotation in words. Parameters: `kind`."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(kind_said, inside))
    if origin is Literal:
        return " or ".join(map(repr, inside))
    return f"a list, each {kind_said(inside[0])}" if origin is tuple else _WORDS.get(kind, getattr(kind, "__name__", str(kind)))


def a_kind(value: Any) -> str:
    """What a value is, with its article: "an int", "a list". Parameters: `value`."""
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
