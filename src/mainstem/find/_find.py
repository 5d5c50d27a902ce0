"""The one call of this room."""

from dataclasses import replace
from typing import Any

from torch import nn

from ._build import build, chosen
from ._cut import refuse_draws
from ._prove import prove
from ._record import record
from ._refuse import refuse_form
from ._stream_map import StreamMap


def find(module: nn.Module, *args: Any, **kwargs: Any) -> StreamMap:
    """Finds the residual streams of a module from one forward pass, and proves them.

    The stream is a chain of additions x_{t+1} = T_t(x_t) + sum_k w_{t,k}, in which the writes w are computed from x_t by
    weights and T_t is affine once its data-dependent factors are frozen. Nothing about the module is known by name.

    Parameters: `module`, any module in eval mode; `args` and `kwargs`, an input of the form it will be used with, of at
    least two tokens where it reads tokens.

    Returns the map, the main stream first, with its proof: closure, continuity, cut, coverage and response, in float64
    where the module fits into memory a second time, else in float32.

    Raises `NoStreamError` where the module has no stream, `NotClosedError` where a proof fails, `InputError` in train mode,
    for compiled and scripted modules, and where random numbers reach the output.
    """
    refuse_form(module)
    graph = record(module, args, kwargs)
    refuse_draws(graph, lambda: record(module, args, kwargs))
    chains = chosen(graph)
    found = build(type(module).__name__, graph, chains)
    return replace(found, proof=prove(module, chains, graph, args, kwargs))
