"""Runs that go another way than the one that was mapped are mapped themselves."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, runtime_checkable

from mainstem.core import MapError
from mainstem.stream import Pass, refit


@runtime_checkable
class _Holder(Protocol):
    run: Pass
    _full: Any


P = ParamSpec("P")
T = TypeVar("T")
H = TypeVar("H", bound=_Holder)


def fitted(method: Callable[Concatenate[H, P], T]) -> Callable[Concatenate[H, P], T]:
    """Where the input takes another way into a write than the one that was mapped (fewer experts, no mask), it is mapped itself.

    Parameters: `method`, of a trace.
    """

    @wraps(method)
    def wrapped(self: H, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except MapError:
            self.run, self._full = refit(self.run), None
        return method(self, *args, **kwargs)

    return wrapped
