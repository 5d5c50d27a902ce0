"""`mainstem tune`: a tuned lens fitted to a model and stored."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt
from ._files import output
from ._help import explained
from ._open import opened
from ._terminal import BAD, DIM, TITLE, print_json, show, table, told

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mainstem.api import TunedLens

HELP = explained(
    "Fits a tuned lens to a model and stores it.",
    """The logit lens reads a point of the stream as if it were the last. A tuned lens first moves it by an affine map of its own,
    trained so that the readout says there what the model says in the end, as nearly as it can (KL divergence, in nats).""",
    """DATA is a file of plain text, of the kind that the lens is to be used on; it is cut into pieces, or with --lines each line
    is a prompt of its own. Of a long file only as much is read as training needs. A tenth is kept aside, and the table shows how
    far from the model each point is there, with the logit lens and with the tuned one. The lens goes with this model only:
    mainstem lens refuses it for others.""",
    examples="""
    mainstem tune stories.txt --out lens.safetensors
    mainstem tune prompts.txt --lines --out lens.safetensors --steps 400
    mainstem tune stories.txt --out lens.safetensors --model ./my-model --batch 512 --device cuda
    mainstem lens "The capital of France is" --tuned lens.safetensors
    """,
)


class Start(StrEnum):
    """Where training begins."""

    regression = "regression"
    zero = "zero"


Data = Annotated[
    Path, typer.Argument(metavar="DATA", exists=True, dir_okay=False, readable=True, help="A file of plain text, in UTF-8.")
]
Out = Annotated[
    Path, typer.Option(metavar="FILE", callback=output(".safetensors"), help="Where the lens is stored; ends in .safetensors.")
]
Lines = Annotated[bool, typer.Option("--lines", help="Each line is a prompt of its own; empty ones are left out.")]
Steps = Annotated[int, typer.Option(min=0, metavar="N", help="How many steps of training.")]
Batch = Annotated[int, typer.Option(min=1, metavar="N", help="How many tokens a step is made of.")]
Rate = Annotated[float, typer.Option(metavar="X", help="The first step's learning rate; it falls to zero.")]
Decay = Annotated[float, typer.Option(min=0, metavar="X", help="Weight decay: how much the lens is drawn to the logit lens.")]
Held = Annotated[float, typer.Option(min=0, max=0.99, metavar="SHARE", help="How much of the data is kept aside.")]
StartOption = Annotated[
    Start,
    typer.Option(help="Begin with the affine map nearest to the last point by least squares, or with zero: the logit lens."),
]
Length = Annotated[int, typer.Option(min=1, metavar="N", help="The most tokens of a piece that text is cut into.")]
Seed = Annotated[int, typer.Option(metavar="N", help="The same seed gives the same lens.")]


def tune(
    data: Data,
    out: Out,
    model: opt.ModelOption = "default",
    lines: Lines = False,
    steps: Steps = 100,
    batch: Batch = 256,
    rate: Rate = 0.3,
    decay: Decay = 1e-3,
    held: Held = 0.1,
    start: StartOption = Start.regression,
    length: Length = 128,
    seed: Seed = 0,
    json: opt.Json = False,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Stores `TunedLens.fit(model, data)`.

    Parameters: `data`, a file; `out`, the lens; `lines`, prompts rather than one text; `model`, `device`, `dtype`, `revision`,
    `trust_remote_code`, `pickles`, as of `mainstem.load`; `steps`, `batch`, `rate`, `decay`, `held`, `start`, `length` and
    `seed`, as of `TunedLens.fit`; `json`, as plain data.
    """
    texts = _texts(data, lines)
    loaded = opened(model, device, dtype, revision, trust_remote_code, pickles)
    from mainstem.api import TunedLens

    found = TunedLens.fit(loaded, texts, steps, batch, rate, decay, held, start.value, length, seed)
    found.save(out)
    record = _record(found)
    if json:
        print_json(record)
    else:
        show(_shown(record))
    told(out)


def _texts(path: Path, lines: bool) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is no text in UTF-8: convert it, for example with iconv") from error
    texts = [line for line in text.splitlines() if line.strip()] if lines else [text] if text.strip() else []
    if not texts:
        raise typer.BadParameter(f"{path} holds no text")
    return texts


def _record(found: "TunedLens") -> dict[str, Any]:
    rows = found.frame().to_dicts()
    provenance = found.provenance.to_dict() if found.provenance else None
    return {"points": rows, "choices": found.choices, "unembedding": found.unembedding, "provenance": provenance}


def _shown(record: dict[str, Any]) -> "list[RenderableType]":
    from rich.text import Text

    kept = record["points"][0]["tuned_lens"] is not None
    where = "on what was kept aside" if kept else "at the last step"
    said = f"  KL(final || point) in nats, {where}; {record['choices']['tokens']:,} tokens to learn from"
    columns = ("logit_lens", "tuned_lens") if kept else ("last_step",)
    rows = table("", *(name.replace("_", " ") for name in columns), "", right=range(1, len(columns) + 1))
    for row in record["points"]:
        values = ["" if row[name] is None else f"{row[name]:.3f}" for name in columns]
        worse = kept and row["tuned_lens"] > row["logit_lens"]
        rows.add_row(Text(f"  {row['point']}", DIM), *values, Text("worse: more data or fewer steps" if worse else "", BAD))
    return [Text.assemble((record["provenance"]["name"], DIM)), Text.assemble("\n", ("tuned lens", TITLE), (said, DIM)), rows]
