"""`mainstem scan`: a corpus through measures, into a folder that keeps what is done."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _measured as how
from . import _options as opt
from ._complete import scores as score_names
from ._help import explained
from ._interrupt import goes_on
from ._open import opened

HELP = explained(
    "Measures the stream over a corpus, into a folder: a run that is killed goes on where it stopped.",
    """What is done is stored piece by piece, whole or not at all; call the same command again to go on. Another model, other data
    or other choices are refused for the same folder, with what changed.""",
    """--engine ray spreads the work over a Ray cluster (pip install 'mainstem[scan]'). Without one, run --shard 0/8 to --shard 7/8 wherever
    you like, and put the folders together with mainstem merge; the numbers are the same.""",
    examples="""
    mainstem scan corpus.parquet --out run/
    mainstem scan corpus.jsonl --column text --by kurtosis --by outliers --out run/ --batch-tokens 16384
    mainstem scan corpus.jsonl --out run/ --score logprob_increase:neuron:20
    mainstem scan corpus.parquet --out shard3/ --shard 3/8
    mainstem merge shard*/ --parquet numbers.parquet
    """,
)


class Engine(StrEnum):
    """Where the work is done."""

    local = "local"
    ray = "ray"


Out = Annotated[Path, typer.Option(metavar="FOLDER", help="The run's folder; made where it is not there.")]
EngineOption = Annotated[Engine, typer.Option(help="Where the work is done.")]
Shard = Annotated[str | None, typer.Option(metavar="I/N", help="Only the I-th of N parts, counted from 0.")]
Fresh = Annotated[bool, typer.Option("--no-resume", help="Refuse a folder that holds a run.")]
Score = Annotated[
    list[str] | None,
    typer.Option(
        metavar="BY[:LEVEL[:TOP]]",
        autocompletion=score_names,
        help="Also store scores of what is predicted behind every text, as rows, such as dla or logprob_increase:neuron:20.",
    ),
]
Bytes = Annotated[int, typer.Option(min=1, metavar="BYTES", help="Text that is worked through and stored as one.")]


def scan(
    data: how.Data,
    out: Out,
    model: opt.ModelOption = "default",
    by: how.Names = None,
    at: how.At = None,
    points: how.Points = None,
    choice: how.Choice = None,
    engine: EngineOption = Engine.local,
    shard: Shard = None,
    no_resume: Fresh = False,
    unreadable: how.UnreadableOption = how.Unreadable.stop,
    piece: Bytes = 2**20,
    score: Score = None,
    column: how.Column = None,
    stream: how.Stream = None,
    batch_tokens: how.Tokens = 4096,
    length: how.Length = None,
    pack: how.Pack = False,
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
    """Runs `mainstem.scan()` and prints what it came to.

    Parameters: as of `mainstem.scan` and `mainstem measure`; `no_resume`, refuse a folder that holds a run; `shard`, "i/n"; `data`, `out`,
    `model`, `score`, `by`, `at`, `points`, `choice`, `engine`, `unreadable`, `piece`, `column`, `stream`, `batch_tokens`, `length`, `pack`, `json`,
    `save`, `parquet`, `csv`, `html`, `svg`, `png`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`.
    """
    part, files = _part(shard), [path for path in (save, parquet, csv) if path]
    charts, choices = how.check_charts(html, svg, png), how.choices_of(choice)
    if part and (charts or files or json):
        raise typer.BadParameter("a shard has no result of its own: store and draw with mainstem merge, when all are done")
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    from mainstem.api import scan as scanned

    bases = [one.value for one in at or [how.Basis.points]]
    more = {"measures": by} if by else {}
    with goes_on(f"interrupted: what is done is kept in {out}, and the same command goes on from there."):
        found = scanned(
            held, data, out=out, engine=engine.value, shard=part, resume=not no_resume, unreadable=unreadable.value, piece=piece,
            batch_tokens=batch_tokens, column=column, at=bases, points=points, choices=choices, stream=stream, length=length,
            pack=pack, scores=_scores(score), **more,
        )  # fmt: skip
    if found is None:
        typer.echo(f"shard {shard} is done, in {out}. When all are: mainstem merge FOLDER FOLDER ...")
    else:
        how.tell(found, json, files, charts)


def _scores(typed: list[str] | None) -> list[dict[str, Any]]:
    """Arguments of `Trace.scores`. Parameters: `typed`, such as "logprob_increase:neuron:20"."""
    found = []
    for one in typed or ():
        by, *more = one.split(":")
        if len(more) > 2 or (len(more) == 2 and not (more[1].isdigit() and int(more[1]))):
            raise typer.BadParameter(
                f"a score is written BY, BY:LEVEL or BY:LEVEL:TOP, such as logprob_increase:neuron:20, not {one!r}"
            )
        found.append({"by": by, **dict(zip(("level", "top"), (*more[:1], *map(int, more[1:])), strict=False))})
    return found


def _part(typed: str | None) -> tuple[int, int] | None:
    if typed is None:
        return None
    i, slash, n = typed.partition("/")
    if not (slash and i.isdigit() and n.isdigit() and int(i) < int(n)):
        raise typer.BadParameter(f"a shard is written I/N with I from 0 to N - 1, such as 0/8, not {typed!r}")
    return int(i), int(n)
