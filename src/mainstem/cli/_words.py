"""`mainstem words`: what components raise and lower, in words."""

from enum import StrEnum
from typing import Annotated

import typer

from . import _options as opt
from ._complete import component_list
from ._help import explained
from ._open import opened
from ._show_words import shown
from ._terminal import busy, print_json, show, told
from ._trace import wanted

HELP = explained(
    "Shows the words that a component raises most and lowers most.",
    """A head, neuron or layer adds a vector to the stream; carried to the output through all that follows it, the vector
    raises the logits of some words and lowers those of others. A neuron with a negative activation writes its weights turned
    round: with --of row the words are those of the weights themselves, whatever the activation. Labels are as mainstem trace
    prints them; put one with < in it in quotes.""",
    examples="""
    mainstem words L3.mlp.N217 "The capital of France is"
    mainstem words L3.mlp.N217 "The capital of France is" --of row
    mainstem words L5.attn,L5.mlp,L5.resid_post "The capital of France is" --top 6
    mainstem words "L2.attn.H1<-3" "The capital of France is" --position -1 --csv words.csv
    mainstem words L4.conv.N7 --image cat.jpg --model default-image
    """,
)


class Of(StrEnum):
    """Whose words are shown."""

    write = "write"
    row = "row"


Components = Annotated[
    str,
    typer.Argument(
        metavar="COMPONENT",
        autocompletion=component_list,
        help="Its label: L3.mlp, L3.mlp.N217, L2.attn.H1, L3.resid_post. Several with commas between them.",
        show_default=False,
    ),
]
OfOption = Annotated[
    Of, typer.Option("--of", help="What is added at this token, or a neuron's row of weights whatever its activation.")
]
Top = Annotated[int, typer.Option(min=1, max=1000, metavar="K", help="How many words at each end, up to 1000.")]


def words(
    component: Components,
    prompts: opt.Prompts = None,
    model: opt.ModelOption = "default",
    of: OfOption = Of.write,
    top: Top = 10,
    position: opt.Position = None,
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
    """Prints `Trace.words()`.

    Parameters: `component`, labels with commas between them; `model`, `device`, `dtype`, `revision`, `trust_remote_code`,
    `pickles`, as of `mainstem.load`; `prompts` or `image`, `zero` and `padding`, as of `Model.trace`; `of` and `position`, as of
    `Trace.words`; `top`, how many words at each end; `json`, as plain data; `parquet` and `csv`, files for the table.
    """
    data = wanted(prompts, image)
    labels = [label.strip() for label in component.split(",") if label.strip()]
    if not labels:
        raise typer.BadParameter("there is no component: name one, such as L0.mlp or L0.attn.H0")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("reading weights and writes"):
        from mainstem.api import save_words
        from mainstem.stream import zero as zeroed

        run = held.trace(data, edits=zeroed(*zero) if zero else None, padding=padding.value)
        found = [run.words(labels, top, top, of.value, i, position) for i in range(len(data))]
        records = [{"prompt": str(text), **one.to_dict()} for text, one in zip(data, found, strict=True)]
    written = [save_words(found, path) for path in (parquet, csv) if path]
    if json:
        records = [record | {"provenance": run.provenance.to_dict()} for record in records]
        print_json(records if len(records) > 1 else records[0])
    else:
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *shown(record)))
    for path in written:
        told(path)
