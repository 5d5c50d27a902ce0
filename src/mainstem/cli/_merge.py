"""`mainstem merge`: the folders of shards as one result."""

from pathlib import Path
from typing import Annotated

import typer

from . import _measured as how
from . import _options as opt
from ._help import explained
from ._terminal import busy

HELP = explained(
    "Puts the folders of a scan's shards together, or reads the folder of a whole one.",
    "Folders of different runs are refused with what differs, and pieces that are missing are counted.",
    examples="""
    mainstem merge run/
    mainstem merge shard0/ shard1/ shard2/ --save all.safetensors --parquet numbers.parquet
    """,
)
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER", help="Folders that mainstem scan wrote.")]


def merge(
    folders: Folders,
    json: opt.Json = False,
    save: how.Save = None,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    html: how.Html = None,
    svg: how.Svg = None,
    png: how.Png = None,
) -> None:
    """Prints `mainstem.merge()`.

    Parameters: `folders`; `json`, as plain data; `save`, `parquet`, `csv`, `html`, `svg`, `png`, files to write.
    """
    charts = how.check_charts(html, svg, png)
    with busy("merging"):
        from mainstem.api import merge as merged

        found = merged(folders)
    how.tell(found, json, [path for path in (save, parquet, csv) if path], charts)
