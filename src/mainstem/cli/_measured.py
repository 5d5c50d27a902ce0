"""What `measure`, `scan` and `merge` have in common: options, the table of sites, files."""

import json as plain
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ._complete import measures as measure_names
from ._files import output
from ._terminal import DIM, TITLE, print_json, show, table, told

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstem.api import Measurements


_NAMED = 5  # rows that were passed over


class Basis(StrEnum):
    """What is measured."""

    points = "points"
    writes = "writes"
    values = "values"
    pre = "pre"
    post = "post"


class Unreadable(StrEnum):
    """What is done at rows that cannot be read."""

    stop = "stop"
    skip = "skip"


Data = Annotated[
    str, typer.Argument(metavar="DATA", help="A file or folder of text (.txt), JSON lines (.jsonl), Parquet or images.")
]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--by", "-b", metavar="NAME", autocompletion=measure_names, help="A measure, see --list. May be given several times."
    ),
]
At = Annotated[
    list[Basis] | None,
    typer.Option(help="What is measured: points of the stream, writes, heads' values, neurons before (pre) and after (post) the activation."),
]  # fmt: skip
Points = Annotated[
    list[str] | None,
    typer.Option(metavar="LABEL", help='Only these, such as entry or "L*.resid_post". May be given several times.'),
]
Choice = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MEASURE.NAME=VALUE", help="A measure's choice, such as outliers.thresholds=[6.0] or outliers.sided=one."
    ),
]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="Which column of rows is read; text or image by default.")]
Stream = Annotated[str | None, typer.Option(metavar="NAME", help="Which of several streams; the main one by default.")]
Tokens = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="The most tokens of a batch, padding included, but for a longer window, which is a batch by itself; of images, images.",
    ),
]
Length = Annotated[int | None, typer.Option(min=1, metavar="N", help="The most tokens of a window that texts are cut into.")]
Pack = Annotated[
    bool,
    typer.Option(
        "--pack",
        help="Lay texts one behind the other into rows without padding, of --length tokens or, unsaid, of the most that the model takes (1,024 and --batch-tokens at most): the result says how long.",
    ),
]
UnreadableOption = Annotated[
    Unreadable, typer.Option(help="What is done at rows that cannot be read: they are named either way.")
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE", callback=output(".safetensors"), help="Store the states, for Measurements.load and merge."),
]
Png = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", callback=output(".png"), help="Draw the first measure as a PNG.")
]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", callback=output(".svg"), help="Draw the first measure as an SVG.")
]
Html = Annotated[Path | None, typer.Option(metavar="FILE", callback=output(".html"), help="Draw the first measure as a page.")]
Listed = Annotated[bool, typer.Option("--list", help="List the measures and leave.")]


def listing() -> list[Any]:
    """The measures, with what they take."""
    from dataclasses import fields

    from mainstem.measure import measures, pairs

    rows = table("measure", "of", "choices", "what it is", wrap=[3])
    for of, some in (("a site", measures()), ("two sites", pairs())):
        for name, one in some.items():
            rows.add_row(name, of, ", ".join(field.name for field in fields(one)), one.about)
    return [rows]


def choices_of(typed: list[str] | None) -> dict[str, dict[str, Any]]:
    """Choices by measure. Parameters: `typed`, such as "outliers.thresholds=[6.0]"; what is no JSON is text."""
    found: dict[str, dict[str, Any]] = {}
    for one in typed or ():
        name, equals, value = one.partition("=")
        measure, dot, choice = name.partition(".")
        if not (equals and dot and measure and choice):
            raise typer.BadParameter(f"a choice is written MEASURE.NAME=VALUE, such as outliers.sided=one, not {one!r}")
        try:
            read = plain.loads(value)
        except ValueError:
            read = value
        found.setdefault(measure, {})[choice] = tuple(read) if isinstance(read, list) else read
    return found


def check_charts(*paths: Path | None) -> list[Path]:
    """The charts that are wanted; raises where they could not be drawn. Parameters: `paths`."""
    wanted = [path for path in paths if path]
    if wanted:
        from mainstem.view import check_charts

        check_charts()
    return wanted


def tell(found: "Measurements", json: bool, files: list[Path], charts: list[Path]) -> None:
    """Draws, stores and prints measurements. Parameters: `found`; `json`, as plain data; `files`, to store; `charts`, to draw."""
    if charts:
        chart = found.chart()
        for path in charts:
            chart.save(path)
    written = [found.save(path) for path in files]
    if json:
        print_json({"choices": found.choices, "counts": found.counts, "rows": found.frame().to_dicts()})
    else:
        show(_shown(found))
    for path in (*charts, *written):
        told(path)


def _shown(found: "Measurements") -> Iterator["RenderableType"]:
    from rich.text import Text

    data = found.identity["data"]
    said = f"{data['examples']:,} examples of {data['kind']}" if "examples" in data else f"{len(data['parts'])} data sets"
    yield Text.assemble((str(found.identity["model"].get("name")), DIM), "  ", (said, TITLE), "\n")
    singles = [name for name in found.names if any(m == name and " -> " not in s for m, s in found.states)]
    for names in filter(None, (singles, [name for name in found.names if name not in singles])):
        numbers = {name: found.headline(name) for name in names}
        heads = [_head(found, name, numbers[name]) for name in names]
        rows = table("", *heads, right=range(1, 1 + len(names)))
        for site in dict.fromkeys(s for m, s in found.states if m in names):
            cells = [_cell(found[name].get(site, {}).get(numbers[name])) for name in names]
            rows.add_row(f"  {site}", *cells)
        yield rows
        yield ""
    lost = {k: sum(int(n[k]) for name in found.names[:1] for n in found[name].values()) for k in ("tokens", "nan", "inf")}
    first = next(iter(found[found.names[0]].values()))
    bad = "".join(f", {lost[k]:,} left out for a {k}" for k in ("nan", "inf") if lost[k])
    for place, why in found.faults[:_NAMED]:
        yield Text(f"passed over: {place}: {why}", style=DIM)
    row = found.identity["choices"].get("pack")
    packed = f", packed into rows of {row:,}" if row else ""
    yield Text(
        f"{int(first['tokens']):,} tokens{packed}{bad}" + (f", {len(found.faults)} rows passed over" if found.faults else ""),
        style=DIM,
    )


def _head(found: "Measurements", name: str, number: str) -> str:
    first = next(iter(found[name].values()))
    if number == "share" and "thresholds" in first:
        return f"{name}: share above {', '.join(f'{x:g}' for x in first['thresholds'].tolist())}"
    return name if number == name.partition("(")[0] else f"{name} {number}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    flat = value.reshape(-1).tolist()
    return " ".join(f"{x:.4g}" for x in flat) if len(flat) <= 4 else f"{len(flat)} numbers"
