"""`x[i] += f`: Python reads a part, adds to it in place, and assigns it to where it is. Seen as one addition to the whole x."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mainstem.algebra import assigned

_SIGNS = {"__iadd__": "add_", "add_": "add_", "__isub__": "sub_", "sub_": "sub_"}
SLICED = frozenset(("__getitem__", "__setitem__", *_SIGNS))
Do = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Done:
    """A call that was made in another way. Parameters: `result`, what it returns."""

    result: Any


class Sliced:
    """Follows the three steps of such statements. A part of less than half of x is left as it is: those are loops over rows."""

    def __init__(self) -> None:
        self.parts: deque[tuple[Tensor, Any, Tensor]] = deque(maxlen=8)  # what is added may be a part of something itself
        self.added: tuple[Tensor, Any, Tensor] | None = None

    def looked_at(self, name: str, args: tuple[Any, ...], kwargs: Any, do: Do) -> Done | None:
        """Makes the addition, and leaves the assignment that follows out; None for any other call.

        Parameters: `name`, `args`, `kwargs`, the call's; `do`, makes one part of it.
        """
        if name == "__getitem__":
            if isinstance(args[0], Tensor) and not _has_tensor(args[1]):
                self.parts.append((args[0], args[1], args[0][args[1]]))
            return None
        if name == "__setitem__":
            added, self.added = self.added, None
            mine = added is not None and args[0] is added[0] and args[1] == added[1] and args[2] is added[2]
            return Done(None) if mine else None
        plain = len(args) == 2 and not kwargs
        found = next((p for p in reversed(self.parts) if _is_same(args[0], p[2])), None) if plain else None
        if found is None or not found[0].numel() > found[2].numel() >= found[0].numel() / 2:
            return None
        whole, index, _ = found
        write = args[1] if isinstance(args[1], Tensor) else torch.as_tensor(args[1], dtype=whole.dtype)
        do(_SIGNS[name], getattr(Tensor, _SIGNS[name]), whole, do("spread", spread, write, index, whole))
        self.added = whole, index, args[0]
        return Done(args[0])


def spread(write: Tensor, index: Any, whole: Tensor) -> Tensor:
    """What is added to a part, as something added to the whole: zero elsewhere. Parameters: `write`, `index`, `whole`."""
    return assigned(torch.zeros_like(whole), index, write)


def _has_tensor(index: Any) -> bool:
    return isinstance(index, Tensor | list) or (isinstance(index, tuple) and any(isinstance(i, Tensor | list) for i in index))


def _is_same(a: Any, b: Tensor) -> bool:
    """Whether two tensors are the same numbers in memory."""
    return isinstance(a, Tensor) and a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride()
