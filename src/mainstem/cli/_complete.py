"""What the shell offers after a tab; nothing here may load a model."""

import json
from collections.abc import Iterator
from pathlib import Path

import typer

_CONFIG = Path(__file__).parents[1] / "models" / "default" / "config.json"


def models(incomplete: str) -> Iterator[str]:
    """The embedded model, and folders. Parameters: `incomplete`, what was typed so far."""
    if "default".startswith(incomplete):
        yield "default"
    start = Path(incomplete or ".")
    folder = start if incomplete.endswith("/") or not incomplete else start.parent
    prefix = incomplete[: incomplete.rfind("/") + 1]
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        yield from (f"{prefix}{name}" for name in names if f"{prefix}{name}".startswith(incomplete))


def components(context: typer.Context, incomplete: str) -> Iterator[str]:
    """Writes of the embedded model; others would have to be loaded first.

    Parameters: `context`, to see the model; `incomplete`, what was typed so far.
    """
    if context.params.get("model", "default") != "default":
        return
    layers = range(json.loads(_CONFIG.read_text(encoding="utf-8"))["n_layer"])
    labels = ["entry.embed", "entry.pos", *(f"L{i}.{kind}" for i in layers for kind in ("attn", "mlp"))]
    yield from (label for label in labels if label.startswith(incomplete))
