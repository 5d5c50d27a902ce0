"""The five proofs of a map: closure, continuity, cut, coverage, response."""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from mainstem.algebra import put, tensors
from mainstem.core import Key, NoStreamError, NotClosedError, Site, bound, error, show

from ._build import build, chosen
from ._chain import Chain
from ._cut import crossing, describe, origin, places, uncovered
from ._inputs import second_input
from ._map import Point, Proof, Stream, continuity_limit
from ._record import Graph, Node, overwritten, record
from ._run import Captured, Patch, run
from ._stream_map import StreamMap

_CUTS = 8
_AMPLIFIED = 1e4


@dataclass
class Lab:
    """A module in the precision of the proof, mapped there, with the two inputs and what they did."""

    module: nn.Module
    dtype: torch.dtype
    inputs: tuple[tuple[Any, dict[str, Any]], ...]
    graph: Graph
    chains: list[Chain]
    map: StreamMap
    volatile: frozenset[Key]
    runs: tuple[Captured, ...] = ()

    def run(self, which: int = 0, keys: set[Key] | None = None, patches: tuple[Patch, ...] = ()) -> Captured:
        """Runs input `which` with patches, capturing `keys` or all that the streams need."""
        args, kwargs = self.inputs[which]
        wanted = set(_keys(self.map)) if keys is None else keys
        with torch.no_grad():
            return run(self.module, args, kwargs, wanted, patches, self.volatile, self.dtype == torch.float64)


def prove(module: nn.Module, chains: list[Chain], graph: Graph, args: Any, kwargs: Mapping[str, Any]) -> Proof:
    """Proves the streams of a module or raises `NotClosedError` with the place where it fails.

    Parameters: `module`; `chains` and `graph`, as found; `args` and `kwargs`, the input they were found with.
    """
    return examine(lab(module, chains, graph, args, kwargs))


def examine(lab: Lab) -> Proof:
    """The five proofs in a prepared laboratory. Parameters: `lab`."""
    if lost := [s for s in lab.map.streams if s.output is None]:
        where = show(lost[0].points[-1].site.key)
        raise NotClosedError(f"cut: from the last addition at {where} no output can be reached, so nothing can be cut there.")
    each = [(s, r) for s in lab.map.streams for r in lab.runs]
    for s, r in each:
        _finite(s, r)
    worst, limit = max((_closure(s, r, lab.dtype) for s, r in each), key=_share)
    continuity = _largest(_continuity(s, r, lab.dtype) for s, r in each)
    cut, cuts, bypass = _cut(lab, lab.graph, lab.chains)
    end = _output(lab.graph, lab.map.main)
    around = () if end is None else uncovered(lab.graph, lab.chains, end)
    response = _response(lab, lab.map.main)
    return Proof(str(lab.dtype).removeprefix("torch."), worst, limit, continuity, cut, cuts, bypass, around, response)


def _share(miss: tuple[float, float]) -> tuple[bool, float, float]:
    """An error as a share of its bound, then the bound, to sort by: what is not a number comes out largest."""
    share = miss[0] / miss[1]
    return share != share, share, miss[1]


def _largest(values: Iterable[float]) -> float:
    """The largest, not a number where one of them is none: `max` would lose it."""
    return max(((v != v, v) for v in values), default=(False, 0.0))[1]


def _whole(module: nn.Module) -> None:
    """Some kernels give zeros where weights are not numbers, so that the stream alone does not show them."""
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and weight.dtype.itemsize > 1 and bool(weight.isnan().any()):
            raise NotClosedError(
                f"weight {name} holds numbers that are not finite (NaN). Nothing can be proved of it; load it again."
            )


def _finite(stream: Stream, seen: Captured) -> None:
    for p in stream.points:
        if not bool(seen.at(p.site).isfinite().all()):
            raise NotClosedError(f"{p.name} holds numbers that are not finite: the module's weights or its input do.")
    if stream.output is not None and not bool(seen.at(stream.output).isfinite().all()):
        raise NotClosedError(f"the output at {show(stream.output.key)} is not finite: weights after the last point are broken.")


def lab(module: nn.Module, chains: list[Chain], graph: Graph, args: Any, kwargs: Mapping[str, Any]) -> Lab:
    """The module in float64 if it fits into memory a second time, else in float32, mapped again there.

    Parameters: as of `prove`. Raises `NotClosedError` where precision or another input changes the additions.
    """
    _whole(module)
    both = ((args, dict(kwargs)), second_input(graph, args, kwargs))
    lifted, dtype, inputs, seen = _lifted(module, both)
    found = chosen(seen)
    same_additions(chains, found, f"the module's own precision and {str(dtype).removeprefix('torch.')}")
    same_additions(
        found, _chosen(_recorded(lifted, inputs[1], dtype == torch.float64)), "two inputs: control flow depends on data"
    )
    ready = Lab(lifted, dtype, inputs, seen, found, build(type(module).__name__, seen, found), overwritten(seen))
    return replace(ready, runs=(ready.run(0), ready.run(1)))


