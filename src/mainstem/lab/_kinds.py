"""Transformers that setups can name: ours, and those that a user adds."""

from collections.abc import Callable

from mainstem.core import InputError

from ._transformer import Variant

TRANSFORMER = "transformer"
_KINDS: dict[str, type[Variant]] = {TRANSFORMER: Variant}


def kind(name: str) -> Callable[[type[Variant]], type[Variant]]:
    """Registers a transformer of one's own, so that setups can name it: model.kind=NAME. Used as a decorator.

    It is known in this process; on Ray, where other processes train, put it into a module that they import.

    Parameters: `name`. Raises `InputError` for a name that is taken and for what is no subclass of `Variant`.
    """

    def register(made: type[Variant]) -> type[Variant]:
        if name == TRANSFORMER or not issubclass(made, Variant):
            raise InputError(f"{name!r} cannot be {made.__name__}: take another name, and a subclass of mainstem.lab.Variant.")
        _KINDS[name] = made
        return made

    return register


def kind_named(name: str) -> type[Variant]:
    """The class that a setup names. Parameters: `name`. Raises `InputError` with those that there are."""
    if name not in _KINDS:
        raise InputError(f"no kind of transformer {name!r}; there are {', '.join(_KINDS)}.")
    return _KINDS[name]
