"""`mainstem lab`: experiments listed, run, swept, compared, and the ledger of what the sources claim."""

import json as plain
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import _complete
from . import _options as opt
from ._files import output
from ._help import explained
from ._show_lab import found_parts, listed
from ._terminal import busy, print_json, show, told

if TYPE_CHECKING:
    from mainstem.lab import Findings

HELP = explained(
    "Trains variants with many seeds, repeats published experiments, and keeps the ledger of what came of them.",
    "Each experiment is a recipe, at the size `small`, minutes on two cores, or `paper`, that of its source; resnet-norm has `medium` too. It needs pip install 'mainstem[lab]'.",
    examples="""
    mainstem lab list
    mainstem lab run data-lane --out runs/
    mainstem lab sweep data-lane --axis training.lr=0.001,0.01 --seeds 3
    mainstem lab compare runs/data-lane-small.parquet --number kurtosis
    mainstem lab ledger runs/ --out ledger.md
    """,
)
LIST = explained("Lists the experiments with their questions.", examples="mainstem lab list")
RUN = explained(
    "Trains every variant of an experiment with every seed, and says what differs.",
    """With --out each run is kept as it ends, and a run that was stopped goes on; runs that fail are shown, and tried again the next time.
    --set changes a choice in every variant, such as model.n_layer=4, data.text=stories.txt or training.steps=1000.""",
    examples="""
    mainstem lab run residual-table
    mainstem lab run data-lane --set data.text=stories.txt --seeds 3 --out runs/ --against parameters --png lane.png
    mainstem lab run privileged-basis --size paper --engine ray --out runs/
    mainstem lab run resnet-norm --size medium --set data.images=cifar10.npz --out runs/
    """,
)
SWEEP = explained(
    "Trains every combination of choices with every seed.",
    "--set changes a choice in all of them, as in lab run.",
    examples="""
    mainstem lab sweep privileged-basis --axis training.momentum=0,0.9 --axis training.weight_decay=0,0.1 --out runs/
    mainstem lab sweep data-lane --axis training.lr=0.001,0.01 --set training.steps=200 --set data.text=stories.txt
    """,
)
COMPARE = explained(
    "Compares the variants of findings that were stored: means with intervals, paired tests, Holm's correction.",
    examples="mainstem lab compare runs/data-lane-small.parquet --number kurtosis",
)
LEDGER = explained(
    "Holds every claim of the sources against stored findings, and writes the page.",
    examples="""
    mainstem lab ledger docs/ledger --out docs/ledger.md
    mainstem lab ledger runs/ --json
    """,
)

app = typer.Typer(
    help=HELP, no_args_is_help=True, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


class Size(StrEnum):
    """How large an experiment is."""

    small = "small"
    medium = "medium"
    paper = "paper"


class Engine(StrEnum):
    """Where runs are made."""

    local = "local"
    ray = "ray"


class Against(StrEnum):
    """What stands on the other axis of a chart."""

    parameters = "parameters"
    hours = "hours"
    tokens = "tokens"


Name = Annotated[str, typer.Argument(metavar="RECIPE", help="The experiment.", autocompletion=_complete.recipes)]
SizeOption = Annotated[Size, typer.Option(help="Its size.")]
Seeds = Annotated[int | None, typer.Option(min=1, metavar="N", help="Seeds of each variant; the recipe's own number by default.")]
Out = Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep each run here, and go on from what is there.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a choice in every variant. May be given several times."),
]
Only = Annotated[list[str] | None, typer.Option(metavar="VARIANT", help="Only this variant. May be given several times.")]
EngineOption = Annotated[Engine, typer.Option(help="Where runs are made.")]
Number = Annotated[
    str | None, typer.Option(metavar="NAME", help="Which number is compared; the experiment's outcome by default.")
]
AgainstOption = Annotated[
    Against | None,
    typer.Option(help="Also tell how far variants are from the curve of the vanilla ones; what charts have on the other axis."),
]
Models = Annotated[bool, typer.Option("--models", help="Also keep each trained model, in FOLDER/models.")]
Axis = Annotated[list[str], typer.Option(metavar="NAME=A,B,...", help="Values of a choice. May be given several times.")]
VariantOption = Annotated[str | None, typer.Option(metavar="VARIANT", help="Which variant is changed; the first by default.")]
File = Annotated[
    Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="Findings that --parquet or --out stored.")
]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, file_okay=False, help="Where findings are stored.")]
Page = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", callback=output(".md"), help="Write the page; it is printed by default.")
]
Png = Annotated[Path | None, typer.Option("--png", metavar="FILE", callback=output(".png"), help="Draw the variants as a PNG.")]
Svg = Annotated[Path | None, typer.Option("--svg", metavar="FILE", callback=output(".svg"), help="Draw the variants as an SVG.")]
Html = Annotated[Path | None, typer.Option(metavar="FILE", callback=output(".html"), help="Draw the variants as a page.")]


@app.command("list", help=LIST)
def list_(json: opt.Json = False) -> None:
    """Prints the recipes. Parameters: `json`, as plain data."""
    with busy("reading recipes"):
        from mainstem.lab import recipe, recipes

        plans = [recipe(name) for name in recipes()]
    if json:
        print_json(
            [{"name": p.name, "about": p.about, "source": p.source, "variants": list(p.setups), "seeds": p.seeds} for p in plans]
        )
    else:
        show(listed(plans))