def _recorded(module: nn.Module, inputs: tuple[Any, dict[str, Any]], double: bool) -> Graph:
    args, kwargs = inputs
    return record(module, args, kwargs, double)


def _chosen(graph: Graph) -> list[Chain]:
    try:
        return chosen(graph)
    except NoStreamError:
        return []


def _lifted(module: nn.Module, both: Any) -> tuple[nn.Module, torch.dtype, Any, Graph]:
    if sum(p.numel() for p in module.parameters()) * 24 < psutil.virtual_memory().available:
        try:
            lifted, inputs = copy.deepcopy(module).double(), tuple(_cast(i, torch.float64) for i in both)
            return lifted, torch.float64, inputs, _recorded(lifted, inputs[0], True)
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            pass  # an operation of it knows no float64, or it cannot be copied
    low = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    lifted = copy.deepcopy(module).float() if low in (torch.bfloat16, torch.float16) else module
    inputs = tuple(_cast(i, torch.float32) for i in both)
    return lifted, torch.float32, inputs, _recorded(lifted, inputs[0], False)


def _cast(inputs: Any, dtype: torch.dtype) -> Any:
    for path, tensor in list(tensors(inputs)):
        if tensor.is_floating_point():
            inputs = put(inputs, path, tensor.to(dtype))
    return inputs


def _keys(found: StreamMap) -> set[Key]:
    return {key for s in found.streams for key in s.keys()}


def _closure(stream: Stream, seen: Captured, dtype: torch.dtype) -> tuple[float, float]:
    """The stream rebuilt from the entry's parts, the transports and the writes, against the stream that was seen."""
    misses: list[tuple[float, float]] = []
    rebuilt = torch.zeros(())
    for p, before in zip(stream.points, (None, *stream.points), strict=False):
        pieces = [w.factor * seen.at(w.site) for w in p.writes]
        if before is not None:
            pieces.append(p.factor * transport(before, seen, rebuilt))
        nothing = torch.zeros_like(seen.at(p.site))
        rebuilt, size = sum(pieces, nothing), sum((piece.abs() for piece in pieces), nothing)
        misses.append((error(rebuilt, seen.at(p.site)), max(bound(dtype, size) * len(stream.points), 1e-300)))
        if not misses[-1][0] <= misses[-1][1]:
            raise NotClosedError(
                f"closure: at {p.name} ({show(p.site.key)}) entry and writes miss the stream by {misses[-1][0]:.3g}, the bound is "
                f"{misses[-1][1]:.3g} ({dtype}); {_up_to(before)}."
            )
    return max(misses, key=_share)


def _up_to(before: Point | None) -> str:
    return f"up to {before.name} the chain closes" if before else "it is the first point"


def transport(p: Point, seen: Captured, value: Tensor) -> Tensor:
    """What the frozen transport from a point makes of a value there: the next addition's stream operand.

    Parameters: `p`, the point; `seen`, the run it is frozen at; `value`, of the point's shape.
    """
    return p.onward.bind(seen.calls)(p.face.bind(seen.calls)(value))


def _continuity(stream: Stream, seen: Captured, dtype: torch.dtype) -> float:
    """The largest miss of frozen and of true transports at the run's own points, as a share of the value's size."""
    misses = []
    for p, after in zip(stream.points, stream.points[1:], strict=False):
        assert after.stream is not None
        operand, value = seen.at(after.stream), seen.at(p.site)
        scale = float(operand.abs().max()) or 1.0
        live = p.onward.bind(seen.calls).live(p.face.bind(seen.calls).live(value))
        misses += [error(transport(p, seen, value), operand) / scale, error(live, operand) / scale]
        _continues(_largest(misses[-2:]), f"from {p.name} to {after.name} ({show(after.stream.key)})", dtype)
    if stream.output is not None:
        last, out = stream.points[-1], seen.at(stream.output)
        frozen = transport(last, seen, seen.at(last.site))
        misses.append(error(frozen, out) / (float(out.abs().max()) or 1.0))
        _continues(misses[-1], f"from {last.name} to the output ({show(stream.output.key)})", dtype)
    return _largest(misses)


def _continues(miss: float, where: str, dtype: torch.dtype) -> None:
    if not miss <= continuity_limit(dtype):
        raise NotClosedError(f"continuity: {where} the transport misses the stream by {miss:.3g} of its size.")


