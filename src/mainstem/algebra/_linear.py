"""Linear parts of the frozen forms: what an operation does to a vector, what it adds to it left out.

None of them is differentiated to be had. Torch's forward mode, which would give them too, is one for the whole process: two
threads that are in it at once, one of which may be a user's own, raise or meet each other's tangents.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from . import _frozen as frozen
from ._calls import Call, base_name, put
from ._frozen import Live
from ._rules import rule

Form = Callable[[Call, Live], Any]


def linear(call: Call, live: Live) -> Any:
    """The frozen form of a call less its value at zero. Parameters: `call`; `live`, what its carrying operands are replaced by."""
    name = base_name(call.name)
    found = rule(name)
    assert found is not None, f"no frozen form for {call.name}"
    if found.form is frozen.activation:
        return live[(0,)] * frozen.ratio(call)[0]
    clear = _CLEARED.get(name) or _BY_SORT.get(found.sort)
    return found.form(clear(call, live) if clear else call, live)


def _zero(value: Any) -> Any:
    """Zero in the place of a constant; what is no number stays: conditions, places, axes."""
    if isinstance(value, torch.Tensor):
        return value if value.dtype == torch.bool else torch.zeros_like(value)
    return type(value)(0) if isinstance(value, int | float | complex) and not isinstance(value, bool) else value


def _added(call: Call, live: Live) -> Call:
    """A sum, or what puts numbers into others: operands that do not carry are zero."""
    found = rule(call.name)
    assert found is not None
    return _cleared(call, live, {0, *found.operands}, ("input", "other", "source", "src", "value", "values"))


def _joined(call: Call, live: Live) -> Call:
    """Operands side by side: those that do not carry are zero."""
    parts = [part if (0, i) in live else _zero(part) for i, part in enumerate(call.args[0])]
    return replace(call, args=(type(call.args[0])(parts), *call.args[1:]))


def _first(call: Call, live: Live) -> Call:
    """A product that is added to something."""
    return _cleared(call, live, {0}, ("input",))


def _filled(at: int) -> Callable[[Call, Live], Call]:
    """Numbers among which a constant is put, the operand at a place."""
    return lambda call, live: _cleared(call, live, {at}, ("value",))


def _cleared(call: Call, live: Live, places: set[int], words: tuple[str, ...]) -> Call:
    args, kwargs = call.args, call.kwargs
    for at in places & set(range(len(args))):
        args = args if (at,) in live else put(args, (at,), _zero(args[at]))
    for word in set(words) & kwargs.keys():
        kwargs = kwargs if (word,) in live else put(kwargs, (word,), _zero(kwargs[word]))
    return replace(call, args=args, kwargs=kwargs)


def _unbiased(at: int) -> Callable[[Call, Live], Call]:
    """An operation with a bias of its own, which stands at a place."""

    def cleared(call: Call, live: Live) -> Call:
        args = put(call.args, (at,), None) if len(call.args) > at else call.args
        return replace(call, args=args, kwargs={name: value for name, value in call.kwargs.items() if name != "bias"})

    return cleared


def _centred(call: Call, live: Live) -> Call:
    """Batch norm: neither mean nor bias. Torch's own call and that of `functional` have their operands in different orders."""
    native = call.func is torch.batch_norm
    mean, bias = (3, 2) if native else (1, 4)
    found = _unbiased(bias)(_cleared(call, live, {mean}, ("running_mean",)), live)
    return replace(found, kwargs=found.kwargs | {"bias": None}) if native and len(call.args) <= bias else found


def _by(func: Callable[..., Any]) -> Callable[[Call, Live], Call]:
    """What torch cannot do to a stack of vectors under its own name."""
    return lambda call, live: replace(call, func=func)


_WEIGHTS = "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"
_BY_SORT: dict[str, Callable[[Call, Live], Call]] = {"sum": _added, "join": _joined}
_CLEARED: dict[str, Callable[[Call, Live], Call]] = {
    **{name: _unbiased(2) for name in _WEIGHTS.split()},
    **{name: _first for name in ("addmm", "addbmm", "baddbmm")},
    "layer_norm": _unbiased(3),
    "group_norm": _unbiased(3),
    "batch_norm": _centred,
    "masked_fill": _filled(2),
    "moveaxis": _by(torch.movedim),
    "pad": _filled(3),
    "to_dense": _by(lambda x, *_, **__: x),  # what carries is dense
    "constant_pad_nd": _filled(2),
}
