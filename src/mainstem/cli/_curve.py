"""`mainstem curve`: what a model is worth without some of its blocks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from . import _measured as how
from . import _options as opt
from ._files import output
from ._help import explained
from ._open import opened
from ._terminal import busy, print_json, show, told

HELP = explained(
    "Accuracy and loss of a model without its last blocks, its first ones, or one of them.",
    """What a block writes is taken out where it is added; the rest of the stream stays: projections of down-sampling blocks, norms behind a
    sum, pooling. Text without labels is read for its next tokens; with --labels, and with images, classes are what is looked at.""",
    """With the values stand chance, the floor of always saying the same as the labels are distributed, and a bootstrap interval over
    examples; fewer than 30 of them come with a caution. Of image files the class is the number that their names begin with (12_n01440764_tench.jpg), else their folder.""",
    examples="""
    mainstem curve stories.txt
    mainstem curve stories.txt --side head --png head.png
    mainstem curve photos/ --model default-image --side single --metric top1 --html single.html
    mainstem curve reviews.jsonl --model ./classifier --labels label
    """,
)

RESAMPLES = 100_000


class CurveSide(StrEnum):
    """Which blocks are taken out."""

    tail = "tail"
    head = "head"
    single = "single"
    skip = "skip"


class Places(StrEnum):
    """Which next tokens count."""

    all = "all"
    last = "last"


Side = Annotated[
    CurveSide,
    typer.Option(
        help="All blocks behind one (tail), all before one (head), one alone (single), or the stream that one adds to (skip)."
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric", metavar="NAME", help="loss, accuracy, top1 or top5; may be given several times. The first is drawn."
    ),
]
Labels = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds each example's class.")]
PlacesOption = Annotated[Places, typer.Option(help="All next tokens, or the last of each window.")]
NormOption = Annotated[opt.Norm, typer.Option(help="The readout's norm: each curve value's own, or that of the whole model.")]
BatchTokens = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="The most tokens of a batch, 2,048 by default; of images, images, 16.")
]


def _resamples(typed: str | int) -> int:
    if not (isinstance(typed, int) or typed.isdecimal()) or int(typed) > RESAMPLES:
        raise typer.BadParameter(f"a whole number up to {RESAMPLES:,}, 0 for no interval, not {typed!r}.")
    return int(typed)


Resamples = Annotated[
    int,
    typer.Option(parser=_resamples, metavar="N", help="Resamples of the bootstrap, at most 100,000; 0 for no interval."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of the bootstrap.")]
Alone = Annotated[bool, typer.Option("--alone", help="Run the model anew for every value: slower, the same numbers.")]
Save = Annotated[
    Path | None, typer.Option(metavar="FILE", callback=output(".json"), help="Store the curve, for AblationCurve.load.")
]
Png = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", callback=output(".png"), help="Draw the first metric as a PNG.")
]
Svg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", callback=output(".svg"), help="Draw the first metric as an SVG.")
]
Html = Annotated[Path | None, typer.Option(metavar="FILE", callback=output(".html"), help="Draw the first metric as a page.")]


def curve(
    data: how.Data,
    model: opt.ModelOption = "default",
    side: Side = CurveSide.tail,
    metric: Metrics = None,
    labels: Labels = None,
    norm: NormOption = opt.Norm.own,
    places: PlacesOption = Places.all,
    column: how.Column = None,
    stream: how.Stream = None,
    batch_tokens: BatchTokens = None,
    length: how.Length = None,
    resamples: Resamples = 1000,
    seed: Seed = 0,
    alone: Alone = False,
    json: opt.Json = False,
    save: Save = None,
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
    """Prints `mainstem.ablation_curve()`.

    Parameters: `data`, `side`, `metric`, `labels`, `norm`, `places`, `column`, `stream`, `batch_tokens`, `length`, `resamples` and `seed`, as of
    `mainstem.ablation_curve`; `alone`, the opposite of its `together`; `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of
    `mainstem.load`; `json`, as plain data; `save`, `parquet`, `csv`, `html`, `svg`, `png`, files to write.
    """
    charts = how.check_charts(html, svg, png)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("taking blocks out"):
        from mainstem.api import ablation_curve

        found = ablation_curve(
            held, data, side.value, metric, norm.value, labels, column, stream, places.value, batch_tokens, length,
            resamples, seed, not alone,
        )  # fmt: skip
        for path in charts:
            found.chart().save(path)
    written = [found.save(path) for path in (save, parquet, csv) if path]
    print_json(found.to_dict()) if json else show([repr(found)])
    for path in (*charts, *written):
        told(path)
