"""The command line as a process of its own: what shells and pipes see of it."""

import logging
import os
import pty
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from cli._folders import truncate
from cli._typed import PROMPT, Said, Typed, refusal
from mainstem import api

COMMAND = [sys.executable, "-m", "mainstem"]
SOURCE = Path(api.__file__).parents[2]


def environment(**more: str) -> dict[str, str]:
    """That of this process, able to find mainstem. Parameters: `more`, set on top."""
    return os.environ | {"PYTHONPATH": str(SOURCE), "COLUMNS": "80"} | more


def process(*arguments: object, **more: str) -> Said:
    """Runs a command line as a process. Parameters: `arguments`; `more`, for its environment."""
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment(**more), timeout=120)
    return Said(done.returncode, done.stdout, done.stderr)


def test_a_trace_leaves_stderr_empty(small: Path) -> None:
    said = process("trace", PROMPT, "--model", small)
    assert (said.code, said.err) == (0, "")
    assert "\x1b" not in said.out


def test_a_broken_folder(small: Path, tmp_path: Path) -> None:
    for file in small.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    truncate(tmp_path / "model.safetensors")
    assert refusal(process("verify", tmp_path), "download it again")


def test_a_missing_folder_of_the_page(tmp_path: Path) -> None:
    assert refusal(process("trace", PROMPT, "--html", tmp_path / "absent" / "x.html"), "there is no folder", "mkdir -p")


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_reader_that_leaves(more: tuple[str, ...]) -> None:
    running = subprocess.Popen(
        [*COMMAND, "lens", PROMPT, "-m", "tiny", *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    assert running.stdout is not None and running.stderr is not None
    running.stdout.close()
    assert running.stderr.read() == b""
    assert running.wait(120) == 141
    running.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_stdout() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, env=environment())
    assert refusal(Said(done.returncode, "", done.stderr), "No space left", "Free some space")


def test_colours_on_a_terminal_and_nothing_of_libraries(small: Path) -> None:
    ours, theirs = pty.openpty()
    screen = {"stdout": theirs, "stderr": theirs, "env": environment(TERM="xterm")}
    running = subprocess.Popen([*COMMAND, "lens", PROMPT, "-m", str(small)], **screen)
    os.close(theirs)
    seen = b""
    try:
        while more := os.read(ours, 4096):
            seen += more
    except OSError:
        pass  # Linux says so when the other end is closed
    os.close(ours)
    assert running.wait(120) == 0
    assert b"\x1b[1m" in seen and b"loading" in seen
    assert b"Loading weights" not in seen and b"arning" not in seen


def test_an_interruption_is_quiet(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load", raising(KeyboardInterrupt()))
    assert typed("trace", PROMPT) == Said(130, "", "")


def test_a_fault_of_ours_says_so(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "load", raising(ZeroDivisionError("by zero")))
    said = typed("trace", PROMPT)
    assert (said.code, said.out) == (70, "")
    assert said.err.startswith("error: ZeroDivisionError: by zero.")
    assert "MAINSTEM_DEBUG=1" in said.err and "Traceback" not in said.err
    monkeypatch.setenv("MAINSTEM_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        typed("trace", PROMPT)


def test_warnings_of_libraries_stay_away_but_ours_do_not(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    real = api.load

    def chatty(*arguments: Any, **more: Any) -> Any:
        warnings.warn("an option is deprecated", stacklevel=1)
        logging.getLogger("library").warning("some weights are odd")
        logging.getLogger("mainstem").warning("this takes %s", "a while")
        return real(*arguments, **more)

    monkeypatch.setattr(api, "load", chatty)
    said = typed("lens", PROMPT)
    assert (said.code, said.err) == (0, "note: this takes a while\n")


def raising(error: BaseException) -> Any:
    """A function that only raises. Parameters: `error`."""

    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
