"""`mainstem ablate`: what an edit of the stream does to predictions, to the text that follows, and to the loss over data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt
from ._complete import components as labels
from ._edits import edit_of, positions_of
from ._files import not_missing
from ._help import explained
from ._open import opened
from ._show_ablate import shown, shown_loss
from ._terminal import busy, print_json, show, told

if TYPE_CHECKING:
    from mainstem.api import Model
    from mainstem.stream import Edit

HELP = explained(
    "Edits the stream and shows what that does: predictions before and after, the text that follows, the loss over data.",
    """Edits are given as options, several of them together: --zero takes a part out, --scale multiplies it, --mean puts in what
    it is in the mean over data, --steer adds a vector from a file, --without-skip takes away what the stream carries past a
    block. A part is a write (L3.mlp), a head (L2.attn.H1), a neuron (L3.mlp.N120), a block or several (L3, L3-L5), or a point
    (L3.resid_post).""",
    """Given a prompt, it shows what is predicted next without the edits and with them, the divergence between the two, what the
    target's log-probability changes by, and with --generate how the text goes on. Given a file or folder of texts, it shows
    the loss of the next token over all of it.""",
    examples="""
    mainstem ablate "The capital of France is" --zero L3.mlp
    mainstem ablate "The capital of France is" -t " Paris" --scale L2.attn=0.5 --generate 10
    mainstem ablate "The capital of France is" --mean L3.mlp=stories.txt --positions -1
    mainstem ablate "The capital of France is" --steer direction.pt@L3.resid_post=4
    mainstem ablate stories.txt --without-skip L3 --json
    """,
)

Data = Annotated[
    list[str] | None,
    typer.Argument(metavar="PROMPT|FILE", help='Text in quotes, "The capital of France is", or a file or folder of texts.'),
]
Scale = Annotated[
    list[str] | None,
    typer.Option("--scale", metavar="LABEL=X", autocompletion=labels, help="Multiply this by a number, such as L2.attn=0.5."),
]
WithoutSkip = Annotated[
    list[str] | None,
    typer.Option(
        "--without-skip", metavar="LABEL", help="Take away what the stream carries past this block, L3, or write, L3.attn."
    ),
]
Mean = Annotated[
    list[str] | None,
    typer.Option(
        "--mean", metavar="LABEL=FILE", help="Put in what this is in the mean over a file of texts, or means that were saved."
    ),
]
Steer = Annotated[
    list[str] | None,
    typer.Option(
        "--steer", metavar="FILE@LABEL",
        help="Add a vector from a file (.pt, .safetensors, .npy) there; FILE@LABEL=4 adds it four times.",
    ),
]  # fmt: skip
Positions = Annotated[
    str | None,
    typer.Option(metavar="N,N", help="Edit at these tokens of a prompt alone, counted from 0 or back from -1; all by default."),
]
Generate = Annotated[int, typer.Option(min=0, metavar="N", help="Go on with the prompts for this many tokens, both ways.")]
Top = Annotated[int, typer.Option(min=1, max=100, metavar="K", help="How many predictions to show.")]


def ablate(
    data: Data = None,
    model: opt.ModelOption = "default",
    zero: opt.Zero = None,
    scale: Scale = None,
    without_skip: WithoutSkip = None,
    mean: Mean = None,
    steer: Steer = None,
    positions: Positions = None,
    target: opt.Target = None,
    against: opt.Against = None,
    position: opt.Position = None,
    generate: Generate = 0,
    top: Top = 5,
    image: opt.Images = None,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `mainstem.edit_effect()`, or `mainstem.edit_loss()` where a file is given.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `data` or `image`, what is run;
    `zero`, `scale`, `without_skip`, `mean`, `steer` and their `positions`, the edits; `target` and `against`, the target; `position`, where it is
    looked at; `generate` and `top`, as of `mainstem.edit_effect`; `json`, as plain data; `parquet` and `csv`, files to write.
    """
    from ._trace import wanted

    if against is not None and target is None:
        raise typer.BadParameter('--against needs what it is held against: --target " Paris" --against " London"')
    read = wanted(data, image, not_missing)
    files = [one for one in data or () if _is_file(one)]
    if files and (len(read) > 1 or target is not None or position is not None or generate):
        raise typer.BadParameter("over a file the loss is shown: give one file, and no --target, --position or --generate")
    at = positions_of(positions)
    typed = {"zero": zero, "scale": scale, "without_skip": without_skip, "mean": mean, "steer": steer}
    if not any(typed.values()):
        raise typer.BadParameter("there is no edit: give --zero L3.mlp, --scale, --without-skip, --mean or --steer")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("running the model both ways"):
        edit = edit_of(held, at, **typed)
        outputs = [path for path in (parquet, csv) if path]
        if files:
            return _over(held, files[0], edit, json, outputs)
        _of_prompts(held, read, edit, (target, against, position), generate, top, json, outputs)


def _is_file(text: str) -> bool:
    try:
        return bool(text) and Path(text).exists()
    except OSError:  # a prompt too long for a name
        return False


def _over(held: "Model", file: str, edit: "Edit", json: bool, outputs: list[Path]) -> None:
    from mainstem.api import edit_loss
    from mainstem.core import InputError

    frame = edit_loss(held, file, edit)
    rows = frame.to_dicts()
    if json:
        print_json({"model": held.name, "data": file, "edit": str(edit), "rows": rows})
    else:
        show(shown_loss(held.name, file, rows))
    for path in outputs:
        if path.suffix == ".csv":
            frame.write_csv(path)
        elif path.suffix == ".parquet":
            frame.write_parquet(path)
        else:
            raise InputError(f"cannot store as {path.suffix}.")
        told(path)


def _of_prompts(
    held: "Model", data: Any, edit: "Edit", aim: tuple[Any, Any, Any], generate: int, top: int, json: bool, outputs: list[Path]
) -> None:
    from mainstem.api import contrast, edit_effect

    target, against, position = aim
    goal = target if target is None or against is None else contrast(target, against)
    found = edit_effect(held, data, edit, goal, position, top, generate)
    records = [found.to_dict(i) for i in range(len(data))]
    written = [found.save(path) for path in outputs]
    if json:
        records = [record | {"provenance": found.provenance.to_dict()} for record in records]
        print_json(records if len(records) > 1 else records[0])
    else:
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *shown(record)))
    for path in written:
        told(path)
