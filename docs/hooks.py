"""Puts the command line's own --help where a page says `<!-- mainstem --help -->`, so that the two cannot differ."""

from collections.abc import Iterator
from typing import Any

MARK = "<!-- mainstem --help -->"
WIDTH = "100"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page: replace the mark, if the page has it."""
    return markdown.replace(MARK, "\n".join(sections())) if MARK in markdown else markdown


def sections() -> Iterator[str]:
    """A heading and the help of each command, the root first."""
    import typer

    from mainstem.cli import app

    for path in paths([], typer.main.get_command(app)):
        title = " ".join(["mainstem", *path])
        yield f"## `{title}`\n\n```text\n{help_text(app, path)}\n```\n"


def paths(path: list[str], command: Any) -> Iterator[list[str]]:
    """What is typed to reach a command and each one below it; hidden ones stay hidden."""
    if not getattr(command, "hidden", False):
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from paths([*path, name], child)


def help_text(app: Any, path: list[str]) -> str:
    """What `mainstem ... --help` prints, without colour and as wide as the page."""
    from typer.testing import CliRunner

    plain = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": WIDTH, "TERMINAL_WIDTH": WIDTH}
    result = CliRunner().invoke(app, [*path, "--help"], prog_name="mainstem", env=plain)
    if result.exit_code != 0:
        raise RuntimeError(f"mainstem {' '.join(path)} --help failed: {result.output}") from result.exception
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())
