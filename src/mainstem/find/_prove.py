"""The five proofs of a map: closure, continuity, cut, coverage, response."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mainstem.core import NotClosedError, bound, error, show

from ._chain import Chain
from ._cut import uncovered
from ._lab import Lab, lab
from ._map import Point, Proof, Stream, continuity_limit
from ._record import Graph
from ._run import Captured, Patch
from ._swap import cut, output_node, put

_AMPLIFIED = 1e4


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
    missed, cuts, bypass = cut(lab)
    end = output_node(lab.graph, lab.map.main)
    around = () if end is None else uncovered(lab.graph, lab.chains, end)
    response = _response(lab, lab.map.main)
    return Proof(str(lab.dtype).removeprefix("torch."), worst, limit, continuity, missed, cuts, bypass, around, response)


def _share(miss: tuple[float, float]) -> tuple[bool, float, float]:
    """An error as a share of its bound, then the bound, to sort by: what is not a number comes out largest."""
    share = miss[0] / miss[1]
    return share != share, share, miss[1]


def _largest(values: Iterable[float]) -> float:
    """The largest, not a number where one of them is none: `max` would lose it."""
    return max(((v != v, v) for v in values), default=(False, 0.0))[1]


def _finite(stream: Stream, seen: Captured) -> None:
    for p in stream.points:
        if not bool(seen.at(p.site).isfinite().all()):
            raise NotClosedError(f"{p.name} holds numbers that are not finite: the module's weights or its input do.")
    if stream.output is not None and not bool(seen.at(stream.output).isfinite().all()):
        raise NotClosedError(f"the output at {show(stream.output.key)} is not finite: weights after the last point are broken.")


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


def _response(lab: Lab, stream: Stream) -> float:
    """One write removed, later writes pinned, transports frozen: the end changes by the carried write, as a share of it."""
    seen = lab.runs[0]
    t = max(1, len(stream.points) // 2)
    write = stream.points[t].writes[0]
    patches = [Patch(write.site, torch.zeros_like)]
    current: dict[int, Tensor] = {}
    for u, p in enumerate(stream.points[t:], start=t):
        if u > t:
            patches += [put(w.site, seen) for w in p.writes]
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


def _kept(current: dict[int, Tensor], u: int, value: Tensor) -> Tensor:
    """Leaves a point as it is and notes its value."""
    return current.setdefault(u, value.clone())


def _frozen_patch(before: Point, after: Point, seen: Captured, current: dict[int, Tensor], u: int) -> Patch:
    assert after.stream is not None
    return Patch(after.stream, lambda old: transport(before, seen, current[u]))
