"""The cut: points of one input replaced by another's, and all that follows has to be the other's.

One pass cuts at many points. Between two of them the module computes one input's values, after the next swap the other's;
a pass begins with the first input and the pattern says whose value every point gets. What of the inputs passes a point by
(a mask, an older value of the stream) is put in with it, and listed.
"""

from functools import partial

import torch
from torch import Tensor

from mainstem.core import Key, NotClosedError, Site, error, show

from ._chain import Chain
from ._cut import Crossing, crossings, describe, origin, places
from ._lab import Lab
from ._map import Point, Stream
from ._record import Graph, Node
from ._run import Captured, Patch

_AMPLIFIED = 1e4


def cut(lab: Lab) -> tuple[float, int, tuple[str, ...]]:
    """Cuts every stream at every point. Parameters: `lab`.

    Returns the most that what follows differs by, how many points were swapped, and the bypass. Raises `NotClosedError`
    with the point behind which something else is left of the first input.
    """
    misses: list[float] = []
    bypass: dict[Node, None] = {}
    count = 0
    for stream, chain in zip(lab.map.streams, lab.chains, strict=True):
        end = output_node(lab.graph, stream)
        if end is None:
            continue
        beside = crossings(lab.graph, chain, end)
        lasts = [c.points[-1] for c in lab.chains if c is not chain]
        bypass |= {origin(lab.graph, c.operand, lasts): None for c in beside}
        n = len(chain.points)
        # Every second point, then half of them: what hands a value over some points the first way does by the second.
        for pattern in ([1 - t % 2 for t in range(n)], [int(t >= n // 2) for t in range(n)]):
            misses += swap(lab, stream, chain, beside, pattern)
        count += n
    return max(misses, default=0.0), count, tuple(dict.fromkeys(describe(n) for n in bypass))


def swap(lab: Lab, stream: Stream, chain: Chain, beside: list[Crossing], pattern: list[int]) -> list[float]:
    """One pass of the first input in which every point is given the value of the input that the pattern says.

    Parameters: `lab`; `stream` and `chain`, the same; `beside`, what passes points by; `pattern`, 0 or 1 for every point.
    Returns how far every point and the output were from the value of the input that the point before had.
    """
    _differ(lab, stream)
    _capture(lab, {c.site.key for c in beside} | {site.key for site in places(chain.points[0])})
    met: dict[int, Tensor] = {}
    patches = [put(c.site, lab.runs[pattern[c.point]]) for c in beside if c.point >= 0]
    patches += [put(site, lab.runs[pattern[0]]) for site in places(chain.points[0])]
    for t, p in enumerate(stream.points):
        patches.append(Patch(p.site, partial(_exchanged, met, t, lab.runs[pattern[t]].at(p.site))))
    assert stream.output is not None
    seen = lab.run(0, {stream.output.key}, tuple(patches))
    misses = []
    for t, p in enumerate(stream.points):
        last = t + 1 == len(stream.points)
        site = stream.output if last else stream.points[t + 1].site
        got = seen.at(site) if last else met[t + 1]
        misses.append(_checked(got, lab.runs[pattern[t]].at(site), p, lab.dtype))
    return misses


def _differ(lab: Lab, stream: Stream) -> None:
    for p in stream.points:
        if torch.equal(lab.runs[0].at(p.site), lab.runs[1].at(p.site)):
            raise NotClosedError(f"cut: {p.name} is the same for two different inputs, so nothing flows through it.")


def _capture(lab: Lab, keys: set[Key]) -> None:
    """Captures some more calls of both inputs' runs, once."""
    for i, run in enumerate(lab.runs):
        if more := keys - run.calls.keys():
            run.calls.update(lab.run(i, more).calls)


def put(site: Site, run: Captured) -> Patch:
    """What another run had at a place. Parameters: `site`; `run`."""
    return Patch(site, lambda old: run.at(site))


def _exchanged(met: dict[int, Tensor], t: int, new: Tensor, old: Tensor) -> Tensor:
    """Notes what the pass had come to, and goes on with another value."""
    met[t] = old.clone()
    return new


def _checked(got: Tensor, want: Tensor, p: Point, dtype: torch.dtype) -> float:
    miss = error(got, want) / (float(want.abs().max()) or 1.0)
    if not miss <= _AMPLIFIED * torch.finfo(dtype).eps:
        raise NotClosedError(
            f"cut: with {p.name} ({show(p.site.key)}) replaced by another input's, what follows differs from that input's by "
            f"{miss:.3g} of its size."
        )
    return miss


def output_node(graph: Graph, stream: Stream) -> Node | None:
    """The node that a stream's readout leads to. Parameters: `graph`; `stream`."""
    site = stream.output
    return next((n for n in graph.nodes if site and n.key == site.key and n.output == site.path and not n.leaf), None)
