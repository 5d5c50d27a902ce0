"""Runs a page's own Python while the docs are built, so that what the page says is what the code gave.

Blocks marked `python run` share one namespace a page. What a block prints stands below it, and its last expression as a notebook shows it:
a picture drawn, anything else by its repr. `{{ expression }}` in the prose is worked out where it stands. What fails stops the build.
"""

import ast
import io
import re
from contextlib import redirect_stdout
from itertools import count
from typing import Any

from mkdocs.exceptions import PluginError

MARK = "```python run\n"
PIECE = re.compile(r"^```python run\n(?P<code>.*?)^```$|^```.*?^```$|\{\{(?P<said>.+?)\}\}", re.MULTILINE | re.DOTALL)
NO_NUMBER = re.compile(r"\b(nan|NaN|inf)\b")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for each page: run its blocks, if it has any that are to be run."""
    return rendered(markdown, page.file.src_uri) if MARK in markdown else markdown


def rendered(markdown: str, name: str) -> str:
    """The page with what its blocks gave. Raises `PluginError` with the page, the block and the line of what failed."""
    space: dict[str, Any] = {"__name__": name}
    blocks = count(1)

    def piece(found: re.Match[str]) -> str:
        if found["code"] is None and found["said"] is None:
            return found[0]  # another fence
        what = "a sentence" if found["code"] is None else f"block {next(blocks)}"
        line = markdown.count("\n", 0, found.start("code" if found["said"] is None else "said"))
        try:
            if found["code"] is None:
                return str(eval(compile("\n" * line + found["said"].strip(), name, "eval"), space))
            return f"```python\n{found['code']}```\n{output(chr(10) * line + found['code'], name, space)}"
        except Exception as error:
            at = line_of(error, name, line + 1)
            said = f"{name}, {what}, line {at}: {markdown.splitlines()[at - 1].strip()}\n{type(error).__name__}: {error}"
            raise PluginError(said) from error

    return PIECE.sub(piece, markdown)


def output(code: str, name: str, space: dict[str, Any]) -> str:
    """Runs a block. What it printed, as a fence of text, and its last expression; nothing where there is neither."""
    body = ast.parse(code, name).body
    last = body[-1] if body else None
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        if isinstance(last, ast.Expr):
            exec(compile(ast.Module(body[:-1], []), name, "exec"), space)
            value = eval(compile(ast.Expression(last.value), name, "eval"), space)
        else:
            exec(compile(ast.Module(body, []), name, "exec"), space)
    drawn = drawing(value)
    text = printed.getvalue() + (f"{value!r}\n" if drawn is None and value is not None else "")
    if found := NO_NUMBER.search(text):
        raise ValueError(f"it shows {found[0]}")
    return (f"\n```text\n{text}```\n" if text else "") + (figure(drawn) if drawn else "")


def drawing(value: Any) -> str | None:
    """The SVG that a notebook would show of a value; None where it shows none."""
    if svg := getattr(value, "_repr_svg_", None):
        return str(svg())
    bundle: dict[str, str] = getattr(value, "_repr_mimebundle_", dict)()
    return bundle.get("image/svg+xml")


def figure(svg: str) -> str:
    """A drawing inside of a page: a blank line would end it there."""
    drawn = re.sub(r"\n\s*", " ", svg)
    return f"\n<figure>{drawn}</figure>\n"


def line_of(error: Exception, name: str, first: int) -> int:
    """The page's own line that an error comes from, `first` where it comes from none."""
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno or first
    at, trace = first, error.__traceback__
    while trace is not None:
        at = trace.tb_lineno if trace.tb_frame.f_code.co_filename == name else at
        trace = trace.tb_next
    return at
