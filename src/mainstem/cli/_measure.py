"""`mainstem measure`: what a stream is like over data, in memory."""

from typing import Any

import typer

from . import _measured as how
from . import _options as opt
from ._help import explained
from ._open import opened
from ._terminal import busy, show

HELP = explained(
    "Measures the residual stream over data: kurtosis, outliers, size, variance and more, at every point.",
    """Statistics are gathered as the model runs and nothing else is kept; padding never counts, and no logits are worked out. With
    --at writes, values, pre or post the same is measured of what is added, of heads and of neurons.""",
    """Kurtosis of a vector over its features is 3(n-1)/(n+1) on average in any random basis, whatever the vector: what is more than
    that in the model's own basis is aligned with it. See --list for all measures and their choices. For data that take long, use
    mainstem scan.""",
    examples="""
    mainstem measure stories.txt
    mainstem measure stories.txt --by kurtosis --by rotated_kurtosis --png kurtosis.png
    mainstem measure stories.txt --by outliers --choice outliers.thresholds=[6.0,20.0] --at points --at writes
    mainstem measure photos/ --model default-image
    """,
)


def measure(
    data: how.Data = "",
    model: opt.ModelOption = "default",
    by: how.Names = None,
    at: how.At = None,
    points: how.Points = None,
    choice: how.Choice = None,
    column: how.Column = None,
    stream: how.Stream = None,
    batch_tokens: how.Tokens = 4096,
    length: how.Length = None,
    pack: how.Pack = False,
    unreadable: how.UnreadableOption = how.Unreadable.stop,
    listed: how.Listed = False,
    json: opt.Json = False,
    save: how.Save = None,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    html: how.Html = None,
    svg: how.Svg = None,
    png: how.Png = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `mainstem.measure()`.

    Parameters: `data`, `column`, `stream`, `batch_tokens`, `length`, `pack` and `unreadable`, as of `mainstem.measure`; `model`, `device`, `dtype`,
    `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `by`, its names; `at` and `points`, what is measured; `choice`, of measures;
    `listed`, the measures instead; `json`, as plain data; `save`, `parquet`, `csv`, `html`, `svg`, `png`, files to write.
    """
    if listed:
        show(how.listing())
        return
    if not data:
        raise typer.BadParameter("name what is to be measured, a file or a folder")
    charts, choices = how.check_charts(html, svg, png), how.choices_of(choice)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("measuring"):
        from mainstem.api import measure as measured

        bases = [one.value for one in at or [how.Basis.points]]
        more: dict[str, Any] = {"names": by} if by else {}
        found = measured(
            held, data, at=bases, points=points, choices=choices, column=column, stream=stream,
            batch_tokens=batch_tokens, length=length, pack=pack, unreadable=unreadable.value, **more,
        )  # fmt: skip
    how.tell(found, json, [path for path in (save, parquet, csv) if path], charts)
