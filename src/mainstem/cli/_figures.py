"""`mainstem figures`: the four charts by layer of a model over data."""

from typing import Annotated

import typer

from . import _measured as how
from . import _options as opt
from ._help import explained
from ._open import opened
from ._terminal import busy, told

HELP = explained(
    "Draws four charts by layer: kurtosis, kurtosis in a random basis, share of features with an outlier, and RMS.",
    """They are those that accounts of privileged bases show. Beside both kurtoses stands what any vector has in a random basis,
    3(n-1)/(n+1), which no rotation can be evidence for.""",
    examples="""
    mainstem figures stories.txt --png figures.png
    mainstem figures stories.txt --model ./my-model --threshold 10 --html figures.html
    """,
)
Threshold = Annotated[float, typer.Option(min=0, metavar="X", help="Above this a feature is an outlier.")]
TwoSided = Annotated[bool, typer.Option("--two-sided", help="Count large negative values too.")]
Every = Annotated[bool, typer.Option("--every", help="Show all points, not only what leaves each block.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Which rotation is drawn.")]


def figures(
    data: how.Data,
    model: opt.ModelOption = "default",
    threshold: Threshold = 6.0,
    two_sided: TwoSided = False,
    every: Every = False,
    column: how.Column = None,
    batch_tokens: how.Tokens = 4096,
    length: how.Length = None,
    seed: Seed = 0,
    html: how.Html = None,
    svg: how.Svg = None,
    png: how.Png = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Draws `mainstem.figures()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `data`, `threshold`, `two_sided`,
    `every`, `column`, `batch_tokens`, `length` and `seed`, as of `mainstem.figures`; `html`, `svg`, `png`, where to draw.
    """
    charts = how.check_charts(html, svg, png)
    if not charts:
        raise typer.BadParameter("name where to draw: --png FILE, --svg FILE or --html FILE")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("measuring"):
        from mainstem.api import figures as drawn

        sided = "two" if two_sided else "one"
        chart = drawn(held, data, threshold, sided, every, column=column, batch_tokens=batch_tokens, length=length, seed=seed)
    for path in charts:
        chart.save(path)
        told(path)
