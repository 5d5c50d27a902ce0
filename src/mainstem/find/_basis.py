"""In which basis a stream is written: every weight with an axis of its features, and the norms through which it is read."""

from typing import Any

from torch import nn

from mainstem.core import InputError

from ._build import build, chosen
from ._names import feature_axis
from ._record import record
from ._refuse import refuse_form
from ._spread import Spread
from ._weights import Basis


def basis(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], stream: str | None = None) -> Basis:
    """What has to change in a module for its stream to stand in another basis while its output stays.

    Parameters: `module`; `args` and `kwargs`, an input; `stream`, by name, None for the main one. Raises `InputError` that names the first
    thing that depends on the basis at hand, `NoStreamError`.
    """
    refuse_form(module)
    graph = record(module, args, kwargs)
    picked = chosen(graph)
    names = [s.name for s in build("", graph, picked).streams]
    if stream is not None and stream not in names:
        raise InputError(f"no stream {stream!r} in this model; there are {', '.join(map(repr, names))}.")
    points = picked[0 if stream is None else names.index(stream)].points
    widths = {p.shape[feature_axis(p)] for p in points}
    if len(widths) > 1:
        raise InputError(f"a stream that changes its width cannot be rotated: this one has {sorted(widths)} features.")
    return Spread(module, graph, widths.pop()).over(points)
