"""`mainstem queries`: which earlier writes switched on what counts for a prediction."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _options as opt
from ._complete import scores as score_names
from ._help import explained
from ._open import opened
from ._show_queries import shown, shown_one
from ._terminal import busy, print_json, show, told
from ._trace import wanted

if TYPE_CHECKING:
    from mainstem.api import Trace

_AIM = ("target", "against", "top", "by", "base", "norm", "norm_bias")
HELP = explained(
    "Shows which earlier writes switched on the neurons and attention values that count for a prediction.",
    """A neuron is on because what it reads of the stream agrees with its key, and the stream is a sum of what was written
    before. So its pre-activation is split, exactly, over all earlier writes (queries) and a bias. Attention's values are
    switched on at the token that the head looks at. A gated neuron has two keys, gate and up.""",
    """Each value hands its score on to the parts that its pre-activations are made of; the credit of a query is what it gets from
    all of them. Credits sum to the values' scores. With --of, one neuron or attention value is looked at by itself.""",
    examples="""
    mainstem queries "The capital of France is" --target " Paris"
    mainstem queries "The capital of France is" -t " Paris" --by logprob_increase --level head
    mainstem queries "The capital of France is" -t " Paris" --top 50 --parquet queries.parquet
    mainstem queries "The capital of France is" -t " Paris" --html queries.html
    mainstem queries "The capital of France is" --of L4.mlp.N676
    mainstem queries "The capital of France is" --of "L3.attn.H5<-3.D14" --level neuron
    """,
)

By = Annotated[
    str,
    typer.Option(
        metavar="SCORE", help="Which score finds the values; mainstem score --list tells of each.", autocompletion=score_names
    ),
]
LevelOption = Annotated[opt.Level, typer.Option(help="How far the earlier writes are taken apart (edge: head and source token).")]
Top = Annotated[int, typer.Option(min=1, max=1000, metavar="K", help="How many neurons and how many attention values to follow.")]
Of = Annotated[
    str | None,
    typer.Option(
        metavar="LABEL", help="Look at this neuron, such as L4.mlp.N676, or attention value, such as L3.attn.H5<-3.D14."
    ),
]
Key = Annotated[str | None, typer.Option(metavar="NAME", help="With --of: which key of a gated neuron, gate or up.")]
Base = Annotated[opt.Base | None, typer.Option(help="As of mainstem score.")]
NormOption = Annotated[opt.AnyNorm | None, typer.Option(help="As of mainstem score.")]
NormBias = Annotated[bool | None, typer.Option("--norm-bias/--no-norm-bias", help="As of mainstem score.")]


def queries(
    context: typer.Context,
    prompts: opt.Prompts = None,
    model: opt.ModelOption = "default",
    target: opt.Target = None,
    against: opt.Against = None,
    by: By = "dla",
    level: LevelOption = opt.Level.neuron,
    top: Top = 10,
    of: Of = None,
    key: Key = None,
    base: Base = None,
    norm: NormOption = None,
    norm_bias: NormBias = None,
    position: opt.Position = None,
    zero: opt.Zero = None,
    padding: opt.Padding = opt.Side.right,
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
    """Prints `Trace.queries()`, or `Trace.activation()` with `of`.

    Parameters: `context`, what was typed; `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `prompts`, `zero` and
    `padding`, as of `Model.trace`; `target`, `against`, `by`, `level`, `top`, `base`, `norm`, `norm_bias` and `position`, as of
    `Trace.queries`; `of` and `key`, as of `Trace.activation`; `json`, as plain data; `parquet` and `csv`,
    files for the table; `html`, `svg` and `png`, for the chart.
    """
    data = wanted(prompts, None)
    charts = [path for path in (html, svg, png) if path]
    if (parquet or csv) and len(data) > 1:
        raise typer.BadParameter("a table is of one prompt: give one, or leave --parquet and --csv out")
    if charts and (len(data) > 1 or of is not None):
        raise typer.BadParameter(
            "a chart is of what one prompt predicts: give one without --of, or leave --html, --svg and --png out"
        )
    if charts:
        from mainstem.view import check_charts

        check_charts()
    if against is not None and target is None:
        raise typer.BadParameter('--against needs what it is held against: --target " Paris" --against " London"')
    if of is not None and (given := _aimed(context)):
        raise typer.BadParameter(f"--of looks at one neuron, whatever is predicted: leave {' and '.join(given)} out")
    if key is not None and of is None:
        raise typer.BadParameter("--key is of the neuron that --of names: --of L4.mlp.N676 --key gate")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("asking what switched it on"):
        from mainstem.api import contrast
        from mainstem.stream import zero as zeroed

        run = held.trace(data, edits=zeroed(*zero) if zero else None, padding=padding.value)
        goal = target if target is None or against is None else contrast(target, against)
        if of is not None:
            found: list[Any] = [run.activation(of, level.value, key, i, position) for i in range(len(data))]
        else:
            asked = (goal, top, level.value, by)
            found = [run.queries(*asked, i, position, base, norm, norm_bias) for i in range(len(data))]
        records = [_record(run, one, i, str(text)) for i, (one, text) in enumerate(zip(found, data, strict=True))]
    chart = found[0].chart() if charts else None
    written = [
        *([chart.save(path) for path in charts] if chart else []),
        *(found[0].save(path) for path in (parquet, csv) if path),
    ]
    if json:
        records = [record | {"provenance": run.provenance.to_dict()} for record in records]
        print_json(records if len(records) > 1 else records[0])
    else:
        draw = shown if of is None else shown_one
        show(part for i, record in enumerate(records) for part in (*([""] if i else []), *draw(record)))
    for path in written:
        told(path)


def _aimed(context: typer.Context) -> list[str]:
    """The options typed that say what is predicted, and how that is scored."""
    sources = {name: context.get_parameter_source(name) for name in _AIM}
    return [f"--{name.replace('_', '-')}" for name, source in sources.items() if source and source.name == "COMMANDLINE"]


def _record(run: "Trace", found: Any, prompt: int, text: str) -> dict[str, Any]:
    """One prompt's queries as plain data."""
    tokens = list(run.tokens[prompt]) if run.tokens else []
    return {"model": run.provenance.name, "prompt": text, "tokens": tokens, **found.to_dict()}
