"""Shifts and type changes, as tables."""

from collections.abc import Iterator, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from ._terminal import BAD, DIM, TITLE, table

if TYPE_CHECKING:
    from rich.console import RenderableType

Rows = Sequence[dict[str, Any]]


def shifts(model: str, sites: Rows, ratios: Rows, caution: str = "") -> Iterator["RenderableType"]:
    """What each removal does to the writes that follow. Parameters: `model`; `sites` and `ratios`, of `InputShift`; `caution`."""
    from rich.text import Text

    yield Text.assemble((model, DIM), (f"  shifts over {sites[0]['tokens']:,.0f} places", TITLE), "\n")
    rows = table("removed", "write", "input", "output", "ratio", right=[2, 3, 4])
    for one in ratios:
        ratio = f"{one['ratio']:.2f}" if isfinite(one["ratio"]) else "-"
        rows.add_row(Text(f"  {one['removed']}"), one["write"], f"{one['input']:.4f}", f"{one['output']:.4f}", ratio)
    yield rows
    yield Text("\nFréchet distance over the original's spread; ratio: the output's over the input's", style=DIM)
    if caution:
        yield Text(f"caution: {caution}", style=BAD)


def types(found: Rows) -> Iterator["RenderableType"]:
    """What is added, beside the stream. Parameters: `found`, rows of `Trace.type_change`."""
    from rich.text import Text

    yield Text.assemble((found[0]["model"], DIM), ("  what is added beside what the stream had there", TITLE), "\n")
    rows = table("", "added", "stream", "ratio", "cosine", "before, behind", right=[1, 2, 3, 4, 5])
    for one in found:
        block = one["level"] == "block"
        numbers = (_said(one[name], form) for name, form in _COLUMNS)
        rows.add_row(Text(f"  {one['write']}" if block else f"    {one['write']}", TITLE if block else ""), *numbers)
    yield rows
    yield Text(
        "\nnorms, root mean squares over places; cosines of what is added with the stream, and of the stream before and behind",
        style=DIM,
    )


_COLUMNS = (("branch", ".4g"), ("shortcut", ".4g"), ("ratio", ".3g"), ("cosine", "+.3f"), ("in_out", "+.3f"))


def _said(value: float | None, form: str) -> str:
    return "-" if value is None or not isfinite(value) else f"{value:{form}}"
