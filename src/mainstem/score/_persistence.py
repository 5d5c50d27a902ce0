"""What becomes of a write: how much of it the stream holds at every later point, who takes it away, and whether because of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Patch, Write
from mainstem.stream import Pass, Rerun, Spots, graded, push, spot

from ._words import vectors

ZEROED = ("everywhere", "here")
Place = tuple[int, ...]


@dataclass(frozen=True)
class Left:
    """What a point holds of a vector v that was added at or before it, A all that lies in between, frozen.

    Parameters: `point`, its label; `overlap`, <x, A v> / |A v|^2; `kept`, 1 + sum over later writes u of <A u, A v> / |A v|^2;
    `length`, |A v|; `stream`, |x|. Without a length, overlap and kept are not numbers.
    """

    point: str
    overlap: float
    kept: float
    length: float
    stream: float


@dataclass(frozen=True)
class Taken:
    """What a later write adds along a vector v, and what it would add had it never read v.

    Parameters: `write`, its label; `kind`; `point`, that it is added at; `share`, <u, A v> / |A v|^2; `without`, the same in a run
    in which v is not there to be read; `kept` and `restored`, 1 + the sums of shares, and of those, up to this point.
    """

    write: str
    kind: str
    point: str
    share: float
    without: float
    kept: float
    restored: float

    @property
    def caused(self) -> float:
        """The part of the share that is there because v is: share - without."""
        return self.share - self.without


@graded
def persistence(run: Pass, label: str, place: Place) -> list[Left]:
    """How much of a component the stream holds at the point it enters and at every later one.

    Parameters: `run`; `label`, of a write, a part of one or a point; `place`, prompt and position. Raises `InputError` for labels
    and places that do not exist.
    """
    where = spot(run, place)
    ((start, vector),) = vectors(run, [label])
    found = []
    for t, v, later in _carried(run, where, start, vector):
        x = where.of(run.point(t))[0]
        length = v.norm()
        overlap, added = (x @ v / length.square(), later @ v / length.square())
        found.append(Left(run.stream.points[t].name, float(overlap), 1 + float(added), float(length), float(x.norm())))
    return found


@torch.no_grad()
def taken(run: Pass, label: str, place: Place, zeroed: str = "everywhere") -> list[Taken]:
    """What each later write adds along a component, with the component there and with it gone from all that they read.

    The component is taken out of the stream where it enters, norms divide by what they did, all else is live.

    Parameters: `run`; `label`; `place`, as of `persistence`; `zeroed`, "everywhere" or "here", the places that it is taken out at.
    Raises `InputError` as `persistence` does.
    """
    if zeroed not in ZEROED:
        raise InputError(f"a part is taken out {' or '.join(ZEROED)}, not {zeroed!r}.")
    where = spot(run, place)
    ((start, vector),) = vectors(run, [label])
    gone = vector if zeroed == "everywhere" else where.onto(where.of(vector), torch.zeros_like(vector))
    site = run.stream.points[start].site
    other = Rerun(run).changed([Patch(site, lambda held: held - gone.reshape(held.shape).to(held.dtype))])
    ways = zip(_carried(run, where, start, vector), _carried(run, where, start, vector, other), strict=True)
    found = []
    for (t, v, later), (_, _, unread) in ways:
        square = v @ v
        sums = (1 + float(later @ v / square), 1 + float(unread @ v / square))
        for write in run.stream.points[t].writes if t > start else ():
            share, without = (float(_write(one, write, t, where) @ v / square) for one in (run, other))
            found.append(Taken(write.label, write.kind, run.stream.points[t].name, share, without, *sums))
    return found


def _carried(
    run: Pass, where: Spots, start: int, vector: Tensor, other: Pass | None = None
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Every point from `start` on with the vector, and the sum of later writes, carried there. Parameters: `other`, whose writes these are."""
    v = where.onto(where.of(vector), torch.zeros_like(vector))
    later = torch.zeros_like(v)
    for t in range(start, len(run.stream.points)):
        if t > start:
            v, later = push(run, torch.stack([v, later]), t - 1, t)
            like = run.point(t)
            later = later + sum((_onto(other or run, w, like) for w in run.stream.points[t].writes), torch.zeros_like(like))
        yield t, where.of(v)[0], where.of(later)[0]


def _onto(run: Pass, write: Write, like: Tensor) -> Tensor:
    return run.write(write).expand_as(like)


def _write(run: Pass, write: Write, t: int, where: Spots) -> Tensor:
    return where.of(_onto(run, write, run.point(t)))[0]
