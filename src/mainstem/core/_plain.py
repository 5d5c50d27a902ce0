"""Frozen dataclasses to plain JSON types and back, by their annotations."""

import math
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A value as dictionaries, lists, text and numbers. Parameters: `value`, of dataclasses, tuples and frozen sets."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, frozenset):
        return sorted((to_plain(v) for v in value), key=repr)
    if isinstance(value, (list, tuple)):
        return [to_plain(v) for v in value]
    return {k: to_plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def from_plain(kind: type[T], data: Any) -> T:
    """The value that `to_plain` was given. Parameters: `kind`, its class; `data`, the plain form."""
    return _read(kind, data)


def _read(kind: Any, data: Any) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _read_union(inside, data)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _read(hints[f.name], data[f.name]) for f in fields(kind)})  # type: ignore[operator]
    if origin is frozenset:
        return frozenset(_read(inside[0], v) for v in data)
    if origin is tuple:
        kinds = [inside[0]] * len(data) if inside[-1] is Ellipsis else inside
        return tuple(_read(k, v) for k, v in zip(kinds, data, strict=True))
    if isinstance(kind, type) and issubclass(kind, tuple):
        hints = get_type_hints(kind)
        return kind(*(_read(hint, v) for hint, v in zip(hints.values(), data, strict=True)))
    return data


def _read_union(kinds: tuple[Any, ...], data: Any) -> Any:
    if data is None:
        return None
    others = [k for k in kinds if k is not NoneType]
    return _read(others[0], data) if len(others) == 1 else data


def finite(value: Any) -> Any:
    """The same data with None for NaN and infinities, which JSON does not know. Parameters: `value`, plain data."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
