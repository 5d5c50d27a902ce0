"""The README: its two commands are there, and its Python runs."""

import re
from functools import partial
from typing import NamedTuple

import pytest

import mainstem as ms
from house._source import ROOT

README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
COMMANDS = ["make demo", "make test"]


class Block(NamedTuple):
    """A fenced block, and the line of the page that its text starts on."""

    language: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(m[1], m[2], page.count("\n", 0, m.start(2)) + 1) for m in FENCE.finditer(page)]


def make_commands(page: str) -> list[list[str]]:
    """For each block that has any, its make commands, without prompts and comments."""
    found = [re.findall(r"^(?:\$ )?(make\b[^#\n]*?)\s*(?:#.*)?$", block.text, re.MULTILINE) for block in blocks(page)]
    return [commands for commands in found if commands]


def run_python(page: str, name: str) -> int:
    """Run the Python blocks of a page as one script, in order; a traceback shows the page's own lines. How many ran."""
    space: dict[str, object] = {"__name__": "__readme__"}
    python = [block for block in blocks(page) if block.language in ("python", "py")]
    for block in python:
        exec(compile("\n" * (block.line - 1) + block.text, name, "exec"), space)
    return len(python)


def test_the_two_commands_stand_in_one_block():
    assert make_commands(README.read_text(encoding="utf-8")) == [COMMANDS]


@pytest.mark.slow
def test_the_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = partial(ms.TunedLens.fit, steps=5)  # that a hundred steps learn more is held where lenses are tested
    monkeypatch.setattr(ms.TunedLens, "fit", few)
    assert run_python(README.read_text(encoding="utf-8"), str(README)) > 0, "the README shows no Python"


PAGE = """# A page
```bash
$ make demo    # shows it
make test
```
```python
x = 1
```
```py
assert x == {}
```
"""


def test_a_page_is_read():
    assert make_commands(PAGE) == [COMMANDS]
    assert run_python(PAGE.format(1), "page") == 2


def test_planted_faults_are_caught():
    assert make_commands(PAGE.replace("make test", "pytest")) != [COMMANDS]
    assert make_commands(PAGE + "```bash\nmake lint\n```\n") != [COMMANDS]
    with pytest.raises(AssertionError) as caught:
        run_python(PAGE.format(2), "page")
    assert caught.traceback[-1].lineno == PAGE[: PAGE.index("assert")].count("\n")
