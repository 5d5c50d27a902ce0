"""`mainstem outliers`: a report for people who quantise."""

from typing import Annotated

import typer

from . import _measured as how
from . import _options as opt
from ._help import explained
from ._open import opened
from ._terminal import busy, print_json, show, told

HELP = explained(
    "Reports outlier features: which, at which layers, on which tokens, and the loss without them.",
    """By LLM.int8's rule (large at many positions and many layers) and as massive activations (huge anywhere). Each set is then zeroed in the
    stream, beside as many features taken at random, and the loss of the next token is measured.""",
    examples="""
    mainstem outliers stories.txt
    mainstem outliers stories.txt --model ./my-model --html outliers.html
    mainstem outliers stories.txt --magnitude 10 --share 0.1 --parquet outliers.parquet
    """,
)
Magnitude = Annotated[float, typer.Option(min=0, metavar="X", help="LLM.int8's rule: an outlier is this large,")]
Share = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="at this share of the positions,")]
AtPoints = Annotated[float, typer.Option("--points", min=0, max=1, metavar="SHARE", help="at this share of the points.")]
Massive = Annotated[float, typer.Option(min=0, metavar="X", help="A massive activation is this large,")]
Ratio = Annotated[float, typer.Option(min=0, metavar="X", help="and this many times the median.")]
Draws = Annotated[int, typer.Option(min=1, metavar="N", help="How many random sets stand beside each.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Which random sets.")]


def outliers(
    data: how.Data,
    model: opt.ModelOption = "default",
    magnitude: Magnitude = 6.0,
    share: Share = 0.06,
    points: AtPoints = 0.25,
    massive: Massive = 100.0,
    ratio: Ratio = 1000.0,
    draws: Draws = 3,
    seed: Seed = 0,
    column: how.Column = None,
    stream: how.Stream = None,
    batch_tokens: how.Tokens = 1024,
    length: how.Length = None,
    json: opt.Json = False,
    html: opt.Html = None,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `mainstem.outlier_report()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `data`, `magnitude`, `share`, `points`,
    `massive`, `ratio`, `draws`, `seed`, `column`, `stream`, `batch_tokens` and `length`, as of `mainstem.outlier_report`; `json`, as plain data;
    `html`, `parquet`, `csv`, files to write.
    """
    if html:
        how.check_charts(html)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("looking for outliers"):
        from mainstem.api import outlier_report

        found = outlier_report(
            held, data, magnitude, share, points, massive, ratio, draws=draws, seed=seed,
            column=column, stream=stream, batch_tokens=batch_tokens, length=length,
        )  # fmt: skip
    written = [found.save(path) for path in (html, parquet, csv) if path]
    print_json(found.to_dict()) if json else show([repr(found)])
    for path in written:
        told(path)