def _cut(lab: Lab, graph: Graph, chains: list[Chain]) -> tuple[float, int, tuple[str, ...]]:
    """Points of the first input replaced by the second's: all that follows, and the output, must become the second's."""
    misses: list[float] = []
    bypass: dict[Node, None] = {}
    for stream, chain in zip(lab.map.streams, chains, strict=True):
        end = _output(graph, stream)
        if end is None:
            continue
        ends = [c.points[-1] for c in chains if c is not chain]
        for t in _spread(len(stream.points), _CUTS):
            sites = crossing(graph, chain.points[t], end)
            bypass |= {origin(graph, n, ends): None for _, n in sites}
            misses.append(_swap(lab, stream, t, [site for site, _ in sites] + places(chain.points[t])))
            if not misses[-1] <= _AMPLIFIED * torch.finfo(lab.dtype).eps:
                raise NotClosedError(
                    f"cut: with {stream.points[t].name} ({show(stream.points[t].site.key)}) replaced by another input's, what follows "
                    f"differs from that input's by {misses[-1]:.3g} of its size."
                )
    return _largest(misses), len(misses), tuple(dict.fromkeys(describe(n) for n in bypass))


def _swap(lab: Lab, stream: Stream, t: int, crossings: list[Site]) -> float:
    mine, theirs = (r.at(stream.points[t].site) for r in lab.runs)
    if torch.equal(mine, theirs):
        raise NotClosedError(f"cut: {stream.points[t].name} is the same for two different inputs, so nothing flows through it.")
    other = lab.run(1, {site.key for site in [*crossings, stream.points[t].site]}) if crossings else lab.runs[1]
    swapped = [*crossings, stream.points[t].site]
    patches = tuple(_put(site, other) for site in swapped)
    later = [p.site for p in stream.points[t:]] + ([stream.output] if stream.output else [])
    seen = lab.run(0, {site.key for site in later}, patches)
    misses = []
    for site in later:
        want, scale = lab.runs[1].at(site), float(lab.runs[1].at(site).abs().max()) or 1.0
        misses.append(error(seen.at(site), want) / scale)
    return _largest(misses)


def _spread(n: int, most: int) -> list[int]:
    return sorted({round(i * (n - 1) / (most - 1)) for i in range(most)}) if n > most else list(range(n))


def _output(graph: Graph, stream: Stream) -> Node | None:
    site = stream.output
    return next((n for n in graph.nodes if site and n.key == site.key and n.output == site.path and not n.leaf), None)


def _response(lab: Lab, stream: Stream) -> float:
    """One write removed, later writes pinned, transports frozen: the end changes by the carried write, as a share of it."""
    seen = lab.runs[0]
    t = max(1, len(stream.points) // 2)
    write = stream.points[t].writes[0]
    patches = [Patch(write.site, torch.zeros_like)]
    current: dict[int, Tensor] = {}
    for u, p in enumerate(stream.points[t:], start=t):
        if u > t:
            patches += [_put(w.site, seen) for w in p.writes]
            if p.stream is not None and (stream.points[u - 1].face.steps or stream.points[u - 1].onward.steps):
                patches.append(_frozen_patch(stream.points[u - 1], p, seen, current, u - 1))
        patches.append(Patch(p.site, partial(_kept, current, u)))
    lab.run(0, {stream.points[-1].site.key}, tuple(patches))
    change = -write.factor * seen.at(write.site)
    for p, after in zip(stream.points[t:], stream.points[t + 1 :], strict=False):
        both = p.onward.bind(seen.calls).linear(p.face.bind(seen.calls).linear(change[None]))[0]
        change = after.factor * both
    live = current[len(stream.points) - 1] - seen.at(stream.points[-1].site)
    found = error(live, change) / (float(seen.at(stream.points[-1].site).abs().max()) or 1.0)
    if not found <= _AMPLIFIED * torch.finfo(lab.dtype).eps:
        raise NotClosedError(
            f"response: removing {write.label} changes the end by {found:.3g} of its size more than was carried there."
        )
    return found


def _put(site: Site, run: Captured) -> Patch:
    """What another run had at a place."""
    return Patch(site, lambda old: run.at(site))


def _kept(current: dict[int, Tensor], u: int, value: Tensor) -> Tensor:
    """Leaves a point as it is and notes its value."""
    return current.setdefault(u, value.clone())


def _frozen_patch(before: Point, after: Point, seen: Captured, current: dict[int, Tensor], u: int) -> Patch:
    assert after.stream is not None
    return Patch(after.stream, lambda old: transport(before, seen, current[u]))


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
