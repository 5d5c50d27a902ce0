"""`mainstem patch`: what of one prompt's run brings its prediction to another's."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from . import _options as opt
from ._complete import components as labels
from ._files import output, prompt_of
from ._help import explained
from ._open import opened
from ._show_patch import shown
from ._terminal import busy, print_json, show, told

HELP = explained(
    "Patches one prompt's run into another's, part by part, and shows what that does to a prediction.",
    """CLEAN is a prompt that the model gets right, CORRUPT one that differs from it in what the answer hangs on. Each part of the
    clean run is put into the corrupted one by itself, at each token, and all that follows it is run anew. Recovery is how much
    of the way from the corrupted prediction to the clean one that goes: 0 is none of it, 1 is all. A part that recovers much
    carries what the prompts differ by, at that token.""",
    """--noise goes the other way: what of the corrupted run breaks the clean one. Both show other things: a part that has a
    backup is not missed, but can still bring the answer. --attribution estimates all patches by one backward pass, which is
    many times faster at level head and neuron, and is off where what follows bends; --recheck says by how much.""",
    examples="""
    mainstem patch "The capital of France is" "The capital of Italy is" --target " Paris"
    mainstem patch "The capital of France is" "The capital of Italy is" -t " Paris" --against " Rome" --level point
    mainstem patch "The capital of France is" "The capital of Italy is" -t " Paris" --level head --png heads.png
    mainstem patch "The capital of France is" "The capital of Italy is" --level neuron --attribution --recheck 20
    mainstem patch "The capital of France is" "The capital of Italy is" --save patched.json && mainstem view patched.json
    mainstem patch "The capital of France is" "I live in Rome, the capital of Italy" --positions -1
    """,
)

_RECHECK = 10


class PatchLevel(StrEnum):
    """What is patched."""

    write = "write"
    point = "point"
    head = "head"
    neuron = "neuron"


class Mode(StrEnum):
    """What is put in."""

    patch = "patch"
    zero = "zero"
    resample = "resample"


class Metric(StrEnum):
    """What of the target is looked at."""

    logprob = "logprob"
    logit = "logit"


Clean = Annotated[
    str,
    typer.Argument(
        metavar="CLEAN",
        help='A prompt in quotes that the model gets right, "The capital of France is", or a .txt file that holds it.',
    ),
]
Corrupt = Annotated[
    str, typer.Argument(metavar="CORRUPT", help="One that differs in what the answer hangs on, of as many tokens.")
]
LevelOption = Annotated[PatchLevel, typer.Option(help="What is patched: writes, points of the stream, heads or neurons.")]
Positions = Annotated[
    str,
    typer.Option(
        metavar="each|all|N,N",
        help="Patch one token at a time, all at once, or only these, counted from 0 or back from -1, one at a time. "
        "Prompts of different lengths need numbers.",
    ),
]
Of = Annotated[
    list[str] | None,
    typer.Option(
        "--of", metavar="LABEL", autocompletion=labels,
        help="Patch these alone, or what is inside of them: L3.mlp, L2.attn.H1, L3, L3-L5. May be given several times.",
    ),
]  # fmt: skip
Noise = Annotated[bool, typer.Option("--noise", help="Put the corrupted run's parts into the clean one.")]
ModeOption = Annotated[
    Mode, typer.Option(help="Put in the other run's value, zero, or the other run's at tokens drawn by chance.")
]
Seed = Annotated[int, typer.Option(metavar="N", help="Which tokens are drawn, with --mode resample.")]
MetricOption = Annotated[Metric, typer.Option(help="Look at the target's log-probability, or at its logit.")]
Scored = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="At which token the target is looked at, counted from 0 or back from -1; the last by default."
    ),
]
Attribution = Annotated[bool, typer.Option("--attribution", help="Estimate every patch by one backward pass.")]
Recheck = Annotated[
    int | None, typer.Option(min=0, metavar="K", help="With --attribution: patch the K strongest as well, 10 by default.")
]
Save = Annotated[
    Path | None, typer.Option(metavar="FILE", callback=output(".json"), help="Store all of it, for PatchingResult.load and view.")
]
Top = Annotated[int, typer.Option(min=1, max=10_000, metavar="K", help="How many patches to show, the strongest.")]


def patch(
    clean: Clean,
    corrupt: Corrupt,
    model: opt.ModelOption = "default",
    target: opt.Target = None,
    against: opt.Against = None,
    level: LevelOption = PatchLevel.write,
    positions: Positions = "each",
    of: Of = None,
    noise: Noise = False,
    mode: ModeOption = Mode.patch,
    seed: Seed = 0,
    metric: MetricOption = Metric.logprob,
    scored: Scored = None,
    attribution: Attribution = False,
    recheck: Recheck = None,
    top: Top = 20,
    json: opt.Json = False,
    save: Save = None,
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
    """Prints `mainstem.activation_patching()` or `mainstem.attribution_patching()`.

    Parameters: `model`, `device`, `dtype`, `revision`, `trust_remote_code`, `pickles`, as of `mainstem.load`; `target` and `against`, the
    target; `clean`, `corrupt`, `level`, `positions`, `mode`, `seed`, `metric`, `scored`, `recheck`, as of these two; `of`, their
    `components`; `noise`, their `side`; `attribution`, which of them; `top`, how many are shown; `json`, as plain data; `save`, `parquet`,
    `csv`, `html`, `svg`, `png`, files to write.
    """
    if against is not None and target is None:
        raise typer.BadParameter('--against needs what it is held against: --target " Paris" --against " London"')
    if recheck is not None and not attribution:
        raise typer.BadParameter("--recheck is of --attribution: give both, or leave it out")
    charts = [path for path in (html, svg, png) if path]
    where, clean, corrupt = _positions(positions), prompt_of(clean), prompt_of(corrupt)
    if charts:
        from mainstem.view import check_charts

        check_charts()
    held = opened(model, device, dtype, revision, trust_remote_code, pickles)
    with busy("patching"):
        from mainstem.api import activation_patching, attribution_patching, contrast

        goal = target if target is None or against is None else contrast(target, against)
        asked = (held, clean, corrupt, goal, level.value, where, of or (), "noise" if noise else "denoise", mode.value)
        more: dict[str, Any] = {"seed": seed, "metric": metric.value, "scored": scored}
        if attribution:
            found = attribution_patching(*asked, **more, recheck=_RECHECK if recheck is None else recheck)
        else:
            found = activation_patching(*asked, **more)
        record = found.to_dict(0, top)
        drawn = found.chart() if charts else None
    written = [found.save(path) for path in (save, parquet, csv) if path]
    for path in charts:
        assert drawn is not None
        drawn.save(path)
    if json:
        print_json(record | {"provenance": found.provenance.to_dict() if found.provenance else None})
    else:
        show(shown(record))
    for path in (*charts, *written):
        told(path)


def _positions(typed: str) -> str | list[int]:
    """Positions as they were typed, "each", "all" or numbers."""
    if typed in ("each", "all"):
        return typed
    try:
        return [int(part) for part in typed.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"--positions is each, all, or numbers such as -1 or 3,4, not {typed!r}") from error
