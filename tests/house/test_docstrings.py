"""Each public function, class and method says what it does, names its parameters, and is wholly annotated."""

import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from house._public import own_doc, planted_module, unfold

Parameter = inspect.Parameter


def check_docstrings(package: ModuleType) -> Iterator[str]:
    """Faults of everything reachable from the door of a package."""
    for name in package.__all__:
        for path, thing in unfold(f"{package.__name__}.{name}", getattr(package, name), package.__name__):
            yield from (f"{path}: {said}" for said in faults(thing, package.__name__))


def faults(thing: Any, home: str) -> Iterator[str]:
    """No docstring; a parameter that it does not name; a parameter or a return without a type."""
    if not (doc := own_doc(thing)):
        yield "no docstring"
        return
    if (call := maker(thing, home)) is None:
        return
    doc = f"{doc}\n{call.__doc__ or ''}"
    signature = inspect.signature(call)
    for parameter in parameters(signature):
        if not re.search(rf"(?<![\w.]){parameter.name}(?!\w)", doc):
            yield f"the docstring does not name the parameter {parameter.name}"
        if parameter.annotation is Parameter.empty:
            yield f"the parameter {parameter.name} has no type"
    if signature.return_annotation is inspect.Signature.empty:
        yield "the return has no type"


def maker(thing: Any, home: str) -> Any:
    """What is called: a function itself, a class's own `__init__`, None where that is inherited from elsewhere."""
    if not inspect.isclass(thing):
        return thing
    makers = [vars(b).get("__init__") for b in thing.__mro__ if b.__module__.split(".")[0] == home]
    return next((init for init in makers if init is not None), None)


def parameters(signature: inspect.Signature) -> list[Parameter]:
    """Those that a caller gives."""
    given = list(signature.parameters.values())
    return [p for p in given[given[:1] != [] and given[0].name in ("self", "cls") :] if not p.name.startswith("_")]


def test_the_public_face_is_documented_and_typed():
    import mainstem

    found = list(check_docstrings(mainstem))
    assert not found, "\n" + "\n".join(found)


FACE = """
from dataclasses import dataclass
__all__ = ["fine", "bare", "vague", "untyped", "Box", "Data", "Fault"]

def fine(x: int, *rest: int) -> int:
    "The sum of x and rest."
def bare(x: int) -> int: pass
def vague(x: int, maximum: int) -> int:
    "Takes x up to the maximum_value."
def untyped(x, y: int = 0):
    "x and y."

class Box:
    "Holds a size."
    def __init__(self, size: int, lid: bool) -> None: pass
    @property
    def width(self): "Width."
    @classmethod
    def make(cls, size: int) -> "Box": "One box."
    def _private(self, x): pass

@dataclass
class Data:
    "A pair: left is left."
    left: int
    right: int

class Fault(ValueError):
    "Inherits its constructor."
"""


def test_planted_faults_are_caught(tmp_path):
    face = planted_module(tmp_path, "planted_face", FACE)
    assert {said.removeprefix("planted_face.") for said in check_docstrings(face)} == {
        "bare: no docstring",
        "vague: the docstring does not name the parameter maximum",
        "untyped: the parameter x has no type",
        "untyped: the return has no type",
        "Box: the docstring does not name the parameter lid",
        "Box.width: the return has no type",
        "Box.make: the docstring does not name the parameter size",
        "Data: the docstring does not name the parameter right",
    }
