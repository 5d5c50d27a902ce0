"""Names of torch calls inside one forward pass, stable from run to run.

A `Key` is (module path, how often that module had been called, operation, ordinal of the operation in that call).
A `Site` is a place at a keyed call where a tensor stands: one of its arguments, or one of its results.
"""

from typing import NamedTuple

Key = tuple[str, int, str, int]
Path = tuple[int | str, ...]


class Site(NamedTuple):
    """Where a tensor stands: `role` is "arg" or "out", `path` leads to it inside the arguments or the results."""

    key: Key
    role: str
    path: Path = ()


def show(key: Key) -> str:
    """A key as people read it: `h.0.mlp/add` with call and ordinal only where they are not zero.

    Parameters: `key`, the key.
    """
    module, call, name, ordinal = key
    return f"{module or '(root)'}{f'@{call}' if call else ''}/{name}{f'#{ordinal}' if ordinal else ''}"
