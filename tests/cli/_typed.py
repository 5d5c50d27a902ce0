"""What tests type: a command line inside this process, and what came back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROMPT = "The capital of France is"


@dataclass(frozen=True)
class Said:
    """The exit code of a command and what it printed."""

    code: int
    out: str
    err: str


Typed = Callable[..., Said]


def refusal(said: Said, *fixes: str) -> str:
    """The one line of a refusal; fails where it is not one, has another exit code, or lacks a part of the fix."""
    lines = said.err.splitlines()
    assert said.code == 2, said
    assert said.out == "", said
    assert len(lines) == 1, said
    assert lines[0].startswith("error: "), said
    assert "Traceback" not in said.err
    assert all(fix in lines[0] for fix in fixes), (fixes, lines[0])
    return lines[0]


def left_behind(folder: Path) -> list[str]:
    """Names of what lies in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())
