"""The door: what it names is there, documented, listed, and on the page."""

import inspect
import re
from collections.abc import Iterator
from types import ModuleType

from house._public import own_doc, planted_module
from house._source import ROOT


def check_exports(package: ModuleType, page: str) -> Iterator[str]:
    """Names of `__all__` that do not resolve, have no docstring, are hidden from dir(), or are not on the page."""
    listed = set(dir(package))
    for name in package.__all__:
        if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", page):
            yield f"{name}: docs/api.md does not name it"
        if name not in listed:
            yield f"{name}: dir({package.__name__}) does not hold it"
        try:
            thing = getattr(package, name)
        except (AttributeError, ImportError) as error:
            yield f"{name}: does not resolve ({error})"
        else:
            if (inspect.isroutine(thing) or inspect.isclass(thing) or inspect.ismodule(thing)) and not own_doc(thing):
                yield f"{name}: has no docstring"


def test_the_door_keeps_its_word():
    import mainstem

    faults = list(check_exports(mainstem, (ROOT / "docs" / "api.md").read_text(encoding="utf-8")))
    assert not faults, "\n" + "\n".join(faults)


def test_the_door_lists_each_name_once():
    import mainstem

    assert len(set(mainstem.__all__)) == len(mainstem.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    import mainstem

    assert not hasattr(mainstem, "no_such_name")


DOOR = """
__all__ = ["good", "bare", "gone", "hidden", "Plain"]

def good(): "Documented."
def bare(): pass
def hidden(): "Documented."

from dataclasses import dataclass
@dataclass
class Plain:
    x: int

def __dir__(): return ["good", "bare", "gone", "Plain"]
"""


def test_planted_faults_are_caught(tmp_path):
    door = planted_module(tmp_path, "planted_door", DOOR)
    assert list(check_exports(door, "bare gone hidden Plain goodness")) == [
        "good: docs/api.md does not name it",
        "bare: has no docstring",
        "gone: does not resolve (module 'planted_door' has no attribute 'gone')",
        "hidden: dir(planted_door) does not hold it",
        "Plain: has no docstring",
    ]
