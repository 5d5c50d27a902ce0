"""What a diagram shows of a stream: its blocks in order, long runs of equal ones folded."""

from dataclasses import dataclass
from itertools import groupby

from mainstem.core import Key
from mainstem.find import Point, Stream

from ._svg import TIMES

LONG, RUN = 10, 5


@dataclass(frozen=True, slots=True)
class Block:
    """One block: its index, module path, class, and its points, each with the operations that lead to its addition."""

    index: int
    path: str
    kind: str
    steps: tuple[tuple[Point, tuple[str, ...]], ...]

    def form(self) -> tuple:
        """All that a diagram shows of the block but its index: blocks of one form look alike."""
        return tuple((way, _form(point, self), point.shape[1:]) for point, way in self.steps)


@dataclass(frozen=True, slots=True)
class Fold:
    """Blocks left out of the picture, all of one form."""

    first: int
    last: int
    kind: str

    @property
    def count(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


def items(stream: Stream) -> list[Block | Fold]:
    """The blocks to draw. In a stream of more than ten, a run of equal ones keeps its first two and its last two.

    Parameters: `stream`.
    """
    every = _blocks(stream)
    found: list[Block | Fold] = []
    for _, group in groupby(every, Block.form):
        run = list(group)
        if len(every) <= LONG or len(run) <= RUN:
            found += run
        else:
            found += [*run[:2], Fold(run[2].index, run[-3].index, run[0].kind), *run[-2:]]
    return found


def operations(keys: tuple[Key, ...]) -> tuple[str, ...]:
    """Calls as people read them, repeats in a row counted. Parameters: `keys`, of the calls in order."""
    shown = (name.strip("_").replace("getitem", "slice") for _, _, name, _ in keys)
    counted = ((n, len(list(group))) for n, group in groupby(shown))
    return tuple(n if k == 1 else f"{n} {TIMES}{k}" for n, k in counted)


def _blocks(stream: Stream) -> list[Block]:
    points = stream.points
    ways = [operations(p.onward.keys()) for p in points]
    steps = list(zip(points[1:], ways[:-1], strict=True))
    found = []
    for index, group in groupby(steps, lambda step: step[0].block):
        path = stream.blocks[index] if 0 <= index < len(stream.blocks) else ""
        found.append(Block(index, path, stream.block_kind, tuple(group)))
    return found


def _form(point: Point, block: Block) -> tuple:
    writes = tuple((w.kind, w.factor, within(w.module, block.path)) for w in point.writes)
    return writes, point.factor, operations(point.face.keys()), point.name.partition(f"L{block.index}.")[2]


def within(module: str, path: str) -> str:
    """A module's path as seen from its block. Parameters: `module`; `path`, the block's."""
    return module[len(path) + 1 :] if path and module.startswith(f"{path}.") else module
