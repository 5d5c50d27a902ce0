"""`mainstem erasers`: neurons and heads that take away what they read."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _measured as how
from . import _options as opt
from ._help import explained
from ._open import opened
from ._terminal import DIM, TITLE, bar, busy, print_json, show, signed, table, told, tone

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

HELP = explained(
    "Lists neurons and heads whose weights take away what they read of the stream: memory management.",
    """A neuron's score is the cosine of the row that it reads by and the row that it adds; a head's is how negative the eigenvalues of
    W_V W_O are, -1 to 1, times its mean attention to the token that it stands at. What is near -1 erases.""",
    """The attention is averaged over DATA, or over the example that the model is mapped with: give data where heads matter. Whether
    something is erased because it was written is asked of a prompt, with Trace.erased in Python.""",
    examples="""
    mainstem erasers
    mainstem erasers stories.txt --top 20 --kind head
    mainstem erasers stories.txt --model ./my-model --html erasers.html --parquet erasers.parquet
    """,
)


class Kind(StrEnum):
    """What is listed."""

    neuron = "neuron"
    head = "head"


Data = Annotated[
    str,
    typer.Argument(metavar="[DATA]", help="A file or folder of text (.txt), JSON lines (.jsonl), Parquet or images.", show_default=False),
]  # fmt: skip
Top = Annotated[int, typer.Option(min=1, metavar="K", help="How many of either kind to show; files of tables hold all.")]
KindOption = Annotated[Kind | None, typer.Option(help="Only these; both by default.")]
Html = Annotated[opt.Path | None, typer.Option(metavar="FILE", callback=how.output(".html"), help="Draw them as a page.")]
Svg = Annotated[opt.Path | None, typer.Option("--svg", metavar="FILE", callback=how.output(".svg"), help="Draw them as an SVG.")]
Png = Annotated[opt.Path | None, typer.Option("--png", metavar="FILE", callback=how.output(".png"), help="Draw them as a PNG.")]


def erasers(
    data: Data = "",
    model: opt.ModelOption = "default",
    top: Top = 10,
    kind: KindOption = None,
    column: how.Column = None,
    batch_tokens: how.Tokens = 1024,
    length: how.Length = None,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    html: Html = None,
    svg: Svg = None,
    png: Png = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `Model.erasers()`.

    Parameters: `data`, `column`, `batch_tokens` and `length`, as of `Model.erasers`; `model`, `device`, `dtype`, `revision`, `trust_remote_code`,
    `pickles`, as of `mainstem.load`; `top` and `kind`, what is shown; `json`, as plain data; `parquet`, `csv`, `html`, `svg`, `png`, files to write.
    """
    charts = how.check_charts(html, svg, png)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("looking for erasers"):
        found = held.erasers(data or None, column=column, batch_tokens=batch_tokens, length=length)
    if charts:
        drawn = found.chart(kind.value if kind else None, top)
        for path in charts:
            drawn.save(path)
    written = [found.save(path) for path in (parquet, csv) if path]
    rows = [row for name in ([kind.value] if kind else list(Kind)) for row in found.rows(name, top)]
    if json:
        print_json({"model": found.model, "data": data or None, "provenance": held.provenance.to_dict(), "rows": rows})
    else:
        show(_shown(found.model, rows, data))
    for path in (*charts, *written):
        told(path)


def _shown(model: str, rows: list[dict[str, Any]], data: str) -> Iterator["RenderableType"]:
    from rich.text import Text

    over = f"attention over {data}" if data else "attention over an example; name data to take theirs"
    yield Text.assemble((model, DIM), "  ", ("what takes away what it reads", TITLE), (f"  {over}", DIM))
    for kind in Kind:
        if some := [row for row in rows if row["kind"] == kind]:
            yield ""
            yield _table(kind, some)


def _table(kind: Kind, rows: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    neurons = kind is Kind.neuron
    made = table(
        f"  {kind}", "score", "", *(("row",) if neurons else ("eigenvalues", "own token")), right=[1] if neurons else [1, 3, 4]
    )
    low, high = min(0.0, *(row["score"] for row in rows)), max(0.0, *(row["score"] for row in rows))
    for row in rows:
        score = row["score"]
        more = (row["key"],) if neurons else (signed(row["eigenvalues"]), f"{row['present']:.3f}")
        shown = bar(score, low, high, 16, tone(score)) if score == score else Text()
        made.add_row(f"  {row['component']}", Text(signed(score), tone(score)), shown, *more)
    return made
