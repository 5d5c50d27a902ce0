"""The rooms, and which way the arrows between them run."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from house._source import PACKAGE, module_name, parse, plant, python_files

# A room may import the rooms of the floors below its own, and itself.
FLOORS = (
    {"core"},
    {"algebra"},
    {"find"},
    {"stream", "models"},
    {"score", "measure"},
    {"scan"},
    {"view", "lab"},
    {"api"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
CLOSED = {("models", "find")}  # a model is loaded without knowing that it will be mapped
NO_NAMES = {"util", "utils", "helper", "helpers", "misc", "common"}


class Import(NamedTuple):
    """`base` is what stands after `from` (or `import`), `target` the module that this means."""

    line: int
    base: str
    target: str


def imports(path: Path, package: Path, known: set[str]) -> Iterator[Import]:
    """Every import of the package by a file: at the top, in a function, under TYPE_CHECKING, by import_module."""
    for node in ast.walk(parse(path)):
        for base, names in named(node, path, package):
            if base.split(".")[0] == package.name:
                for name in names or [""]:
                    target = f"{base}.{name}" if f"{base}.{name}" in known else base
                    yield Import(node.lineno, base, target)


def named(node: ast.AST, path: Path, package: Path) -> Iterator[tuple[str, list[str]]]:
    """What one statement imports: a module, and the names taken from it."""
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, []) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield absolute(module or "", level, path, package), [alias.name for alias in names]
        case ast.Call(func=ast.Name("import_module") | ast.Attribute(attr="import_module"), args=[ast.Constant(str(name))]):
            yield name, []


def absolute(module: str, level: int, path: Path, package: Path) -> str:
    """The full name behind `from ..core import x`."""
    if level == 0:
        return module
    here = path.relative_to(package.parent).parts[:-1]
    return ".".join([*here[: len(here) - level + 1], *filter(None, [module])])


def room_of(module: str) -> str:
    """`mainstem.core._labels` -> `core`; the package's own door is ``."""
    return module.partition(".")[2].partition(".")[0]


def fault(source: str, found: Import) -> str | None:
    """What is wrong with an import of `found` in the room `source`, if anything is."""
    target = room_of(found.target)
    if room_of(found.base) == "":
        return f"imports from the package's own door ({found.base}); import from the room that has it"
    if target == source or target not in FLOOR or source not in FLOOR:
        return None
    if FLOOR[target] >= FLOOR[source] or (source, target) in CLOSED:
        return f"{source} may not import {target} ({found.target}); {below(source)}"
    return None


def below(room: str) -> str:
    """Which rooms a room may import, as a sentence."""
    rooms = [name for name, floor in FLOOR.items() if floor < FLOOR[room] and (room, name) not in CLOSED]
    return f"it may import {', '.join(rooms) or 'no room'}"


def graph(package: Path) -> dict[str, dict[str, Import]]:
    """Each module with the modules that it imports."""
    files = {module_name(path, package): path for path in python_files(package)}
    return {name: {i.target: i for i in imports(path, package, set(files))} for name, path in files.items()}


def check_arrows(package: Path) -> list[str]:
    """Imports against the arrows, or through the package's own door."""
    faults = []
    known = {module_name(path, package) for path in python_files(package)}
    for path in python_files(package):
        module = module_name(path, package)
        if module != package.name:
            for found in imports(path, package, known):
                if said := fault(room_of(module), found):
                    faults.append(f"{path.relative_to(package.parent)}:{found.line}: {said}")
    return faults


def check_rooms(package: Path) -> list[str]:
    """Modules in no room, and modules whose name says nothing."""
    faults = []
    for module in (module_name(path, package) for path in python_files(package)):
        if module != package.name and room_of(module) not in FLOOR:
            faults.append(f"{module}: {room_of(module)} is not a room; rooms are {', '.join(FLOOR)}")
        if vague := NO_NAMES & {part.strip("_") for part in module.split(".")}:
            faults.append(f"{module}: call it by what it does, not {', '.join(vague)}")
    return faults


