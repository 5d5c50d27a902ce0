"""Options that several commands share, each with its help."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ._complete import components, models
from ._files import output


class Level(StrEnum):
    """How far writes are taken apart."""

    write = "write"
    head = "head"
    edge = "edge"
    dim = "dim"
    neuron = "neuron"


class Norm(StrEnum):
    """By which scale the lens norms a point."""

    own = "own"
    final = "final"


class AnyNorm(StrEnum):
    """By which scale the final norm divides what is scored."""

    own = "own"
    final = "final"
    none = "none"


class Base(StrEnum):
    """What a part is added to, or taken out of."""

    before = "before"
    block = "block"
    last = "last"


class Zeroed(StrEnum):
    """Where an ablation takes a part out."""

    everywhere = "everywhere"
    here = "here"


class Side(StrEnum):
    """Where padding goes."""

    right = "right"
    left = "left"


class Dtype(StrEnum):
    """What the weights are cast to."""

    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


_MODEL = 'One that comes with mainstem, such as "default" (see mainstem models); a folder in Hugging Face format; or a hub id.'

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help=_MODEL, autocompletion=models, show_default=True)]
ModelOption = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help=_MODEL, autocompletion=models)]
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="Where to run, such as cpu, cuda or cuda:1.")]
DtypeOption = Annotated[Dtype | None, typer.Option("--dtype", help="Cast the weights to this; as they are stored by default.")]
Revision = Annotated[str | None, typer.Option(metavar="NAME", help="Branch, tag or commit of a hub id.")]
Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Run code that comes with the model. Only if you trust it.")]
Pickles = Annotated[
    bool, typer.Option("--pickles", help="Accept pickled checkpoints, which can run code when read. Only if you trust them.")
]

Prompts = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="PROMPT|FILE",
        help='Text in quotes: "The capital of France is", or a .txt file that holds one. Several are run together.',
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        "-t",
        metavar="TOKEN",
        help='Score this token, such as " Paris" with its leading space, or a class by name or number; '
        "the predicted one by default.",
    ),
]
Against = Annotated[
    str | None,
    typer.Option(metavar="TOKEN", help='Score the target against this token, such as " London": the difference of their logits.'),
]
Position = Annotated[
    int | None, typer.Option(metavar="N", help="At which token to look, counted from 0 or back from -1; the last by default.")
]
Zero = Annotated[
    list[str] | None,
    typer.Option(
        "--zero",
        "-z",
        metavar="LABEL",
        autocompletion=components,
        help='Run with this component taken out, such as L3.mlp, L2.attn.H1, "L2.attn.H1<-0" (what it takes from token 0) or L3.mlp.N120. May be given several times.',
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option("--image", "-i", metavar="FILE", help="Look at an image instead of text. May be given several times."),
]
Padding = Annotated[Side, typer.Option(help="Where prompts of different lengths are filled up; masked either way.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]
Parquet = Annotated[
    Path | None, typer.Option(metavar="FILE", callback=output(".parquet"), help="Store the numbers as a tidy table in Parquet.")
]
Csv = Annotated[
    Path | None, typer.Option(metavar="FILE", callback=output(".csv"), help="Store the numbers as a tidy table in CSV.")
]
Html = Annotated[
    Path | None,
    typer.Option(metavar="FILE", callback=output(".html"), help="Write the result as one page that needs no network."),
]
ChartPng = Annotated[
    Path | None, typer.Option("--png", metavar="FILE", callback=output(".png"), help="Draw a chart of one prompt as a PNG.")
]
ChartSvg = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", callback=output(".svg"), help="Draw a chart of one prompt as an SVG.")
]
Svg = Annotated[
    Path | None, typer.Option(metavar="FILE", callback=output(".svg"), help="Draw the stream with its writes as an SVG.")
]
