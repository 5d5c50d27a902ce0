"""What the shell offers after a tab; nothing here may load a model."""

import json
from collections.abc import Iterator
from pathlib import Path

import typer

_HOME = Path(__file__).parents[1] / "models"  # read by itself: importing the room would import torch


def embedded(incomplete: str) -> Iterator[str]:
    """The embedded models. Parameters: `incomplete`, what was typed so far."""
    names = sorted(path.parent.name for path in _HOME.glob("*/config.json"))
    yield from (name for name in names if name.startswith(incomplete))


def models(incomplete: str) -> Iterator[str]:
    """The embedded models, and folders. Parameters: `incomplete`, what was typed so far."""
    yield from embedded(incomplete)
    start = Path(incomplete or ".")
    folder = start if incomplete.endswith("/") or not incomplete else start.parent
    prefix = incomplete[: incomplete.rfind("/") + 1]
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        yield from (f"{prefix}{name}" for name in names if f"{prefix}{name}".startswith(incomplete))


def components(context: typer.Context, incomplete: str) -> Iterator[str]:
    """Writes of an embedded model of text; others would have to be loaded first.

    Parameters: `context`, to see the model; `incomplete`, what was typed so far.
    """
    model = context.params.get("model", "default")
    if model not in embedded(""):
        return
    config = json.loads((_HOME / model / "config.json").read_text(encoding="utf-8"))
    layers = range(config.get("n_layer", 0))
    labels = ["entry.embed", "entry.pos", *(f"L{i}.{kind}" for i in layers for kind in ("attn", "mlp"))] if layers else []
    yield from (label for label in labels if label.startswith(incomplete))


def component_list(context: typer.Context, incomplete: str) -> Iterator[str]:
    """The same where several stand with commas between them. Parameters: `context`; `incomplete`, what was typed so far."""
    before, comma, last = incomplete.rpartition(",")
    yield from (f"{before}{comma}{label}" for label in components(context, last))


def scores(incomplete: str) -> Iterator[str]:
    """The scores there are. Parameters: `incomplete`, what was typed so far."""
    names = sorted(path.stem for path in (_HOME.parent / "score").glob("[!_]*.py"))
    yield from (name for name in names if name.startswith(incomplete))


def measures(incomplete: str) -> Iterator[str]:
    """The measures there are. Parameters: `incomplete`, what was typed so far."""
    names = sorted(path.stem for path in (_HOME.parent / "measure").glob("[!_]*.py"))
    yield from (name for name in names if name.startswith(incomplete))


def recipes(incomplete: str) -> Iterator[str]:
    """The experiments there are. Parameters: `incomplete`, what was typed so far."""
    names = sorted(path.stem.replace("_", "-") for path in (_HOME.parent / "lab" / "recipes").glob("[!_]*.py"))
    yield from (name for name in names if name.startswith(incomplete))