def check_cycles(package: Path) -> list[str]:
    """A circle of imports, lazy ones included."""
    try:
        graphlib.TopologicalSorter({name: set(found) for name, found in graph(package).items()}).prepare()
    except graphlib.CycleError as error:
        return [f"import cycle: {' <- '.join(error.args[1])}"]
    return []


@pytest.mark.parametrize("check", [check_arrows, check_rooms, check_cycles])
def test_the_house_stands(check):
    assert python_files(PACKAGE), f"no source at {PACKAGE}"
    assert not (faults := check(PACKAGE)), "\n" + "\n".join(faults)


ALLOWED = {
    "core/_labels.py": "import ast\n",
    "core/__init__.py": "from mainstem.core._labels import Label\n",
    "algebra/_affine.py": "from mainstem.core import Label\n",
    "stream/_run.py": "from mainstem.find._map import StreamMap\nfrom ._edit import edit\n",
    "stream/_edit.py": "from ..algebra import _affine\n",
    "find/_map.py": "from mainstem.algebra._affine import Affine\n",
    "models/_load.py": "import transformers\nfrom mainstem.core import Label\n",
    "api/_model.py": "def f():\n    from mainstem.view import page\n    from mainstem.models import _load\n",
    "view/_page.py": "from mainstem.score import lens\n",
    "score/lens.py": "from mainstem.stream import _run\n",
    "cli/__init__.py": "import mainstem.api._model\n",
    "__main__.py": "from mainstem.cli import main\n",
}


def test_allowed_imports_pass(tmp_path):
    package = plant(tmp_path, ALLOWED)
    assert [*check_arrows(package), *check_rooms(package), *check_cycles(package)] == []


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("core/a.py", "from mainstem.find import _map", "core may not import find"),
        ("find/a.py", "def f():\n    import mainstem.stream._run", "find/a.py:2: find may not import stream"),
        ("find/a.py", "from ..stream import _run", "find may not import stream"),
        ("score/a.py", "from mainstem.measure import kurtosis", "score may not import measure"),
        ("models/a.py", "from mainstem.find import find", "models may not import find (mainstem.find); it may"),
        ("stream/a.py", "from mainstem.models import load", "stream may not import models"),
        ("scan/a.py", "import importlib\nimportlib.import_module('mainstem.view')", "scan may not import view"),
        ("lab/a.py", "if TYPE_CHECKING:\n    from mainstem.api import Model", "lab may not import api"),
        ("api/a.py", "import mainstem as ms", "own door"),
        ("api/a.py", "from mainstem import find", "own door"),
        ("api/a.py", "from .. import __version__", "own door"),
    ],
)
def test_a_planted_arrow_is_caught(tmp_path, file, text, says):
    faults = check_arrows(plant(tmp_path, {**ALLOWED, "measure/kurtosis.py": "", file: text}))
    assert len(faults) == 1
    assert says in faults[0]


@pytest.mark.parametrize("file", ["core/_utils.py", "helpers/a.py", "find/misc.py", "attic/a.py", "loose.py"])
def test_a_planted_name_is_caught(tmp_path, file):
    assert check_rooms(plant(tmp_path, {file: ""}))


def test_a_planted_cycle_is_caught(tmp_path):
    package = plant(
        tmp_path,
        {
            "core/a.py": "from mainstem.core import b",
            "core/b.py": "def f():\n    from mainstem.core.c import g",
            "core/c.py": "from . import a",
        },
    )
    (said,) = check_cycles(package)
    assert said.count("mainstem.core.") == 4


def test_a_room_that_imports_from_its_own_door_is_a_cycle(tmp_path):
    files = {"core/__init__.py": "from mainstem.core._a import x", "core/_a.py": "from mainstem.core import y"}
    assert check_cycles(plant(tmp_path, files))
