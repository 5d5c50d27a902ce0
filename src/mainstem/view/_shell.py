"""The page's frame on the server: its one HTML file, and the table of all else that can be asked for."""

from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

from ._svg import plain
from ._written import written

_TYPES = {".js": "text/javascript", ".css": "text/css"}


@cache
def assets() -> dict[str, tuple[str, str]]:
    """Every file that the server gives out: name to media type and text. What is not in here does not exist for it."""
    folder = files(__name__.rpartition(".")[0]) / "assets"
    found = sorted(folder.iterdir(), key=lambda file: file.name)
    kinds = ((file, _TYPES.get("." + file.name.rpartition(".")[2])) for file in found)
    return {file.name: (kind, file.read_text(encoding="utf-8")) for file, kind in kinds if kind}


def scripts() -> dict[str, str]:
    """The modules' texts by name."""
    return {name: text for name, (_, text) in assets().items() if name.endswith(".js")}


def shell(opening: Mapping[str, Any]) -> str:
    """The HTML that the browser opens. Parameters: `opening`, what its scripts are told: the model's name, the pages there are, what to show first."""
    title = escape(plain(f"mainstem · {opening.get('model') or 'view'}"))
    return (
        '<!doctype html>\n<html lang="en" class="ms-own"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="assets/page.css"><link rel="stylesheet" href="assets/look.css">'
        '<link rel="stylesheet" href="assets/pages.css">'
        '</head>\n<body><main class="ms-page"><noscript><p>This page is drawn by its scripts.</p></noscript>'
        f'<script type="application/json">{written(opening)}</script>'
        '<script type="module" src="assets/shell.js"></script></main></body></html>\n'
    )
