"""The page: one traced prompt as one HTML file that needs nothing else, and says so to the browser."""

import os
from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from mainstem.core import whole_file

from ._modules import joined
from ._river import river
from ._shell import scripts
from ._svg import asset, element, plain
from ._written import written

COLUMNS = (("river", "lens"), ("heads", "neurons"))


def page(record: dict[str, Any]) -> str:
    """One traced prompt as a self-contained HTML file: no network, nothing beside it, safe to paste twice.

    The river is drawn here (`river`); the rest is drawn by the page's own script from the record, which stands in the
    page as JSON, once. Whatever came from a model or its user is written as text, never as markup.

    Parameters: `record`, the trace as plain data (numbers that are not finite become null); its heads, neurons and
    grid may be missing.
    """
    script = f'(() => {{\n"use strict";\n{joined("page.js", scripts())}}})();'
    inside = [
        _section("head"),
        element("div", (_column(parts, record) for parts in COLUMNS), class_="columns"),
        element("div", " ", data_part="look"),
        _section("foot"),
        "<noscript><p>Only the river is drawn without scripts.</p></noscript>",
        f'<script type="application/json">{written(record)}</script>',
        f"<script>{script}</script>",
    ]
    return (
        '<!doctype html>\n<html lang="en" class="ms-own"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{escape(_title(record))}</title></head>\n<body>"
        f'<main class="ms-page"><style>{asset("page.css")}{asset("look.css")}</style>{"".join(inside)}</main></body></html>\n'
    )


def framed(record: dict[str, Any]) -> str:
    """The page in a frame of its own, as notebooks show it: its styles and scripts stay inside, and it reaches nothing outside.

    Parameters: `record`, as for `page`.
    """
    inside = escape(page(record))
    style = "width: 100%; height: 860px; border: 0"
    return f'<iframe sandbox="allow-scripts allow-downloads" style="{style}" srcdoc="{inside}"></iframe>'


def save_page(record: dict[str, Any], path: str | os.PathLike[str]) -> Path:
    """Writes the page whole or not at all: beside its place first, then moved there. Returns the path.

    Parameters: `record`, as for `page`; `path`, the file, replaced if it is there. Raises `InputError` where its
    folder is missing or it is a folder itself.
    """
    place = Path(path)
    with whole_file(place) as making:
        making.write_text(page(record), encoding="utf-8")
    return place


def _column(parts: tuple[str, ...], record: dict[str, Any]) -> str:
    return element("div", (_section(part, record) for part in parts))


def _section(part: str, record: dict[str, Any] | None = None) -> str:
    return element("section", river(record) if record and part == "river" else " ", data_part=part)


def _title(record: dict[str, Any]) -> str:
    prompt = plain(record.get("prompt") or "")
    return f"{prompt} · {record.get('model') or 'mainstem'}" if prompt else plain(record.get("model") or "mainstem")


def policy(script: str) -> str:
    """What a page tells the browser: nothing is fetched from anywhere, and no script runs but ours, known by its hash.

    Parameters: `script`, its text.
    """
    own = b64encode(sha256(script.encode()).digest()).decode()
    rules = ("default-src 'none'", "style-src 'unsafe-inline'", f"script-src 'sha256-{own}'", "img-src data:", "base-uri 'none'")
    return "; ".join((*rules, "form-action 'none'"))
