"""`mainstem lens`: what the stream already says at every point and position."""

from pathlib import Path
from typing import Annotated

import typer

from . import _options as opt
from ._help import explained
from ._open import opened
from ._show_lens import shown
from ._terminal import busy, print_json, show, told
from ._trace import wanted

HELP = explained(
    "Shows what each point of the stream already predicts.",
    """The logit lens: the model's own readout, applied to every point. One row a point, one column a token, and in each
    cell the likeliest next token there; on a terminal, the stronger the colour the likelier. With --target the cells hold
    the probability of that token instead. With --tuned each point is first translated by a lens that mainstem tune fitted
    for the model: early points, which the readout was not made for, then show what they can say.""",
    examples="""
    mainstem lens "The capital of France is"
    mainstem lens "The capital of France is" --target " Paris"
    mainstem lens "The capital of France is" --norm final --csv lens.csv
    mainstem lens "The capital of France is" --tuned lens.safetensors
    """,
)
NormOption = Annotated[
    opt.Norm, typer.Option(help="Norm each point by its own scale, or by the scale that the readout has at the last point.")
]

Tuned = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", exists=True, dir_okay=False, help="Read through this tuned lens, which mainstem tune has stored."
    ),
]


def lens(
    prompts: opt.Prompts = None,
    model: opt.ModelOption = "default",
    target: opt.Target = None,
    norm: NormOption = opt.Norm.own,
    tuned: Tuned = None,
    zero: opt.Zero = None,
    image: opt.Images = None,
    padding: opt.Padding = opt.Side.right,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `Trace.lens()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `prompts`
    or `image`, `zero` and `padding`, as of `Model.trace`; `target`, `norm` and `tuned`, as of `Trace.lens`; `json`, as plain
    data; `parquet` and `csv`, files for the table.
    """
    data = wanted(prompts, image)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("reading the stream"):
        from mainstem.api import TunedLens
        from mainstem.stream import zero as zeroed

        run = held.trace(data, edits=zeroed(*zero) if zero else None, padding=padding.value)
        through = TunedLens.load(tuned, held) if tuned else None
        found = run.lens(target, norm.value, tuned=through)
        records = [{"prompt": str(text), **found.to_dict(i)} for i, text in enumerate(data)]
    written = [found.save(path) for path in (parquet, csv) if path]
    if json:
        records = [record | {"provenance": run.provenance.to_dict()} for record in records]
        print_json(records if len(records) > 1 else records[0])
    else:
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *shown(record, target)))
    for path in written:
        told(path)
