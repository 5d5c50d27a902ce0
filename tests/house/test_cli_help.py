"""The command line explains itself, and does so at once."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

HEAVY = ("torch", "transformers", "polars", "pyarrow", "tokenizers", "safetensors", "numpy")


def commands(app: typer.Typer) -> Iterator[tuple[list[str], Any]]:
    """The root and every command below it, with what is typed to reach it."""

    def below(path: list[str], command: Any) -> Iterator[tuple[list[str], Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from below([*path, name], child)

    yield from below([], typer.main.get_command(app))


def check_help(app: typer.Typer) -> Iterator[str]:
    """Commands whose --help fails, that say nothing, or with an option or argument that does."""
    for path, command in commands(app):
        typed = " ".join(["mainstem", *path])
        result = CliRunner().invoke(app, [*path, "--help"])
        if result.exit_code != 0:
            yield f"{typed} --help: exit code {result.exit_code}: {result.exception or result.output}"
        if not (command.help or "").strip():
            yield f"{typed}: says nothing about itself"
        for parameter in command.params:
            if not (getattr(parameter, "help", "") or "").strip():
                yield f"{typed}: {parameter.name} has no help"


def heavy_after(statement: str) -> list[str]:
    """Which heavy packages a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()


def test_every_command_and_option_has_help():
    from mainstem.cli import app

    assert not (faults := list(check_help(app))), "\n" + "\n".join(faults)


def test_every_command_of_the_readme_is_there():
    from mainstem.cli import app

    assert {"find", "verify", "trace", "lens", "models"} <= {path[0] for path, _ in commands(app) if path}


def test_importing_the_command_line_loads_nothing_heavy():
    assert heavy_after("import mainstem.cli") == []


def test_importing_the_door_loads_nothing_heavy():
    assert heavy_after("import mainstem") == []


@pytest.mark.slow
def test_help_answers_in_half_a_second():
    script = Path(sys.executable).with_name("mainstem")
    assert min(seconds([script, "--help"]) for _ in range(5)) < 0.5


def seconds(command: list[str | Path]) -> float:
    """How much processor time a command takes: a busy machine makes it wait, and says nothing of it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def planted_app() -> typer.Typer:
    """One good command, one that says nothing, one with a mute option, one whose help breaks."""
    app = typer.Typer(help="Planted.", rich_markup_mode="rich")

    @app.command(help="Fine.")
    def good(x: Annotated[int, typer.Option(help="How many.")] = 1) -> None: ...

    @app.command()
    def silent() -> None: ...

    @app.command(help="Has a mute option and a mute argument.")
    def mute(text: str, x: int = 1) -> None: ...

    @app.command(help="Closes a [/tag] that was never opened.")
    def breaks() -> None: ...

    return app


def test_planted_faults_are_caught():
    assert [said.split(": closing tag")[0] for said in check_help(planted_app())] == [
        "mainstem --help: exit code 1",
        "mainstem silent: says nothing about itself",
        "mainstem mute: text has no help",
        "mainstem mute: x has no help",
        "mainstem breaks --help: exit code 1",
    ]


def test_a_planted_heavy_import_is_caught():
    assert "numpy" in heavy_after("import numpy")
