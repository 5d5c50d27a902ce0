"""Files and functions small enough to read."""

import ast
from collections.abc import Iterator
from pathlib import Path

from house._source import PACKAGE, parse, plant, python_files

FILE_LINES = 400
FUNCTION_LINES = 80
WRITTEN_BY_HAND = {".py", ".js", ".css", ".html"}


def long_files(package: Path) -> Iterator[str]:
    """Files of more than 400 lines."""
    for path in sorted(p for p in package.rglob("*") if p.suffix in WRITTEN_BY_HAND):
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES:
            yield f"{path.relative_to(package.parent)}: {lines} lines, at most {FILE_LINES}: it holds two things"


def long_functions(package: Path) -> Iterator[str]:
    """Functions of more than 80 lines, docstring and decorators included."""
    for path in python_files(package):
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                if (lines := (node.end_lineno or first) - first + 1) > FUNCTION_LINES:
                    where = f"{path.relative_to(package.parent)}:{first}"
                    yield f"{where}: {node.name} has {lines} lines, at most {FUNCTION_LINES}"


def test_files_are_short():
    assert not (faults := list(long_files(PACKAGE))), "\n" + "\n".join(faults)


def test_functions_are_short():
    assert not (faults := list(long_functions(PACKAGE))), "\n" + "\n".join(faults)


def test_a_planted_long_file_is_caught(tmp_path):
    package = plant(tmp_path, {"core/a.py": "x = 1\n" * 400, "core/b.py": "x = 1\n" * 401, "view/page.js": "x\n" * 500})
    assert [said.split(":")[0] for said in long_files(package)] == ["mainstem/core/b.py", "mainstem/view/page.js"]


def test_a_planted_long_function_is_caught(tmp_path):
    fits, tall = ("def f():\n" + "    x = 1\n" * n for n in (79, 80))
    method = "class A:\n    @property\n    async def g(self):\n" + "        x = 1\n" * 79
    package = plant(tmp_path, {"core/a.py": fits, "core/b.py": tall, "core/c.py": method})
    assert [said.split(":")[0] for said in long_functions(package)] == ["mainstem/core/b.py", "mainstem/core/c.py"]
