"""`mainstem shift`: why a model breaks without its first blocks, and what each block makes of the stream."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _measured as how
from . import _options as opt
from ._files import not_missing, output
from ._help import explained
from ._open import opened
from ._show_shift import shifts, types
from ._terminal import busy, print_json, show, told

if TYPE_CHECKING:
    from mainstem.api import Model, Trace

HELP = explained(
    "Shows how far later layers' inputs and outputs are shifted once earlier blocks are taken out.",
    """For every later write, the vectors that its layer reads, and those that it writes, are held against the same in a run without the
    blocks: the Fréchet distance between Gaussians fitted to both, in units of the original's spread. A ratio above 1 says that the layer
    makes more of the change than it was given. --zero takes out something else than the first blocks.""",
    """--types asks something else, of one prompt or one image: how large is what a block adds beside what the stream had there, which it
    carries past the block (in a down-sampling block of a ResNet by its projection)? At a ratio far above 1 the stream
    becomes something else; at one far below it is only moved. The cosine of both is below 0 where a block takes away.""",
    examples="""
    mainstem shift stories.txt
    mainstem shift stories.txt --removed 1 --removed 2 --png shift.png
    mainstem shift stories.txt --zero L3.mlp --full
    mainstem shift "The capital of France is" --types --svg types.svg
    mainstem shift photo.jpg --types --model default-image
    """,
)

What = Annotated[
    str,
    typer.Argument(
        metavar="DATA|PROMPT",
        help="A file or folder of text or images, as for measure; with --types a prompt in quotes, or an image file.",
    ),
]
Removed = Annotated[
    list[int] | None,
    typer.Option(
        min=1, metavar="N", help="Take out the first N blocks; 1 by default. May be given several times, each by itself."
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Fit Gaussians with all covariances, not only with each feature's variance.")]
Types = Annotated[
    bool, typer.Option("--types", help="Show how large what is added is beside the stream, of one prompt or image.")
]
Position = Annotated[
    int | None,
    typer.Option(metavar="N", help="With --types: at one token alone, counted from 0 or back from -1; all by default."),
]
Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", callback=output(".png"), help="Draw the numbers as a PNG.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", callback=output(".svg"), help="Draw the numbers as an SVG.")]
Html = Annotated[Path | None, typer.Option(metavar="FILE", callback=output(".html"), help="Draw the numbers as a page.")]


def shift(
    what: What,
    model: opt.ModelOption = "default",
    removed: Removed = None,
    zero: opt.Zero = None,
    full: Full = False,
    types: Types = False,
    position: Position = None,
    column: how.Column = None,
    stream: how.Stream = None,
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
    """Prints `mainstem.input_shift()`, or `Trace.type_change()`.

    Parameters: `what`, their data; `removed`, `column`, `stream`, `batch_tokens` and `length`, as of `mainstem.input_shift`; `zero`, labels of an
    edit that is removed too; `full`, its `covariance`; `types`, which of them; `position`, as of `Trace.type_change`; `model`, `device`,
    `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `json`, as plain data; `parquet`, `csv`, `html`, `svg`,
    `png`, files to write.
    """
    if types and (removed or zero or full):
        raise typer.BadParameter("--types looks at the model as it is: leave out --removed, --zero and --full")
    if position is not None and not types:
        raise typer.BadParameter("--position is of --types")
    not_missing(what)
    charts, tables = how.check_charts(html, svg, png), [path for path in (parquet, csv) if path]
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    if types:
        _types(_traced(held, what), position, json, tables, charts)
    else:
        _shifts(held, what, [*(removed or ()), *_edits(zero)], full, (column, stream, batch_tokens, length), json, tables, charts)
    for path in (*charts, *tables):
        told(path)


def _edits(labels: list[str] | None) -> list[Any]:
    from mainstem.stream import zero

    return [zero(*labels)] if labels else []


def _shifts(
    held: "Model",
    data: str,
    removed: list[Any],
    full: bool,
    more: tuple[Any, ...],
    json: bool,
    tables: list[Path],
    charts: list[Path],
) -> None:
    with busy("taking blocks out"):
        from mainstem.api import input_shift

        found = input_shift(held, data, removed or 1, "full" if full else "diagonal", *more)
        for path in charts:
            found.chart().save(path)
        for path in tables:
            found.save(path)
    if json:
        made = found.provenance.to_dict() if found.provenance else None
        print_json({"about": found.about, "sites": list(found.rows), "ratios": list(found.ratios), "provenance": made})
    else:
        show(shifts(found.about["model"], found.rows, found.ratios, found.about.get("caution", "")))


def _traced(held: "Model", what: str) -> "Trace":
    with busy("reading"):
        place = Path(what)
        if len(what) > 255 or not place.is_file():
            return held.trace(what)
        return held.trace(place.read_text(encoding="utf-8") if place.suffix == ".txt" else place)


def _types(run: "Trace", position: int | None, json: bool, tables: list[Path], charts: list[Path]) -> None:
    frame = run.type_change(position=position)
    for path in charts:
        run.type_chart(position=position).save(path)
    for path in tables:
        (frame.write_parquet if path.suffix == ".parquet" else frame.write_csv)(path)
    rows = frame.to_dicts()
    print_json({"rows": rows, "provenance": run.provenance.to_dict()}) if json else show(types(rows))
