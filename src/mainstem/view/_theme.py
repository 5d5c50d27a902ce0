"""What all altair charts look like: the colours of the project's pictures, one font, light paper."""

import re
from functools import cache
from math import floor, log10
from typing import Any

from ._svg import KINDS, MINUS, asset

# Without the last name the bundled renderer draws no text at all where it has none of the others.
FONT = "'Helvetica Neue', Arial, sans-serif"
NAMES = {"attn": "attention", "mlp": "MLP", "conv": "convolution", "cross": "cross-attention"}
_ROWS = {"interaction": "#3f4f5f", "transport": "#b9a27c", "rounding": "#d9cbb0"}  # rows that are no writes, behind them


@cache
def colours() -> dict[str, str]:
    """The light colours of `picture.css` by name: of kinds of writes, of what is above zero ("water") and below ("ebb")."""
    light = asset("picture.css").partition("@media")[0]
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", light))


def kinds(present: set[str]) -> dict[str, str]:
    """Kinds of writes in the order of legends, with their colours. Parameters: `present`, those that there are."""
    known = {kind: colours()[kind] for kind in KINDS} | _ROWS
    return {k: v for k, v in known.items() if k in present} | {k: colours()["write"] for k in sorted(present - set(known))}


def diverging(values: list[float]) -> tuple[list[float], list[str]]:
    """Domain and colours of signed values, red below and blue above a light zero, as dark at -m as at m.

    Parameters: `values`, of which m is the largest size.
    """
    most = max(map(abs, values)) or 1.0
    ink, water, ebb = "#123f60", colours()["water"], colours()["ebb"]
    return [-most, -most / 2, 0.0, most / 2, most], ["#6d2413", ebb, "#f6f3ec", water, ink]


def figures(values: list[float], digits: int = 2) -> list[str]:
    """Signed values in few characters, alike in their digits; a power of ten where they are all small or one is large.

    Parameters: `values`; `digits`, behind the point, at most.
    """
    most = max(map(abs, values))
    form = f"+.{digits if most < 9.995 else digits - 1}f" if not most or 0.095 <= most < 999.5 else f"+.{digits - 1}e"
    nothing = (f"{0.0:{form}}", f"{-0.0:{form}}")
    return ["0" if (text := f"{value:{form}}") in nothing else text.replace("-", MINUS) for value in values]


def scaled(values: list[float], digits: int = 2) -> tuple[list[str], int]:
    """Signed values as `figures`, and the power of ten that they are of: 0 but where all are small or one is large.

    Parameters: `values`; `digits`, behind the point, at most.
    """
    most = max(map(abs, values))
    power = 0 if not most or 0.095 <= most < 999.5 else floor(log10(most))
    return figures([value / 10.0**power for value in values], digits), power


def config() -> dict[str, Any]:
    """The configuration that every chart is drawn with."""
    c = colours()
    axis = {
        "labelColor": c["ink"],
        "titleColor": c["ink"],
        "gridColor": c["band"],
        "domainColor": c["line"],
        "tickColor": c["line"],
    }
    label = {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal"}
    return {
        "background": c["paper"],
        "padding": 16,
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis | label | {"labelLimit": 260, "labelFlush": False, "titlePadding": 8},
        "legend": {"labelColor": c["ink"], "titleColor": c["ink"], "gradientThickness": 12, "titleLimit": 0} | label,
        "header": {"labelColor": c["ink"], "titleColor": c["ink"], "labelFontSize": 12},
        "text": {"color": c["ink"], "fontSize": 11},
        "title": {
            "anchor": "start", "frame": "bounds", "color": c["ink"], "fontSize": 16, "fontWeight": 600, "offset": 14,
            "subtitleColor": c["muted"], "subtitleFontSize": 12, "subtitlePadding": 6, "subtitleLineHeight": 16,
        },
    }  # fmt: skip


def hues(count: int) -> list[str]:
    """Colours of lines that stand for models or data, apart for all eyes; after eight they come again. Parameters: `count`."""
    named = [colours()[name] for name in ("water", "mlp", "cross", "entry", "ebb", "attn", "mixer", "muted")]
    return [named[i % len(named)] for i in range(count)]
