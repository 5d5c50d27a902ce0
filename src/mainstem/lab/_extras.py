"""What the lab needs beyond mainstem itself."""

from importlib import import_module
from typing import Any

from mainstem.core import InputError


def needed(name: str) -> Any:
    """A module of the extra `lab`. Parameters: `name`. Raises `InputError` with the line that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(f"this experiment needs {name.partition('.')[0]}: pip install 'mainstem[lab]'") from error
