"""One page of the server as a file that holds its answers: opened with no network, and with no model behind it."""

import os
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file

from ._modules import joined
from ._page import policy
from ._shell import scripts
from ._svg import asset, plain
from ._written import written

LARGEST = 16 * 2**20  # bytes of such a file: what a mail takes and a browser reads at once
Held = tuple[str, Mapping[str, Any], Any]  # kind of question, what is asked, answer


def save_held(opening: Mapping[str, Any], answers: Iterable[Held], path: str | os.PathLike[str], fewer: str) -> Path:
    """Writes a page with its answers, whole or not at all. Returns the path.

    Answers that are one object stand in the file once, and so does every small picture of an image.

    Parameters: `opening`, what the page is told: its name as `page`, the model, what is held; `answers`; `path`; `fewer`, what a user can
    give fewer of. Raises `InputError` where the file would be larger than 16 MiB.
    """
    text = held_page(opening, answers)
    if (size := len(text.encode())) > LARGEST:
        raise InputError(f"this file would have {size / 2**20:.0f} MiB, more than {LARGEST // 2**20}: {fewer}.")
    with whole_file(Path(path)) as making:
        making.write_text(text, encoding="utf-8")
    return Path(path)


def held_page(opening: Mapping[str, Any], answers: Iterable[Held]) -> str:
    """The page's HTML. Parameters: `opening` and `answers`, as of `save_held`."""
    script = f'(() => {{\n"use strict";\n{joined("held.js", scripts())}}})();'
    title = escape(plain(f"mainstem · {opening.get('model') or 'page'}"))
    styles = "".join(asset(name) for name in ("page.css", "look.css", "pages.css"))
    return (
        '<!doctype html>\n<html lang="en" class="ms-own"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f'<title>{title}</title></head>\n<body><main class="ms-page"><style>{styles}</style>'
        "<noscript><p>This page is drawn by its scripts.</p></noscript>"
        f'<script type="application/json">{written(_record(opening, answers))}</script>'
        f"<script>{script}</script></main></body></html>\n"
    )


def _record(opening: Mapping[str, Any], answers: Iterable[Held]) -> dict[str, Any]:
    made: list[Any] = []
    places: dict[int, int] = {}
    pictures: dict[str, int] = {}
    asked = []
    for kind, question, answer in answers:
        if id(answer) not in places:
            places[id(answer)] = len(made)
            made.append(answer)  # kept alive, so that no other answer takes its id
        asked.append([kind, question, places[id(answer)]])
    pooled = [_pooled(answer, pictures) for answer in made]
    return {"opening": opening, "asked": asked, "answers": pooled, "pictures": list(pictures)}


def _pooled(value: Any, pictures: dict[str, int]) -> Any:
    """An answer with every picture as its number. Parameters: `value`; `pictures`, to which new ones are added."""
    match value:
        case dict():
            return {k: pictures.setdefault(v, len(pictures)) if k == "small" else _pooled(v, pictures) for k, v in value.items()}
        case list() | tuple():
            return [_pooled(one, pictures) for one in value]
    return value
