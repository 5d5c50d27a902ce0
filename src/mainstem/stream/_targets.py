"""What the label of an edit names in the forward pass: a tensor, and the part of it that is meant."""

from collections.abc import Iterator
from typing import Any

from mainstem.algebra import rule
from mainstem.core import InputError, Label, parse_label
from mainstem.find import Point, Source, Stream, StreamMap, Write

from ._parts import branch, fits
from ._pass import find_point, find_write, no_such
from ._routed import routed
from ._target import Target

_APART = ("shape", "act")  # what keeps features apart


def targets(found: StreamMap, label: str) -> tuple[tuple[Stream, Target], ...]:
    """What a label names: a write, a point, a head, a neuron, or all writes of a block ("L3") or of several ("L3-L5").

    Parameters: `found`, the map; `label`. Raises `InputError` with the nearest that there are where there is none.
    """
    stream = stream_of(found, label)
    at = find_point(stream, label)
    if at is not None:
        return ((stream, _point(stream.points[at], label)),)
    if (several := _block(stream, label)) is not None:
        return tuple((stream, _write(write, point)) for point, write in several)
    return ((stream, _inside(stream, label)),)


def skips(found: StreamMap, label: str) -> tuple[tuple[Stream, Target], ...]:
    """The stream's operand of additions: of that which a write enters, or of every one of a block, or of several.

    Parameters: `found`, the map; `label`. Raises `InputError` for the entry, to which nothing is added, and for a part of a write.
    """
    stream = stream_of(found, label)
    several = _block(stream, label)
    if several is None:
        write = find_write(stream, label)
        if write.label != label:
            raise InputError(f"{label} is added by {write.label}: name that, or a block, to take the skip away beside it.")
        several = [(p, write) for p in stream.points if write in p.writes]
    points = {p.name: p for p, _ in several}
    if not all(p.stream for p in points.values()):
        raise InputError(f"{label} is where the stream begins: there is no skip beside it. Name a write or a block.")
    return tuple((stream, Target(f"{p.name} skip", "skip", p.stream, p.axis, width=p.width)) for p in points.values() if p.stream)


def features(found: StreamMap, label: str, dims: tuple[int, ...]) -> Iterator[Point]:
    """Points of which features can be changed alone. Parameters: `found`; `label`, "" for every point of the main stream; `dims`.

    Raises `InputError` for points and features that there are not, and where a norm mixes features before anything reads them.
    """
    stream = stream_of(found, label)
    for point in [stream.points[_known_point(stream, label)]] if label else found.main.points:
        if max(dims) >= point.width:
            raise InputError(f"{point.name} has {point.width} features, counted from 0: it has no {max(dims)}.")
        if any((known := rule(step.key[2])) is None or known.sort not in _APART for step in point.face.steps):
            raise InputError(f"no feature of {point.name} can be taken out alone: it is read behind a norm, which mixes them.")
        yield point


def stream_of(found: StreamMap, label: str) -> Stream:
    """The stream that a label is of. Parameters: `found`; `label`, with the stream's name in front where there are several."""
    name = label.partition(".")[0]
    return next((s for s in found.streams if s.name and s.name == name), found.main)


def _known_point(stream: Stream, label: str) -> int:
    at = find_point(stream, label)
    if at is None:
        raise InputError(f"no point {label!r} in this model{no_such(label, [p.name for p in stream.points])}")
    return at


def _point(point: Point, label: str) -> Target:
    return Target(label, "point", point.site, point.axis, width=point.width)


def _write(write: Write, point: Point) -> Target:
    sources = tuple(source.site for source in write.writer.sources) if write.writer else ()
    return Target(write.label, "write", write.site, point.axis, factor=write.factor, width=point.width, inside=sources)


def _block(stream: Stream, label: str) -> list[tuple[Point, Write]] | None:
    """Additions of a block or of several, None where the label is not of blocks."""
    first, last = block_range(label)
    if first is None or last is None:
        return None
    some = [(p, w) for p in stream.points[1:] for w in p.writes if first <= p.block <= last]
    known = sorted({p.block for p in stream.points[1:]})
    if not some or first not in known or last not in known:
        raise InputError(f"no block {label!r} in this model; there are L{known[0]} to L{known[-1]}.")
    return some


def block_range(label: str) -> tuple[int | None, int | None]:
    """First and last block that a label of blocks means, such as "L3", "L3-L5", "dec.L0-L2"; None twice for another label.

    Parameters: `label`.
    """
    parts = label.rpartition(".")[2].split("-")
    numbers = [int(part[1:]) for part in parts if part[:1] == "L" and part[1:].isdigit()]
    return (numbers[0], numbers[-1]) if len(numbers) == len(parts) <= 2 else (None, None)


def _inside(stream: Stream, label: str) -> Target:
    parsed, write = parse_label(label), find_write(stream, label)
    point = next(p for p in stream.points if write in p.writes)
    if label == write.label:
        return _write(write, point)
    if not parsed.at:
        raise InputError(
            f"{label} cannot be edited: no tensor of the forward pass is it alone. The whole write is {write.label}."
        )
    if write.writer is None:
        raise InputError(f"{write.label} has no single set of coordinates to edit; take the whole write instead.")
    at = branch(write, parsed)
    return _coordinate(write.writer.sources[at], parsed, routed(write, at), write.kind == "cross")


def _coordinate(source: Source, label: Label, moved: bool, beyond: bool) -> Target:
    at, axes = dict(label.at), [axis for axis, _ in label.at]
    if "dim" in at:
        raise InputError(f"{label}: writes, heads, neurons and key positions of heads can be edited; a single dim can't.")
    if source.attention is None:
        fits(label, axes in (["neuron"], ["expert", "neuron"][source.groups is None :]), "neurons, such as N0")
        where = {"routed": moved, "groups": source.groups, "expert": at.get("expert")}
        return Target(str(label), "neuron", source.site, source.axis, at["neuron"], width=1, **where)  # type: ignore[arg-type]
    fits(label, axes in (["head"], ["head", "key_pos"]), "heads, such as H0")
    if "key_pos" in at:
        at_key: dict[str, Any] = {"attention": source.attention, "key": at["key_pos"], "beyond": beyond}
        return Target(str(label), "edge", source.site, index=at["head"], **at_key)
    return Target(str(label), "head", source.site, index=at["head"])
