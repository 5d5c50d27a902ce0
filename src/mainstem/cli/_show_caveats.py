"""Caveats as a page of text: each part with what a direct score does not say of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._terminal import DIM, TITLE, print_json, quoted, show, signed, table, told, tone

if TYPE_CHECKING:
    from rich.console import RenderableType

_NUMBERS = ("dla", "logprob_increase", "frozen", "live", "repair", "kept")
_LEGEND = (
    "dla: logits. increase: nats gained as it is added where it enters. frozen: nats",
    "lost as it is taken out of the last point. live: nats lost in a run without it.",
    "repair: live - frozen, below zero where what follows makes up for it. kept: the",
    "share of it that later writes leave, and the write that takes most of it away.",
)


def told_caveats(frame: Any, prompts: Sequence[str], json: bool, paths: Sequence[Path]) -> None:
    """Prints the caveats, and stores them. Parameters: `frame`, of `Trace.caveats`; `prompts`; `json`, as plain data; `paths`, files."""
    from mainstem.core import whole_file

    for path in paths:
        with whole_file(path) as half:
            frame.write_parquet(half) if path.suffix == ".parquet" else frame.write_csv(half)
    if json:
        print_json(frame.to_dicts())
    else:
        show(_shown(frame, prompts))
    for path in paths:
        told(path)


def _shown(frame: Any, prompts: Sequence[str]) -> Iterator["RenderableType"]:
    from rich.text import Text

    for prompt, rows in frame.group_by("prompt", maintain_order=True):
        first = rows.row(0, named=True)
        head = (f"log p of {first['target']}", TITLE), (f"  the best by {first['by']}, norm {first['norm']}", DIM)
        yield Text.assemble((first["model"], DIM), "  ", (quoted(prompts[prompt[0]], 400), TITLE), "\n\n", *head, "\n")
        made = table("", "dla", "increase", "frozen", "live", "repair", "kept", "taken by", right=range(1, 7), gap=2)
        for row in rows.iter_rows(named=True):
            cells = [Text(signed(row[name], 2), tone(row[name]) if name in ("live", "repair") else "") for name in _NUMBERS]
            taken = f"{row['eraser']} {signed(row['erased'], 2)}" if row["eraser"] else ""
            made.add_row(f"  {row['component']}", *cells, Text(taken, DIM))
        yield made
        yield ""
    yield from (Text(line, DIM) for line in _LEGEND)
