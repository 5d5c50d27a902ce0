"""A map as text and as a table."""

from collections.abc import Iterator
from math import prod
from typing import Any

from mainstem.algebra import Program
from mainstem.core import show

from ._map import Point, Proof, Stream, Write


def text(module: str, streams: tuple[Stream, ...], proof: Proof | None) -> str:
    """A map for people: streams, blocks, additions, transports, proof. Blocks in the middle are folded.

    Parameters: `module`, its class; `streams`; `proof`.
    """
    lines = [f"{module}: {_count(streams)}"]
    for stream in streams:
        lines += [*_stream(stream)]
    return "\n".join([*lines, *(proof_lines(proof) if proof else ())])


def _count(streams: tuple[Stream, ...]) -> str:
    names = [s.name for s in streams]
    return "one residual stream" if len(names) == 1 else f"{len(names)} residual streams ({', '.join(names)})"


def _stream(stream: Stream) -> Iterator[str]:
    kind = f"{len(stream.blocks)} x {stream.block_kind}"
    yield f"  stream {stream.name or 'main'}: {kind}, {len(stream.points) - 1} additions, width {_widths(stream)}"
    yield f"    {'classes':<16} {' > '.join(stream.classes)}"
    if note := bottleneck(stream):
        yield f"    {'bottleneck':<16} {note}"
    yield f"    {'entry':<16} {' + '.join(w.label for w in stream.entry)}{_through(stream.points[0])}"
    rows = [(p.block, _row(p)) for p in stream.points[1:]]
    yield from _folded(rows)
    last = stream.points[-1]
    if stream.output is not None:
        yield f"    {'readout':<16} {_operations(last.onward) or 'the point itself'} -> {show(stream.output.key)}"


def bottleneck(stream: Stream) -> str:
    """How many neurons share the stream, and how narrow the value vectors between positions are.

    Parameters: `stream`. Empty where the writes' coordinates are not known.
    """
    sources = [source for w in stream.writes if w.writer for source in w.writer.sources]
    neurons = sum(prod(s.sizes) for s in sources if not s.attention)
    said = [f"{neurons:,} neurons share {stream.width:,} dimensions, {neurons / stream.width:.0f} to 1"] if neurons else []
    heads = {s.sizes[1] for s in sources if s.attention and len(s.sizes) == 2}
    said += [f"between positions {' or '.join(map(str, sorted(heads)))} a head"] if heads else []
    return "; ".join(said)


def _widths(stream: Stream) -> str:
    sizes = [p.width for p in stream.points[1:]]
    return " -> ".join(str(s) for s in dict.fromkeys(sizes))


def _row(p: Point) -> str:
    name = p.name.rpartition(".")[2]
    writes = " + ".join(f"{w.kind}{_sizes(w)} ({w.module or 'root'})" for w in p.writes)
    return f"{name:<12} + {writes}{_through(p)}"


def _sizes(w: Write) -> str:
    """How wide the write's coordinates are: the widths between which the stream is the bottleneck, or is widened."""
    said = []
    for source in w.writer.sources if w.writer else ():
        a, b = (source.sizes * 2)[:2]
        word = f"{a} heads x {b}" if source.attention else f"{a} experts x {b}" if source.groups else f"{a} neurons"
        said.append(word)
    return f" of {' + '.join(said)}" if said else ""


def _through(p: Point) -> str:
    """Both faces of a point where they differ, and what stands before the next addition."""
    said = [f"read after {_operations(p.face)}"] if p.face.steps else []
    said += [f"then {_operations(p.onward)}"] if p.onward.steps and p.name and not _is_last(p) else []
    return f"   [{', '.join(said)}]" if said else ""


def _is_last(p: Point) -> bool:
    return any(step.key[2] in ("linear", "addmm", "matmul") for step in p.onward.steps)


def _operations(program: Program) -> str:
    return ", ".join(step.key[2].strip("_") for step in program.steps)


def _folded(rows: list[tuple[int, str]]) -> Iterator[str]:
    """All rows of the first and last two blocks; a line for the rest."""
    blocks = sorted({b for b, _ in rows})
    shown = set(blocks) if len(blocks) <= 6 else {*blocks[:2], *blocks[-2:]}
    said = False
    for block, row in rows:
        if block in shown:
            yield f"    L{block:<4} {row}"
        elif not said:
            said = True
            yield f"    ...   {len(blocks) - len(shown)} more blocks"


def proof_lines(proof: Proof) -> list[str]:
    """The five proofs in words. Parameters: `proof`."""
    return [
        f"  proved in {proof.dtype}:",
        f"    closure     {'holds' if proof.closed else 'FAILS'}: error {proof.max_error:.1e}, bound {proof.bound:.1e}",
        f"    continuity  transports miss by {proof.continuity:.1e} of the stream's size",
        f"    cut         {proof.cut_points} points swapped for another input's; what follows differs by {proof.cut:.1e}",
        f"    bypass      {', '.join(proof.bypass) or 'nothing passes the stream by'}",
        f"    coverage    {_list(proof.uncovered) or 'no weights reach the output around the stream'}",
        f"    response    one write removed: the end changes as carried, within {proof.response:.1e}",
    ]


def _list(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"around the stream: {', '.join(names[:4])}{more}" if names else ""


def frame(streams: tuple[Stream, ...]) -> Any:
    """One row a write. Parameters: `streams`."""
    import polars

    rows = [_record(s, p, w) for s in streams for p in s.points for w in p.writes]
    return polars.DataFrame(rows, infer_schema_length=None)


def _record(stream: Stream, p: Point, w: Write) -> dict[str, Any]:
    sources = [show(s.site.key) for s in w.writer.sources] if w.writer else []
    return {
        "stream": stream.name,
        "block": p.block if p.block >= 0 else None,
        "point": p.name,
        "write": w.label,
        "kind": w.kind,
        "module": w.module,
        "operation": show(w.site.key),
        "sources": ", ".join(sources),
        "sizes": _sizes(w).removeprefix(" of "),
        "face": _operations(p.face),
        "onward": _operations(p.onward),
        "width": p.width,
    }
