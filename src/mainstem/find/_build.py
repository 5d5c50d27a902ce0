"""From the graph of one forward pass to the map: which chains are streams, their points, faces and writes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mainstem.algebra import Program, base_name, rule
from mainstem.core import Key, NoStreamError, Site

from . import _names as names
from ._carry import LINEAR, TRANSPORT, Carry, carry
from ._chain import Chain, chains
from ._cut import is_inside, is_recurrence
from ._join import joined
from ._map import Point, Stream, Write
from ._record import Graph, Node, overwritten
from ._stream_map import StreamMap
from ._subkeys import Reads
from ._sums import Sum, residual, sums
from ._writers import between, is_matrix, writer


def chosen(graph: Graph) -> list[Chain]:
    """The chains that are streams, the main one first.

    Parameters: `graph`. Raises `NoStreamError` with what was seen instead.
    """
    every = sums(graph)
    found = chains(graph, residual(graph, every), every)
    found = [c for c in found if c.covered]
    if not found:
        raise NoStreamError(_why(graph, every))
    loops = [c for c in found if is_recurrence(graph, c)]
    streams = [c for c in found if c not in loops and not any(is_inside(graph, c, loop) for loop in loops)]
    if not streams:
        raise NoStreamError(_recurrent(loops[0]))
    picked: list[Chain] = []
    for chain in streams:
        shared = {s.node for c in picked for s in c.sums} & {s.node for s in chain.sums}
        if not shared and not any(is_inside(graph, chain, c) for c in picked):
            picked.append(chain)
    return joined(graph, picked)


def build(module_name: str, graph: Graph, picked: list[Chain]) -> StreamMap:
    """The map of the chosen chains.

    Parameters: `module_name`, shown to people; `graph`; `picked`, from `chosen`.
    """
    plans = [_plan(graph, *each) for each in zip(picked, _prefixes(graph, picked), _readouts(graph, picked), strict=True)]
    reads = {face: label for plan in plans for face, label in zip(plan.faces, plan.labels, strict=True)}
    streams = tuple(_stream(graph, plan, reads) for plan in plans)
    wanted = {key for s in streams for key in s.keys()} | {key for s in streams for w in s.writes for key in _inside(w)}
    return StreamMap(module_name, streams, overwritten(graph) & wanted)


@dataclass(frozen=True)
class _Plan:
    """A chain with its names and faces, before its writes are looked into."""

    chain: Chain
    prefix: str
    onward: Carry | None
    output: Site | None
    block_of: list[int]
    paths: tuple[str, ...]
    kind: str
    labels: list[str]
    faces: list[Node]


def _plan(graph: Graph, chain: Chain, prefix: str, end: tuple[Carry | None, Site | None]) -> _Plan:
    block_of, paths, kind = names.blocks(chain)
    labels = [_dotted(prefix) + n for n in ("entry", *names.point_names(block_of))]
    return _Plan(chain, prefix, *end, block_of, paths, kind, labels, _faces(graph, chain, end[0]))


def _dotted(prefix: str) -> str:
    return f"{prefix}." if prefix else ""


def _inside(write: Write) -> Iterator[Key]:
    """The calls that a write is taken apart by."""
    if write.writer is None:
        return
    yield from write.writer.program.keys()
    for source in write.writer.sources:
        yield source.site.key
        for subkey in source.keys:
            yield from (subkey.site.key, *subkey.program.keys())


def _prefixes(graph: Graph, picked: list[Chain]) -> list[str]:
    """An encoder's end is read by the other stream's writes; streams beside each other are counted."""
    if len(picked) == 1:
        return [""]
    main, *others = picked
    feeds = [c for c in others if _encodes(graph, c, main)]
    if len(feeds) == len(others) == 1:
        return ["dec", "enc"]
    return [f"s{i}" for i in range(len(picked))]


def _encodes(graph: Graph, chain: Chain, main: Chain) -> bool:
    """Whether writes of the main stream read the end of another, which neither begins it nor begins with it."""
    last = chain.points[-1]
    read = any(graph.before(last, w) for w in main.writes())
    return read and not graph.before(main.entry, last) and not graph.before(last, main.entry)


def _stream(graph: Graph, plan: _Plan, reads: Reads) -> Stream:
    chain, onward, faces = plan.chain, plan.onward, plan.faces
    points = []
    for t, node in enumerate(chain.points):
        way = chain.ways[t] if t < len(chain.ways) else onward
        step = Program() if way is None else way.program(faces[t])
        points.append(_point(graph, plan, reads, t, _to_face(way, node, faces[t]), step))
    points = _labelled(points, _dotted(plan.prefix))
    return Stream(plan.prefix, tuple(points), plan.paths, plan.kind, plan.output, names.classes(chain, plan.kind))


def _to_face(way: Carry | None, node: Node, face: Node) -> Program:
    if way is None or face is node:
        return Program()
    return Carry(face, way.live, way.sources).program(node)


def _point(graph: Graph, plan: _Plan, reads: Reads, t: int, face: Program, onward: Program) -> Point:
    chain, name = plan.chain, plan.labels[t]
    node = chain.points[t]
    if t == 0:
        return Point(
            _entry_site(chain),
            None,
            1.0,
            tuple(_entry_writes(chain)),
            face,
            onward,
            -1,
            name,
            _inner(chain.entry_sum),
            tuple(node.shape),
            names.feature_axis(node),
        )
    s = chain.sums[t - 1]
    assert s.stream is not None and node.key is not None
    block = plan.block_of[t - 1]
    others = sorted((i for i in range(len(s.terms)) if i != s.stream), key=lambda i: s.terms[i].node.index)
    writes = tuple(_write(graph, chain, t, i, block, reads) for i in others)
    term = s.terms[s.stream]
    return Point(
        Site(node.key, "out", node.output),
        term.site,
        term.factor,
        writes,
        face,
        onward,
        block,
        name,
        _inner(s),
        tuple(node.shape),
        names.feature_axis(node),
    )


def _inner(s: Sum | None) -> tuple:
    return tuple(n.key for n in s.inner) if s else ()


def _entry_site(chain: Chain) -> Site:
    if chain.entry.call is not None and chain.entry.key is not None:
        return Site(chain.entry.key, "out", chain.entry.output)
    first = chain.ways[0].program(chain.entry)
    if first.steps:
        return Site(first.steps[0].key, "arg", first.steps[0].wires[0].operand)
    s = chain.sums[0]
    assert s.stream is not None
    return s.terms[s.stream].site


def _entry_writes(chain: Chain) -> list[Write]:
    if chain.entry_sum is None:
        return [
            Write(f"entry.{names.entry_names([chain.entry])[0]}", "entry", -1, _entry_site(chain), module=_module(chain.entry))
        ]
    terms = chain.entry_sum.terms
    labels = names.entry_names([t.node for t in terms])
    return [Write(f"entry.{n}", "entry", -1, t.site, t.factor, _module(t.node)) for n, t in zip(labels, terms, strict=True)]


def _write(graph: Graph, chain: Chain, t: int, i: int, block: int, reads: Reads) -> Write:
    term, before = chain.sums[t - 1].terms[i], chain.points[t - 1]
    if not term.node.data:
        return Write("", "constant", block, term.site, term.factor, _module(term.node))
    if not graph.weights_between(before, term.node):
        older = any(graph.before(p, term.node) for p in chain.points[:t])
        return Write("", "skip" if older else "side", block, term.site, term.factor, _module(term.node))
    made = writer(graph, term.node, before, chain.entry, reads)
    kind = made.kind if made else "mixing" if _mixes_only(term.node, before) else "write"
    return Write("", kind, block, term.site, term.factor, _module(term.node), made)


def _mixes_only(term: Node, before: Node) -> bool:
    """Whether a write is the stream itself, blended over positions or copies: no matrix of weights stands on its way."""
    alone = not any(map(is_matrix, between(term, before)))
    return alone or carry(term, lambda n: n is before, TRANSPORT | {"join", "product"}, before.index) is not None


def _module(node: Node) -> str:
    return node.key[0] if node.key else node.name


def _labelled(points: list[Point], prefix: str) -> list[Point]:
    """Labels for writes: kind by block, numbered where a block writes the same kind twice."""
    flat = [(p, w) for p in points[1:] for w in p.writes]
    labels = iter(names.numbered([f"L{w.block}.{w.kind}" for _, w in flat]))
    result = [replace(points[0], writes=tuple(replace(w, label=prefix + w.label) for w in points[0].writes))]
    for p in points[1:]:
        result.append(replace(p, writes=tuple(replace(w, label=prefix + next(labels)) for w in p.writes)))
    return result


def _readouts(graph: Graph, picked: list[Chain]) -> list[tuple[Carry | None, Site | None]]:
    return [_readout(graph, chain, picked) for chain in picked]


def _readout(graph: Graph, chain: Chain, picked: list[Chain]) -> tuple[Carry | None, Site | None]:
    """The way from the last point to the first output that depends on it, or as near to that output as a vector can be carried.

    An output that no other stream leads to comes first: the end of an encoder before that of the decoder behind it.
    """
    last = chain.points[-1]
    others = [c.points[-1] for c in picked if not graph.before(c.points[-1], last)]
    ends = [n for _, n in graph.outputs if graph.before(last, n)]
    ends.sort(key=lambda n: any(graph.before(other, n) for other in others))
    for node in ends:
        if (found := _led_to(node, last)) is not None:
            return found
    for node in ends:
        while node is not last and node.operands:
            node = next(n for _, n in node.operands if graph.before(last, n))
            if node is not last and (found := _led_to(node, last)) is not None:
                return found
    return None, None


def _led_to(node: Node, last: Node) -> tuple[Carry | None, Site] | None:
    """The way from the last point to a node, if a vector can be carried there; the point itself needs none."""
    if not node.floating or not node.shape or node.call is None or node.key is None:
        return None
    way = carry(node, lambda n: n is last, LINEAR, last.index)
    return None if way is None else (way if way.live else None, Site(node.key, "out", node.output))


def _faces(graph: Graph, chain: Chain, onward: Carry | None) -> list[Node]:
    """What the next block reads of every point: the last node on the way that the next writes depend on."""
    found = []
    for t, way in enumerate(chain.ways):
        s = chain.sums[t]
        writes = [term.node for i, term in enumerate(s.terms) if i != s.stream]
        on_way = [n for n in way.nodes() if graph.before(chain.points[t], n)]
        read = [n for n in on_way if any(graph.before(n, w) and graph.weights_between(n, w) for w in writes)]
        found.append(_before_move(read, chain.points[t]))
    return [*found, _last_face(chain, found, onward)]


def _before_move(read: list[Node], point: Node) -> Node:
    """The last of what is read, but where it is the point itself on another device."""
    while read and read[-1].call is not None and read[-1].call.moves:
        read = read[:-1]
    return read[-1] if read else point


def _last_face(chain: Chain, faces: list[Node], onward: Carry | None) -> Node:
    """The last point is read as the points before it are: by the same operations, if the readout begins with them."""
    node = chain.points[-1]
    if onward is None or len(faces) < 2:
        return node
    way = chain.ways[len(faces) - 1]
    pattern = [base_name(n.op) for n in way.nodes() if n.index <= faces[-1].index and n is not chain.points[-2]]
    on_way = [n for n in onward.nodes() if n is not node]
    if [base_name(n.op) for n in on_way[: len(pattern)]] != pattern or rule(node.op) is None:
        return node
    return on_way[len(pattern) - 1] if pattern else node


def _recurrent(chain: Chain) -> str:
    return (
        f"No residual stream: the longest chain of additions ({len(chain.sums)} of them) is the state of a recurrence. A new piece "
        "of the input enters at each addition, so replacing a point does not decide what follows (the cut fails)."
    )


def _why(graph: Graph, every: list[Sum]) -> str:
    joins = [n for n in graph.nodes if n.op in ("cat", "concat", "concatenate") and n.data]
    growing = sum(any(graph.before(a, b) for a in joins if a is not b) for b in joins)
    weighted = sum(n.weighted for n in graph.nodes)
    seen = f"{weighted} operations with weights, {len(every)} sums of equal-shape tensors"
    if any(n.complex and n.data and base_name(n.op) == "add" for n in graph.nodes):
        return f"No residual stream of real numbers: what this module adds up is complex. Map it as pairs of real numbers. Seen: {seen}."
    if growing:
        return f"No residual stream: this module joins features by concatenation ({len(joins)} of them, as a DenseNet does), it does not add. Seen: {seen}."
    return (
        "No residual stream: no addition has one term that the others are computed from by weights "
        f"(x + f(x)). Seen: {seen}. A plain feed-forward network has none."
    )
