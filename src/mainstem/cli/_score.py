"""`mainstem score`: which parts of the stream make a prediction."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt
from ._complete import scores as score_names
from ._help import explained
from ._open import opened
from ._show_caveats import told_caveats
from ._show_score import shown
from ._terminal import busy, print_json, show, told
from ._trace import wanted

if TYPE_CHECKING:
    from mainstem.api import Result, TopResult, Trace

HELP = explained(
    "Scores which parts of the stream make a prediction.",
    """At level write every row is shown, and they sum: --by dla to the logit, --by logprob_increase to what the log-probability
    gains from the first point to the last. At finer levels the best are shown; by logprob_increase these are certified: no
    other part can be better. --all works out every part. Norm and base are choices, written into what is stored.""",
    examples="""
    mainstem score "The capital of France is" --target " Paris"
    mainstem score "The capital of France is" -t " Paris" --level neuron --by logprob_increase
    mainstem score "The capital of France is" -t " Paris" --against " London" --level head
    mainstem score "The capital of France is" -t " Paris" -t " France" --by logprob_increase --norm final
    mainstem score "The capital of France is" -t " Paris" --level edge --all --parquet edges.parquet
    mainstem score "The capital of France is" -t " Paris" --level head --html heads.html
    mainstem score "The capital of France is" -t " Paris" --by logprob_increase --level head --caveats
    """,
)

Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        "-t",
        metavar="TOKEN",
        help='Score this token, such as " Paris" with its leading space, or a class by name or number; given several times: '
        "any of them; the predicted one by default.",
    ),
]
Rivals = Annotated[
    list[str] | None,
    typer.Option("--against", metavar="TOKEN", help="Hold the target against this token, or any of several: their log-odds."),
]
Sequence = Annotated[
    bool, typer.Option("--sequence", help="The target is a text of several tokens, each read behind those before it.")
]
By = Annotated[
    str, typer.Option(metavar="SCORE", help="Which score; mainstem score --list tells of each.", autocompletion=score_names)
]
LevelOption = Annotated[opt.Level, typer.Option(help="How far writes are taken apart (edge: head and source token).")]
Base = Annotated[
    opt.Base | None,
    typer.Option(
        help="Add a part to what the stream was before it, or before its block (by path), or take it out of the last point."
    ),
]
NormOption = Annotated[
    opt.AnyNorm | None,
    typer.Option(
        help="The final norm's scale: that of what is read, that of the last point, or none. As the score has it by default."
    ),
]
NormBias = Annotated[bool | None, typer.Option("--norm-bias/--no-norm-bias", help="Whether the final norm's bias is added.")]
Within = Annotated[
    float | None, typer.Option(min=0, metavar="NATS", help="What a part's score may be off by with --all; 0 works out every one.")
]
ZeroedOption = Annotated[
    opt.Zeroed | None, typer.Option(help="By ablation: take a part out at every token, or at the scored one alone.")
]
Caveats = Annotated[
    bool,
    typer.Option("--caveats", help="Beside the best parts, what later ones leave of them, and what a run without each loses."),
]
Top = Annotated[int, typer.Option(min=1, max=10_000, metavar="K", help="How many parts to show.")]
All = Annotated[
    bool, typer.Option("--all", help="Score every part of the level, not only the best: they sum, and are all stored.")
]
Listed = Annotated[bool, typer.Option("--list", help="List the scores and leave.")]


def score(
    prompts: opt.Prompts = None,
    model: opt.ModelOption = "default",
    target: Targets = None,
    against: Rivals = None,
    sequence: Sequence = False,
    by: By = "dla",
    level: LevelOption = opt.Level.write,
    top: Top = 20,
    every: All = False,
    base: Base = None,
    norm: NormOption = None,
    norm_bias: NormBias = None,
    within: Within = None,
    zeroed: ZeroedOption = None,
    caveats: Caveats = False,
    position: opt.Position = None,
    zero: opt.Zero = None,
    image: opt.Images = None,
    padding: opt.Padding = opt.Side.right,
    listed: Listed = False,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    csv: opt.Csv = None,
    html: opt.Html = None,
    svg: opt.ChartSvg = None,
    png: opt.ChartPng = None,
    device: opt.Device = None,
    dtype: opt.DtypeOption = None,
    revision: opt.Revision = None,
    trust_remote_code: opt.Trust = False,
    pickles: opt.Pickles = False,
) -> None:
    """Prints `Trace.scores()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `prompts` or
    `image`, `zero` and `padding`, as of `Model.trace`; `target`, `against` and `sequence`, the target; `by`, `level`, `base`,
    `norm`, `norm_bias`, `within`, `zeroed`, `position`, as of `Trace.scores`; `caveats`, `Trace.caveats()` instead; `top`, how
    many parts are shown; `every`, all are scored;
    `listed`, the scores instead; `json`, as plain data; `parquet`, `csv`, `html`, `svg`, `png`, files to write.
    """
    if listed:
        show(_listing())
        return
    data = wanted(prompts, image)
    charts = [path for path in (html, svg, png) if path]
    if charts and len(data) > 1:
        raise typer.BadParameter("a chart is of one prompt: give one, or leave --html, --svg and --png out")
    if within is not None and not every and level is not opt.Level.write:
        raise typer.BadParameter("--within is a choice of --all: the best parts are worked out in full")
    if charts:
        from mainstem.view import check_charts

        check_charts()
    if caveats and (charts or every or base or within is not None or zeroed):
        raise typer.BadParameter("--caveats goes with --by, --level, --top, --norm and --norm-bias, and has no chart")
    goal = _target(target, against, sequence)
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("scoring"):
        from mainstem.stream import zero as without

        run = held.trace(data, edits=without(*zero) if zero else None, padding=padding.value)
        if caveats:
            frame = run.caveats(goal, level.value, by, top, position, norm or "own", norm_bias is not False)
            return told_caveats(frame, [str(text) for text in data], json, [path for path in (parquet, csv) if path])
        asked = (goal, level.value, by, position, base, norm, norm_bias, within, zeroed)
        whole = every or level is opt.Level.write
        found: Result | TopResult = run.scores(*asked) if whole else run.scores(*asked, top=top)
        records = [_record(run, found, i, str(text), top) for i, text in enumerate(data)]
    _draw(run, found, charts)
    written = [found.save(path) for path in (parquet, csv) if path]
    if json:
        records = [record | {"provenance": run.provenance.to_dict()} for record in records]
        print_json(records if len(records) > 1 else records[0])
    else:
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *shown(record)))
    for path in (*charts, *written):
        told(path)


def _listing() -> list[Any]:
    from mainstem.score import scores

    from ._terminal import table

    rows = table("score", "unit", "what it is", wrap=[2])
    for one in scores().values():
        rows.add_row(one.name, one.unit, one.about)
    return [rows]


def _target(target: list[str] | None, against: list[str] | None, sequence: bool) -> Any:
    """What was typed as a target of `Trace.scores`."""
    from mainstem.api import any_of, contrast
    from mainstem.api import sequence as forced

    if sequence and (not target or len(target) > 1 or against):
        raise typer.BadParameter('--sequence needs one --target, such as --sequence --target " the capital", and no --against')
    if against and not target:
        raise typer.BadParameter('--against needs what it is held against: --target " Paris" --against " London"')
    if sequence and target:
        return forced(target[0])
    mine, other = (None if not side else side[0] if len(side) == 1 else any_of(*side) for side in (target, against))
    return mine if mine is None or other is None else contrast(mine, other)


def _record(run: "Trace", found: "Result | TopResult", prompt: int, text: str, top: int) -> dict[str, Any]:
    """One prompt's scores as plain data, with words for what has a vector. Parameters: as of `score`; `prompt`, its number."""
    from mainstem.api import Result

    record = {"model": run.provenance.name, "prompt": text, **found.to_dict(prompt)}
    if record["choices"]["level"] != "write":
        best = found.prompt(prompt).top(top) if isinstance(found, Result) else found.top(top, prompt)
        at, mask = record["position"], found.mask
        padded = 0 if mask is None else int(mask[prompt].int().argmax())
        words = _words(run, [label for label, _ in best], prompt, None if at is None else at - padded)
        for row in record["parts"]:
            if row["component"] in words:
                row["words"] = words[row["component"]]
        record["best"] = [label for label, _ in best]
    return record


def _words(run: "Trace", labels: list[str], prompt: int, position: int | None) -> dict[str, list[str]]:
    """The words of all labels at once, without those of rows that are no vectors: interactions, roundings."""
    from mainstem.core import InputError

    try:
        found = run.words(labels, 5, 0, prompt=prompt, position=position)
    except InputError:
        halves = (labels[: len(labels) // 2], labels[len(labels) // 2 :]) if len(labels) > 1 else ()
        return {label: words for half in halves for label, words in _words(run, half, prompt, position).items()}
    return {label: [word for word, _ in said] for label, said in zip(labels, found.raised, strict=True)}


def _draw(run: "Trace", found: "Result | TopResult", paths: list[Path]) -> None:
    if paths:
        chart = found.chart(words=run.words if found.choices["level"] in ("neuron", "dim") else None)
        for path in paths:
            chart.save(path)
