"""The kinds of data and model that there are, and what trains each."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from mainstem.core import InputError

from ._outcome import Outcome
from ._setup import Setup

# Imported when one is run: each stands on libraries of its own.
_TRAINERS = {"text": "_train_text.train_text", "table": "_train_table.train_table", "images": "_train_images.train_images"}
Trainer = Callable[[Setup, int, Path | None], Outcome]


def trainer(task: str) -> Trainer:
    """What trains a task. Parameters: `task`. Raises `InputError` with those that there are."""
    if task not in _TRAINERS:
        raise InputError(f"no task {task!r}; there are {', '.join(_TRAINERS)}.")
    module, _, name = _TRAINERS[task].partition(".")
    found: Trainer = getattr(import_module(f"{__package__}.{module}"), name)
    return found
