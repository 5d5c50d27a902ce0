"""What the lab needs beyond mainstem itself."""

from importlib import import_module
from typing import Any

from mainstem.core import InputError


def needed(name: str) -> Any:
    """A module of the extra `lab`, or `scan` for Ray. Parameters: `name`. Raises `InputError` with the line that installs it."""
    try:
        return import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise InputError(f"this needs {package}: pip install 'mainstem[{'scan' if package == 'ray' else 'lab'}]'") from error
