"""Walking what a package offers, for the tests that hold its door."""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def unfold(path: str, thing: Any, home: str) -> Iterator[tuple[str, Any]]:
    """A public thing and all that is public below it: `ms.Model`, `ms.Model.trace`, as far as `home` wrote it."""
    if inspect.ismodule(thing):
        for name in getattr(thing, "__all__", []):
            yield from unfold(f"{path}.{name}", getattr(thing, name), home)
    elif inspect.isclass(thing):
        yield path, thing
        for name, member in members(thing, home).items():
            yield f"{path}.{name}", member
    elif inspect.isroutine(thing):
        yield path, thing


def members(cls: type, home: str) -> dict[str, Callable[..., Any]]:
    """The public methods and properties that a class has from its own code or from a base in the same package."""
    found: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.split(".")[0] == home:
            public = {name: function(value) for name, value in vars(base).items() if name[0] != "_"}
            found |= {name: plain for name, plain in public.items() if plain is not None}
    return found


def function(value: Any) -> Callable[..., Any] | None:
    """The function inside a method, property or the like; None where there is none."""
    match value:
        case staticmethod() | classmethod():
            return value.__func__
        case property():
            return value.fget
        case functools.cached_property():
            return value.func
    return value if inspect.isfunction(value) else None


def own_doc(thing: Any) -> str:
    """The docstring that somebody wrote: neither inherited nor the signature that dataclass fills in."""
    doc = vars(thing).get("__doc__") if inspect.isclass(thing) else inspect.getdoc(thing)
    name = getattr(thing, "__name__", "")
    return "" if not doc or doc.startswith(f"{name}(") else doc


def planted_module(folder: Path, name: str, text: str) -> ModuleType:
    """Import a module of the given text; the name must be its own in the whole test run."""
    (folder / f"{name}.py").write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))
