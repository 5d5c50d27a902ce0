"""Labels of points and writes, and the blocks that tile a chain, read off the graph."""

from collections import Counter
from itertools import pairwise

from mainstem.algebra import base_name

from ._chain import Chain
from ._record import Node
from ._writers import between, is_matrix

Call = tuple[str, int, str]


def blocks(chain: Chain) -> tuple[list[int], tuple[str, ...], str]:
    """The block of every addition, the blocks' module paths, and their kind.

    A block is a call of the smallest module class that is called more than once and has as many of the chain's additions
    inside as any; what it leaves out goes by the next such class (layers of two kinds in turn), and at last each by itself.

    Parameters: `chain`.
    """
    trails = [_holding(chain, t) for t in range(len(chain.sums))]
    around: list[Call | None] = [None] * len(trails)
    kinds = []
    while (more := _tiling(trails, around)) is not None:
        around = [frame or other for frame, other in zip(around, more, strict=True)]
        kinds.append(next(frame[2] for frame in more if frame))
    each = [frame or (trail[-1][0], -1 - i, "addition") for i, (frame, trail) in enumerate(zip(around, trails, strict=True))]
    order = list(dict.fromkeys(each))
    return [order.index(frame) for frame in each], tuple(frame[0] for frame in order), kinds[0] if kinds else "addition"


def feature_axis(node: Node) -> int:
    """Which axis of a point counts features: what first multiplies it tells. Parameters: `node`, the point's."""
    stack, seen = [node], {node}
    while stack and len(node.shape) > 2:
        for reader in stack.pop(0).readers:
            name = base_name(reader.op)
            if name.startswith("conv") or name in ("batch_norm", "group_norm", "instance_norm") or "_pool" in name:
                return 1
            if name == "mean" and len(reader.shape) == len(node.shape) - 2 and reader.shape[:2] == node.shape[:2]:
                return 1
            if name in ("linear", "layer_norm", "rms_norm", "matmul", "addmm"):
                return -1
            if reader not in seen and reader.shape == node.shape:
                seen.add(reader)
                stack.append(reader)
    return -1


def _holding(chain: Chain, t: int) -> tuple[Call, ...]:
    """The module calls around an addition that hold matrices of its writes too: what only adds is no block."""
    s = chain.sums[t]
    writes = [term.node for i, term in enumerate(s.terms) if i != s.stream]
    held = {frame for w in writes for n in between(w, chain.points[t]) if is_matrix(n) for frame in n.frames}
    kept = tuple(frame for frame in s.node.frames if frame in held)
    return kept if len(kept) > 1 else s.node.frames


def _tiling(trails: list[tuple[Call, ...]], taken: list[Call | None]) -> list[Call | None] | None:
    """The calls of one class around the additions that are not taken yet; None where no class has two calls."""
    free = [() if frame else trail for trail, frame in zip(trails, taken, strict=True)]
    best, size = None, (0, 0)
    for kind in dict.fromkeys(frame[2] for trail in free for frame in trail):
        around = [_innermost(trail, kind) for trail in free]
        calls = {frame for frame in around if frame}
        found = (sum(frame is not None for frame in around), len(calls))
        if (
            len(calls) > 1
            and found >= size
            and _contiguous([a or b or i for i, (a, b) in enumerate(zip(taken, around, strict=True))])
        ):
            best, size = around, found
    return best


def classes(chain: Chain, block_kind: str) -> tuple[str, ...]:
    """The classes of the modules around the chain, the outermost first, down to the block's.

    Parameters: `chain`; `block_kind`, from `blocks`.
    """
    trails = [s.node.frames for s in chain.sums]
    around = [frame[2] for frame in trails[0] if all(frame in trail for trail in trails)]
    inside = [frame[2] for frame in trails[0]][len(around) :]
    return (*around, *inside[: inside.index(block_kind) + 1]) if block_kind in inside else tuple(around)


def entry_names(terms: list[Node]) -> list[str]:
    """What each part of the entry is: "embed" reads the input, "pos" the position, "type" neither.

    Parameters: `terms`.
    """
    return numbered([_entry_name(term) for term in terms])


def numbered(names: list[str]) -> list[str]:
    """Names made distinct: the second `mlp` is `mlp2`. Parameters: `names`."""
    seen: Counter[str] = Counter()
    result = []
    for name in names:
        seen[name] += 1
        result.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return result


def point_names(block_of: list[int]) -> list[str]:
    """`L0.resid_mid`, `L0.resid_post` and so on, the last addition of a block being its post.

    Parameters: `block_of`, the block of every addition.
    """
    names = []
    for i, block in enumerate(block_of):
        last = i + 1 == len(block_of) or block_of[i + 1] != block
        names.append(f"L{block}.resid_{'post' if last else 'mid'}")
    return numbered(names)


def _innermost(trail: tuple[Call, ...], kind: str) -> Call | None:
    return next((frame for frame in reversed(trail) if frame[2] == kind), None)


def _contiguous(around: list) -> bool:
    changes = sum(a != b for a, b in pairwise(around))
    return changes == len(set(around)) - 1


def _entry_name(node: Node) -> str:
    while node.call is not None and base_name(node.op) != "embedding" and len(node.operands) == 1:
        node = node.operands[0][1]
    if node.leaf:
        return "embed" if node.leaf == "input" else "pos"
    if node.op != "embedding":
        return "embed" if node.data else "pos"
    index = node.operands[0][1]
    while index.operands and index.op not in ("arange", "cumsum"):
        index = index.operands[0][1]
    if index.op in ("arange", "cumsum") or _counts(index):
        return "pos"
    return "embed" if node.data else "type"


def _counts(node: Node) -> bool:
    """Whether a stored integer tensor is a list of positions."""
    value = node.value
    if value is None or node.leaf == "input" or value.is_floating_point() or value.numel() < 2:
        return False
    return bool((value.flatten().diff() == 1).all())