@app.command("run", help=RUN)
def run(
    recipe: Name,
    size: SizeOption = Size.small,
    seeds: Seeds = None,
    out: Out = None,
    set_: Set = None,
    only: Only = None,
    engine: EngineOption = Engine.local,
    models: Models = False,
    number: Number = None,
    against: AgainstOption = None,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    html: Html = None,
    svg: Svg = None,
    png: Png = None,
) -> None:
    """Runs `mainstem.lab.run()` and prints what differs.

    Parameters: `recipe`, `size`, `seeds`, `out`, `only`, `engine` and `models`, as there; `set_`, its choices; `number` and `against`, what is compared;
    `json`, `parquet`, `html`, `svg`, `png`, where results go.
    """
    charts = _charts(html, svg, png)
    with busy("reading recipes"):
        from mainstem.lab import run as ran
    choices = dict(_assigned(text) for text in set_ or [])
    found = ran(recipe, str(size), seeds, out, choices, tuple(only or ()), str(engine), models)
    _tell(found, number, against, json, parquet, charts)


@app.command("sweep", help=SWEEP)
def sweep(
    recipe: Name,
    axis: Axis,
    size: SizeOption = Size.small,
    variant: VariantOption = None,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Seeds of each combination.")] = 5,
    out: Out = None,
    set_: Set = None,
    engine: EngineOption = Engine.local,
    number: Number = None,
    json: opt.Json = False,
    parquet: opt.Parquet = None,
    html: Html = None,
    svg: Svg = None,
    png: Png = None,
) -> None:
    """Runs `mainstem.lab.sweep()` and prints what differs.

    Parameters: `recipe`, `size`, `variant`, `seeds`, `out` and `engine`, as there; `axis`, its axes; `set_`, its choices; `number`, what is compared; `json`, `parquet`,
    `html`, `svg`, `png`, where results go.
    """
    charts = _charts(html, svg, png)
    with busy("reading recipes"):
        from mainstem.lab import sweep as swept
    axes = {name: tuple(_value(one) for one in text.split(",")) for name, text in (_split(text) for text in axis)}
    choices = dict(_assigned(text) for text in set_ or [])
    found = swept(recipe, axes, seeds, out, choices, str(size), variant, str(engine))
    _tell(found, number, None, json, parquet, charts)


@app.command("compare", help=COMPARE)
def compare(
    file: File,
    number: Number = None,
    against: AgainstOption = None,
    json: opt.Json = False,
    html: Html = None,
    svg: Svg = None,
    png: Png = None,
) -> None:
    """Prints what differs in stored findings.

    Parameters: `file`; `number` and `against`, what is compared; `json`, `html`, `svg`, `png`, where results go.
    """
    charts = _charts(html, svg, png)
    with busy("reading findings"):
        from mainstem.lab import Findings

        found = Findings.load(file)
    _tell(found, number, against, json, None, charts)


@app.command("ledger", help=LEDGER)
def ledger(folder: Folder, out: Page = None, json: opt.Json = False) -> None:
    """Writes `mainstem.lab.ledger()`. Parameters: `folder`; `out`, the page; `json`, as plain data."""
    with busy("reading findings"):
        from mainstem.core import whole_file
        from mainstem.lab import ledger as made

        found = made(folder)
    if json:
        print_json(found.frame().to_dicts())
    elif out is None:
        typer.echo(found.markdown())
    if out is not None:
        with whole_file(out) as half:
            half.write_text(found.markdown() + "\n", encoding="utf-8")
        told(out)


def _tell(
    found: "Findings", number: str | None, against: Against | None, json: bool, parquet: Path | None, charts: list[Path]
) -> None:
    chosen = None if against is None else str(against)
    if json:
        print_json(_record(found, number, chosen))
    else:
        show([*found_parts(found, number, chosen)])  # all of it or nothing
    if parquet is not None:
        told(found.save(parquet))
    if charts:
        from mainstem.api import lab_chart

        chart = lab_chart(found, number, chosen)
        for path in charts:
            told(chart.save(path))


def _record(found: "Findings", number: str | None, against: str | None) -> dict[str, Any]:
    said: dict[str, Any] = {"name": found.plan.name, "size": found.plan.size, "number": number or found.plan.outcome}
    said |= {"variants": found.summary(number).to_dicts(), "comparisons": found.compare(number).to_dicts()}
    said["failed"] = [{name: record.about[name] for name in ("variant", "seed", "status", "fault")} for record in found.failed]
    return said | ({"distances": found.distances(against).to_dicts()} if against else {})


def _charts(*paths: Path | None) -> list[Path]:
    wanted = [path for path in paths if path]
    if wanted:
        from mainstem.view import check_charts

        check_charts()
    return wanted


def _split(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name or not value:
        raise typer.BadParameter(f"{text!r} names no value: write it as training.lr=0.01")
    return name, value


def _assigned(text: str) -> tuple[str, Any]:
    name, value = _split(text)
    return name, _value(value)


def _value(text: str) -> Any:
    """A number, true, false, null or a list as JSON has them; anything else is text."""
    try:
        return plain.loads(text)
    except ValueError:
        return text
