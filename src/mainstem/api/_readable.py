"""What a module says of an input that it cannot run, as an error of ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from mainstem.core import InputError
from mainstem.models import Inputs, Loaded, advice


@contextmanager
def readable(loaded: Loaded, inputs: Inputs) -> Iterator[None]:
    """Runs made inside raise `InputError` for what the module cannot run. Parameters: `loaded`; `inputs`, of the run."""
    try:
        yield
    except (ValueError, IndexError, RuntimeError) as error:
        if isinstance(error, InputError):
            raise
        line = str(error).strip().splitlines()[0].rstrip(".")
        raise InputError(f"the model cannot run this input: {line}.{advice(loaded, inputs)}") from error
