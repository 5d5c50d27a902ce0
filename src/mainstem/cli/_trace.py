"""`mainstem trace`: prompts taken apart."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt
from ._files import prompt_of
from ._help import explained
from ._open import opened
from ._show_trace import shown
from ._terminal import busy, print_json, show, told

if TYPE_CHECKING:
    from mainstem.api import Contrast, Trace

HELP = explained(
    "Takes a prompt apart, down to heads and neurons.",
    """Shows the prediction; the stream's writes with what each adds to the logit of the predicted token; what could be read
    off the stream after each layer; the heads that count most and the tokens they read; the neurons that count most and
    their words; and how nearly all parts sum to the model's own logit.""",
    examples="""
    mainstem trace "The capital of France is"
    mainstem trace "The capital of France is" -t " Rome" --against " Paris"
    mainstem trace "The capital of France is" --zero L3.mlp --zero L2.attn.H1
    mainstem trace "The capital of France is" --html trace.html
    mainstem trace "The capital of France is" --level head --csv heads.csv
    mainstem trace prompt.txt
    mainstem trace --image cat.jpg --model default-image
    """,
)

Top = Annotated[int, typer.Option(min=1, max=100, metavar="K", help="How many heads and neurons to show, up to 100.")]
LevelOption = Annotated[
    opt.Level, typer.Option(help="How far --json, --parquet and --csv take writes apart (edge: head and source token).")
]


def trace(
    prompts: opt.Prompts = None,
    model: opt.ModelOption = "default",
    target: opt.Target = None,
    against: opt.Against = None,
    position: opt.Position = None,
    zero: opt.Zero = None,
    image: opt.Images = None,
    padding: opt.Padding = opt.Side.right,
    top: Top = 8,
    json: opt.Json = False,
    level: LevelOption = opt.Level.write,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    html: opt.Html = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `Trace.summary()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `prompts`
    or `image`, `zero` and `padding`, as of `Model.trace`; `target`, `against` and `position`, as of `Trace.scores`;
    `top`, how many heads and neurons; `json`, as plain data; `parquet`, `csv` and `html`, files to write;
    `level`, of their numbers.
    """
    data = wanted(prompts, image)
    if html and len(data) > 1:
        raise typer.BadParameter("--html makes the page of one prompt: give one, or leave --html out")
    if against is not None and target is None:
        raise typer.BadParameter('--against needs what it is held against: --target " Paris" --against " London"')
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("taking the stream apart"):
        from mainstem.api import contrast
        from mainstem.stream import zero as zeroed

        goal = target if target is None or against is None else contrast(target, against)
        run = held.trace(data, edits=zeroed(*zero) if zero else None, padding=padding.value)
        records = [run.summary(goal, i, position, top, json) for i in range(len(data))]
        if json and level is not opt.Level.write:
            _add_parts(records, run, goal, level, position)
        if json:
            records = [record | {"provenance": run.provenance.to_dict()} for record in records]
    for path in filter(None, (parquet, csv)):
        _store(run, goal, level, position, path)
    if html:
        from mainstem.view import save_page

        save_page(run._page(records[0], goal, 0), html)
    if json:
        print_json(records if len(records) > 1 else records[0])
    else:
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *shown(record, zero or [])))
    for path in filter(None, (parquet, csv, html)):
        told(path)


def wanted(
    prompts: list[str] | None, images: list[Path] | None, read: Callable[[str], str] = prompt_of
) -> list[str] | list[Path]:
    """What to run the model on. Parameters: `prompts`, `images`; one of them; `read`, what is made of a prompt as it is typed."""
    if prompts and images:
        raise typer.BadParameter("give prompts or --image, not both")
    if not prompts and not images:
        raise typer.BadParameter('there is nothing to read: give a prompt, such as "The capital of France is", or --image FILE')
    return [read(one) for one in prompts or ()] or images or []


def _add_parts(
    records: list[dict[str, Any]], run: "Trace", goal: "str | Contrast | None", level: opt.Level, position: int | None
) -> None:
    scores = run.scores(goal, level.value, positions=position)
    for i, record in enumerate(records):
        values = scores.prompt(i).tensor.flatten().tolist()
        record["parts"] = dict(zip(scores.labels, values, strict=True))


def _store(run: "Trace", goal: "str | Contrast | None", level: opt.Level, position: int | None, path: Path) -> None:
    with busy(f"writing {path}"):
        run.scores(goal, level.value, positions=position).save(path)
