"""Frames and records as charts read them: the columns that are needed, finite numbers, one prompt at one position."""

import re
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from mainstem.core import InputError

_MARKS = {" ": "·", "\n": "¶", "\t": "→", "\r": "¬", "\ufffd": "□"}
_LTR = "\u200e"
_ALONE = "the token alone"  # along which nothing but the target's own value is added
_QUOTED = re.compile(r"""(?<!\w)('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(?!\w)""")


def table(data: Any, numbers: tuple[str, ...], names: tuple[str, ...] = ()) -> Any:
    """A polars frame with these columns, checked.

    Parameters: `data`, a polars frame, or mappings of column to value; `numbers`, columns that must be there and finite;
    `names`, further ones that must be there. Raises `InputError` for no rows, a missing column, or a number that is not finite.
    """
    import polars as pl

    frame = data if isinstance(data, pl.DataFrame) else pl.DataFrame(_records(data), infer_schema_length=None)
    if frame.is_empty():
        raise InputError("there is nothing to draw: the table has no rows.")
    if missing := [name for name in (*numbers, *names) if name not in frame.columns]:
        raise InputError(
            f"a table for this chart has the columns {', '.join((*numbers, *names))}; missing: {', '.join(missing)}."
        )
    for name in numbers:
        odd = frame.filter(~pl.col(name).cast(pl.Float64).is_finite().fill_null(False))
        if len(odd):
            where = next((f"of {odd[c][0]}" for c in ("component", "layer") if c in odd.columns), "in the first such row")
            fault = f"{len(odd)} of {len(frame)} numbers in {name!r} are not finite, the one {where} is {odd[name][0]}"
            raise InputError(f"{fault}: leave such rows out, frame.filter(pl.col({name!r}).is_finite()).")
    return frame


def single(frame: Any) -> Any:
    """The frame itself, if it is of one prompt at one position.

    Parameters: `frame`. Raises `InputError` where there are several: their sum would be shown as if it were one.
    """
    for name, fix in (("prompt", "scores.prompt(0)"), ("position", "scores(..., positions=-1)")):
        if name in frame.columns and (n := frame[name].n_unique()) > 1:
            raise InputError(f"this chart shows one {name}; here are {n}: take one, {fix}, or sum or average the table first.")
    return frame


def _records(data: Any) -> list[dict[str, Any]]:
    rows = list(data) if isinstance(data, Iterable) else []
    if not all(isinstance(row, Mapping) for row in rows):
        raise InputError("a chart is made of a polars frame, or of records such as [{'component': 'L3.mlp', 'value': 1.5}].")
    return [dict(row) for row in rows]


def marked(text: str, most: int = 40) -> str:
    """A token as charts write it: spaces, line ends and tabs as marks that the bundled font has, and nothing that XML forbids.

    Behind what is written from the right a mark keeps the order of tokens.

    Parameters: `text`; `most`, characters; what is longer is cut.
    """
    shown = "".join(_MARKS.get(c) or (c if c.isprintable() else _escaped(c)) for c in text)
    cut = shown if len(shown) <= most else f"{shown[: most - 1]}…"
    return cut + _LTR if any(unicodedata.bidirectional(c) in ("R", "AL") for c in cut) else cut


def _escaped(c: str) -> str:
    return "□" if 0xD800 <= ord(c) < 0xE000 else c.encode("unicode_escape").decode()


def heading(title: str, about: str, width: int | float) -> dict[str, Any]:
    """Title and subtitle, broken into lines that fit, a quoted token of the title not between its quotes.

    Parameters: `title`; `about`, what stands below, its line ends kept; `width`, of what is drawn.
    """
    kept = _QUOTED.sub(lambda quoted: quoted[0].replace(" ", "\u00a0"), title)
    head = _lines(kept, max(width / 8.5, 56), 4)
    below = [line for part in about.split("\n") for line in _lines(part, max(width / 6.2, 84), 3)]
    return {"text": head} | ({"subtitle": below} if below else {})


def own_heading(frame: Any, title: str, about: str | None, width: int | float) -> dict[str, Any]:
    """The heading of a frame that says itself what it is of: behind the title its target, below it model, place and choices.

    Parameters: `frame`; `title`; `about`, what stands below, None for what the frame says; `width`, as of `heading`.
    """
    names = ("model", "target", "token", "position", "along", "level")
    one = {name: frame[name][0] for name in names if name in frame.columns and frame[name].n_unique() == 1}
    if about is not None:
        return heading(title, about, width)
    place = f"after token {one['position']}, {one['token']!r}" if None not in (one.get("position"), one.get("token")) else ""
    more = (f"{name} {one[name]}" for name in ("along", "level") if one.get(name, _ALONE) != _ALONE)
    said = [one.get("model"), place, *more]
    below = "\u00a0· ".join(part.replace(" ", "\u00a0") for part in said if part)
    stop = "" if title.endswith("?") else ":"
    return heading(f"{title}{stop} {one['target']}" if "target" in one else title, below, width)


def every(n: int, most: int) -> list[int]:
    """Which of n places are named: all, or every second, fifth, tenth and so on. Parameters: `n`; `most`, names that fit."""
    steps = (d * 10**power for power in range(9) for d in (1, 2, 5))
    return list(range(0, n, next(step for step in steps if n <= step * max(most, 1))))


def _lines(text: str, wide: int | float, most: int) -> list[str]:
    shown = "".join(c if c.isprintable() or c == "\u00a0" else _escaped(c) for c in text)
    return textwrap.wrap(shown, int(wide), max_lines=most, placeholder=" …")
