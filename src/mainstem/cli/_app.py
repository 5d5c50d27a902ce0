"""The commands, and what `mainstem` itself answers to."""

import sys
from typing import Annotated

import typer

from . import (
    _ablate,
    _curve,
    _erasers,
    _figures,
    _find,
    _lab,
    _lens,
    _measure,
    _merge,
    _models,
    _outliers,
    _patch,
    _queries,
    _scan,
    _score,
    _shift,
    _trace,
    _tune,
    _verify,
    _view,
    _words,
)
from ._help import explained

HELP = explained(
    "Finds the residual stream of any PyTorch model, proves it, and takes it apart exactly.",
    "Models that need no download come with it. Every command has a --help with examples of its own.",
    examples="""
    mainstem trace "The capital of France is"
    mainstem lens "The capital of France is"
    mainstem score "The capital of France is" --level neuron
    mainstem queries "The capital of France is"
    mainstem ablate "The capital of France is" --zero L3.mlp
    mainstem patch "The capital of France is" "The capital of Italy is"
    mainstem measure stories.txt
    mainstem verify path/to/model
    mainstem view
    mainstem models
    """,
)

app = typer.Typer(
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
)
app.command("find", help=_find.HELP)(_find.find)
app.command("verify", help=_verify.HELP)(_verify.verify)
app.command("trace", help=_trace.HELP)(_trace.trace)
app.command("lens", help=_lens.HELP)(_lens.lens)
app.command("score", help=_score.HELP)(_score.score)
app.command("tune", help=_tune.HELP)(_tune.tune)
app.command("words", help=_words.HELP)(_words.words)
app.command("queries", help=_queries.HELP)(_queries.queries)
app.command("ablate", help=_ablate.HELP)(_ablate.ablate)
app.command("patch", help=_patch.HELP)(_patch.patch)
app.command("measure", help=_measure.HELP)(_measure.measure)
app.command("figures", help=_figures.HELP)(_figures.figures)
app.command("outliers", help=_outliers.HELP)(_outliers.outliers)
app.command("erasers", help=_erasers.HELP)(_erasers.erasers)
app.command("curve", help=_curve.HELP)(_curve.curve)
app.command("shift", help=_shift.HELP)(_shift.shift)
app.command("scan", help=_scan.HELP)(_scan.scan)
app.command("merge", help=_merge.HELP)(_merge.merge)
app.command("view", help=_view.HELP)(_view.view)
app.command("models", help=_models.HELP)(_models.models)
app.add_typer(_lab.app, name="lab", help=_lab.HELP)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"mainstem {vars(sys.modules['mainstem'])['__version__']}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Shows the help where no command was typed. Parameters: `context`; `version`, handled before."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
