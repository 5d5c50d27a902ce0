"""The kinds of data and model that there are, and what trains each."""

import inspect
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from mainstem.core import InputError

from ._config import VariantConfig
from ._mlp import TableNet
from ._outcome import Outcome
from ._pictures import pictures
from ._resnet import SmallResNet
from ._setup import Setup
from ._tables import table
from ._text import FACTS, check_text, text

_GIVEN = ("self", "others", "inputs", "channels", "classes")  # by the data, not by the setup
# Imported when one is run: each stands on libraries of its own.
_TRAINERS = {"text": "_train_text.train_text", "table": "_train_table.train_table", "images": "_train_images.train_images"}
Trainer = Callable[[Setup, int, Path | None], Outcome]


def check(setup: Setup) -> None:
    """Whether a setup's choices are ones that its task has: before anything is trained.

    Parameters: `setup`. Raises `InputError` for a task or a name that there is not, with those that there are.
    """
    if setup.task not in _TRAINERS:
        raise InputError(f"no task {setup.task!r}; there are {', '.join(_TRAINERS)}.")
    model, data = _takers(setup.task)
    for part, chosen, taker in (("model", setup.model, model), ("data", setup.data, data)):
        known = [name for name in inspect.signature(taker).parameters if name not in _GIVEN]
        known += ["kind"] if part == "model" and setup.task == "text" else []
        if strange := [name for name in chosen if name not in known]:
            raise InputError(f"no choice {part}.{strange[0]} of {setup.task}; {part} has {', '.join(known)}.")


def check_data(setup: Setup) -> None:
    """Whether images can be read: before anything is trained. They are kept for the runs.

    Parameters: `setup`, whose choices are checked. Raises `InputError` for what is not there or holds something else.
    """
    if setup.task == "images":
        pictures(**setup.data)
    elif setup.task == "text":
        check_text(setup.data.get("text", FACTS))


def _takers(task: str) -> tuple[Callable[..., object], Callable[..., object]]:
    """What takes the choices of the model, and those of the data."""
    if task == "text":
        return VariantConfig.__init__, text
    return (TableNet, table) if task == "table" else (SmallResNet, pictures)


def trainer(task: str) -> Trainer:
    """What trains a task. Parameters: `task`, one that there is."""
    module, _, name = _TRAINERS[task].partition(".")
    found: Trainer = getattr(import_module(f"{__package__}.{module}"), name)
    return found
