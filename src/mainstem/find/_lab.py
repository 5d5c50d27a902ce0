"""The laboratory of the proof: a module in the precision of the proof, mapped there, with what two inputs did."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from torch import nn

from mainstem.algebra import put, tensors
from mainstem.core import Key, NoStreamError, NotClosedError, show

from ._build import build, chosen
from ._chain import Chain
from ._inputs import Inputs, second_inputs
from ._record import Graph, overwritten, record
from ._run import Captured, Patch, Tap, run
from ._stream_map import StreamMap


@dataclass
class Lab:
    """A module in the precision of the proof, mapped there, with the two inputs and what they did."""

    module: nn.Module
    dtype: torch.dtype
    inputs: tuple[Inputs, Inputs]
    graph: Graph
    chains: list[Chain]
    map: StreamMap
    runs: tuple[Captured, ...] = ()

    def run(self, which: int = 0, keys: set[Key] | None = None, patches: tuple[Patch, ...] = ()) -> Captured:
        """Runs input `which` with patches, capturing `keys` or all that the streams need."""
        args, kwargs = self.inputs[which]
        wanted = needed(self.map) if keys is None else keys
        with torch.no_grad():
            return run(self.module, args, kwargs, wanted, patches, overwritten(self.graph), self.dtype == torch.float64)


def needed(found: StreamMap) -> set[Key]:
    """The calls that the streams of a map are rebuilt from. Parameters: `found`."""
    return {key for s in found.streams for key in s.keys()}


def lab(module: nn.Module, chains: list[Chain], graph: Graph, args: Any, kwargs: Mapping[str, Any]) -> Lab:
    """The module in float64 if it fits into memory a second time, else in float32, mapped again there.

    Parameters: `module`; `chains` and `graph`, as found; `args` and `kwargs`, the input they were found with. Raises
    `NotClosedError` where precision or another input changes the additions.
    """
    _whole(module)
    name = type(module).__name__
    keys, volatile = needed(build(name, graph, chains)), overwritten(graph)
    lifted, dtype, mine, (seen, first) = _lifted(module, (args, dict(kwargs)), keys, volatile)
    found = chosen(seen)
    same_additions(chains, found, f"the module's own precision and {str(dtype).removeprefix('torch.')}")
    made = build(name, seen, found)
    theirs, (other, second) = _second(lifted, second_inputs(graph, args, kwargs), dtype, needed(made), overwritten(seen))
    ready = Lab(lifted, dtype, (mine, theirs), seen, found, made)
    same_additions(found, _chosen(other), "two inputs: control flow depends on data")
    runs = (first, second)
    ready.runs = tuple(r if needed(ready.map) <= r.calls.keys() else ready.run(i) for i, r in enumerate(runs))
    return ready


def _recorded(
    module: nn.Module, inputs: Inputs, dtype: torch.dtype, keys: set[Key], volatile: frozenset[Key]
) -> tuple[Graph, Captured]:
    """One pass for both: its graph, and what stood at the calls that will be asked for."""
    args, kwargs = inputs
    tap = Tap(module, keys, (), volatile, dtype == torch.float64)
    return record(module, args, kwargs, tap), tap.captured


def _second(
    module: nn.Module, tries: list[Inputs], dtype: torch.dtype, keys: set[Key], volatile: frozenset[Key]
) -> tuple[Inputs, tuple[Graph, Captured]]:
    """A pass of the first other input that the module takes."""
    for i, inputs in enumerate(tries, 1):
        lifted = _cast(inputs, dtype)
        try:
            return lifted, _recorded(module, lifted, dtype, keys, volatile)
        except (RuntimeError, ValueError, IndexError):
            if i == len(tries):
                raise
    raise AssertionError("there is always one to try")


def _chosen(graph: Graph) -> list[Chain]:
    try:
        return chosen(graph)
    except NoStreamError:
        return []


def _lifted(module: nn.Module, own: Inputs, keys: set[Key], volatile: frozenset[Key]) -> tuple[nn.Module, torch.dtype, Any, Any]:
    if sum(p.numel() for p in module.parameters()) * 24 < psutil.virtual_memory().available:
        try:
            lifted, inputs = copy.deepcopy(module).double(), _cast(own, torch.float64)
            return lifted, torch.float64, inputs, _recorded(lifted, inputs, torch.float64, keys, volatile)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            pass  # an operation of it knows no float64, or it cannot be copied
    low = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    lifted = copy.deepcopy(module).float() if low in (torch.bfloat16, torch.float16) else module
    inputs = _cast(own, torch.float32)
    return lifted, torch.float32, inputs, _recorded(lifted, inputs, torch.float32, keys, volatile)


def _cast(inputs: Any, dtype: torch.dtype) -> Any:
    for path, tensor in list(tensors(inputs)):
        if tensor.is_floating_point():
            inputs = put(inputs, path, tensor.to(dtype))
    return inputs


def _whole(module: nn.Module) -> None:
    """Some kernels give zeros where weights are not numbers, so that the stream alone does not show them."""
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and weight.dtype.itemsize > 1 and bool(weight.isnan().any()):
            raise NotClosedError(
                f"weight {name} holds numbers that are not finite (NaN). Nothing can be proved of it; load it again."
            )


def same_additions(a: list[Chain], b: list[Chain], between: str) -> None:
    """Raises `NotClosedError` where two runs take different additions.

    Parameters: `a` and `b`, the chains found in each; `between`, what differs, for the message.
    """
    one, two = ([[s.node.key for s in c.sums] for c in chains] for chains in (a, b))
    if one == two:
        return
    first = next((x for c, d in zip(one, two, strict=False) for x, y in zip(c, d, strict=False) if x != y and x), None)
    where = f", the first at {show(first)}" if first else ""
    raise NotClosedError(f"the additions differ between {between}{where}. Map each way through the module by itself.")
