"""`mainstem verify --zoo`: its options, its progress, and what it says at the end."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._terminal import BAD, DIM, GOOD, print_json, show, small, table, told

if TYPE_CHECKING:
    from rich.console import RenderableType


class Kind(StrEnum):
    """What an architecture is for."""

    causal = "causal"
    masked = "masked"
    seq2seq = "seq2seq"
    image = "image"
    audio = "audio"


Zoo = Annotated[bool, typer.Option("--zoo", help="Every architecture of the installed transformers release instead of a model.")]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="With --zoo: only this class or model type. May be given several times."),
]
Kinds = Annotated[list[Kind] | None, typer.Option(help="With --zoo: only this kind. May be given several times.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="With --zoo: also what was done before with the same versions.")]
Workers = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="With --zoo: processes at a time; as many as there are cores by default.")
]
Limit = Annotated[float, typer.Option(min=1, metavar="S", help="With --zoo: seconds for one architecture.")]
Out = Annotated[
    Path,
    typer.Option(metavar="FOLDER", help="With --zoo: where compatibility.md and compatibility.json are written, and looked for."),
]
_MARKS = {"closed": ("✓", GOOD), "open": ("✗", BAD), "streamless": ("-", DIM), "unbuilt": ("?", DIM)}


def verified(
    out: Path, kinds: Iterable[Kind], only: Iterable[str], fresh: bool, workers: int | None, limit: float, json: bool
) -> None:
    """Verifies the zoo and prints a row of each architecture; leaves with 1 where one is not closed.

    Parameters: `out`, `kinds`, `only`, `fresh`, `workers` and `limit`, as of `verify_zoo`; `json`, print plain data.
    """
    from mainstem.api import verify_zoo

    rows = list(_watched(verify_zoo(out, [str(kind) for kind in kinds], only, fresh, workers, limit)))
    if json:
        print_json(rows)
    else:
        show(_shown(rows))
    told(out / "compatibility.md")
    if any(row["status"] == "open" for row in rows):
        raise typer.Exit(1)


def _watched(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same rows, with a line on stderr that says which was the last; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from rows
        return
    with console.status("starting", spinner="dots", spinner_style=DIM) as status:
        for n, row in enumerate(rows, 1):
            status.update(Text.assemble(f"{n} ", (row["name"], DIM), f" {row['status']}"))
            yield row


def _shown(rows: list[dict[str, Any]]) -> Iterator["RenderableType"]:
    from rich.text import Text

    made = table("", "architecture", "kind", "additions", "error", "s", "", right=[3, 4, 5], gap=2)
    for row in rows:
        closure, streams = row.get("closure"), row.get("streams") or {}
        cells = (row["name"], row["kind"], "+".join(map(str, streams.values())), small(closure[1]) if closure else "")
        made.add_row(Text(*_MARKS[row["status"]]), *cells, f"{row['seconds']:.1f}", Text(row["reason"], DIM))
    yield made
    yield Text()
    for kind in Kind:
        if some := [row["status"] for row in rows if row["kind"] == kind]:
            counts = (f"{some.count(status)} {said}" for status, said in _SAID.items() if status in some)
            yield Text(f"{kind.value:<8} {', '.join(counts)}")


_SAID = {"closed": "closed", "open": "not closed", "streamless": "without a stream", "unbuilt": "not built"}
