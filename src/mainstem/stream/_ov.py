"""What vectors of the stream become through an attention head: its norm, its values, its output, all frozen at a run."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Captured, Source, Subkey, Write

from ._attention import factors, heads
from ._parts import needed, writer_map
from ._pass import Pass, find_point, graded
from ._sweep import push
from ._unembed import spot

_TILE = 2**22  # numbers of one tile: 16 MB in float32


@dataclass(frozen=True, eq=False)
class Head:
    """One attention head: the write it is of, the source that it stands in, what its values are made of, where they are read.

    Parameters: `write`; `branch`, which of the write's sources; `head`; `seen`, a run with all of it captured; `key`, from the
    stream to its values, None where they are no linear map of one point; `read`, that point, None where it is another stream's.
    """

    write: Write
    branch: int
    head: int
    seen: Captured
    key: Subkey | None
    read: int | None

    @property
    def source(self) -> Source:
        """The attention's result that the write is made of."""
        assert self.write.writer is not None
        return self.write.writer.sources[self.branch]

    def z(self, run: Pass) -> Float[Tensor, "batch head pos d_head"]:
        """The attention's result at this run. Parameters: `run`."""
        return heads(run.lift(self.seen.at(self.source.site)), run.prompts)

    def pattern(self, run: Pass) -> Float[Tensor, "batch pos key_pos"]:
        """What each position takes from each. Parameters: `run`."""
        return self.patterns(run)[:, self.head]

    def patterns(self, run: Pass) -> Float[Tensor, "batch head pos key_pos"]:
        """The same of all heads of the write. Parameters: `run`."""
        assert self.source.attention is not None
        edited = run.edited(self.source.site)
        return factors(self.source.attention, self.seen, self.z(run), run.prompts, edited)[0]


def head_of(run: Pass, write: Write, head: int) -> Head:
    """A head with what leads to it. Parameters: `run`; `write`, an attention; `head`. Raises `InputError` where there is none."""
    sources = write.writer.sources if write.writer else ()
    found = [i for i, source in enumerate(sources) if source.attention is not None]
    if len(found) != 1:
        raise InputError(f"{write.label} is no attention with heads; its kind is {write.kind}.")
    source = sources[found[0]]
    if not 0 <= head < source.sizes[0]:
        raise InputError(f"there is no head {head}: {write.label} has {source.sizes[0]}, counted from 0.")
    key = next(iter(source.keys), None)
    seen = run.again(needed(write) | ({key.site.key, *key.program.keys()} if key else set()))
    return Head(write, found[0], head, seen, key, find_point(run.stream, key.point) if key else None)


@graded
def through_head(
    run: Pass,
    rows: Float[Tensor, "row d_model"],
    start: int,
    head: Head,
    source: tuple[int, int],
    query: int,
    weight: float = 1.0,
) -> Float[Tensor, "row d_model"]:
    """What a head adds at one position for vectors in the stream at another: weight * O V n(v), the norm n frozen there.

    Parameters: `run`; `rows`, vectors of point `start` at the place `source`; `start`, carried to the point that the head
    reads; `head`; `source`, prompt and key position; `query`, the position that is written to; `weight`, of the pattern.
    Raises `InputError` for vectors that enter after the head reads.
    """
    key, read = _readable(run, head, start)
    like, here = run.point(start), spot(run, source)
    affine, likes = writer_map(run, head.write, head.seen)
    z = head.z(run)
    maps = [run.affine(p) for p in (run.stream.points[read].face,) if p.steps]
    maps.append(run.affine(key.program, head.seen))
    found = []
    for some in rows.split(max(1, _TILE // max(like.numel(), z.numel()))):
        moved = push(run, torch.stack([here.onto(row[None], torch.zeros_like(like)) for row in some]), start, read)
        for step in maps:
            moved = step.linear(moved)
        alone = z.new_zeros(len(some), *z.shape)
        alone[:, source[0], head.head, query] = weight * torch.stack([_value(v, z, head.head, source) for v in moved])
        written = affine.linear(alone.reshape(len(some), *likes[head.branch].shape), likes, head.branch)
        found.append(torch.cat([spot(run, (source[0], query)).of(head.write.factor * run.shaped(one)) for one in written]))
    return torch.cat(found)


def _readable(run: Pass, head: Head, start: int) -> tuple[Subkey, int]:
    """What a head's values are made of, and the point they are read at, which a vector that enters at `start` gets to."""
    label, points = head.write.label, run.stream.points
    if head.key is None:
        raise InputError(f"the values of {label} are no linear map of one point of the stream: nothing can be sent through them.")
    if head.read is None:
        raise InputError(f"{label} reads its values at {head.key.point}, of another stream.")
    if start > head.read:
        raise InputError(
            f"{label} reads {points[head.read].name}, before {points[start].name}: nothing from there goes through its heads."
        )
    return head.key, head.read


def _value(values: Tensor, z: Tensor, head: int, source: tuple[int, int]) -> Tensor:
    """The value that a head takes at a position; several heads may share one."""
    each = heads(values, z.shape[0])
    return each[source[0], head * each.shape[1] // z.shape[1], source[1]]
