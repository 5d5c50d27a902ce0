"""Labels of points and writes, and the blocks that tile a chain, read off the graph."""

from collections import Counter

from mainstem.algebra import base_name

from ._chain import Chain
from ._record import Node

Call = tuple[str, int, str]


def blocks(chain: Chain) -> tuple[list[int], tuple[str, ...], str]:
    """The block of every addition, the blocks' module paths, and their kind.

    A block is a call of the smallest module class of which every addition of the chain has one around it, and which is
    called more than once; where there is none, every addition is a block of its own.

    Parameters: `chain`.
    """
    trails = [s.node.frames for s in chain.sums]
    best: list[Call] | None = None
    for kind in {frame[2] for trail in trails for frame in trail}:
        around = [_innermost(trail, kind) for trail in trails]
        if None in around or not _contiguous(around):
            continue
        if len(set(around)) > (1 if best is None else len(set(best))):
            best = around  # type: ignore[assignment]
    if best is None:
        return list(range(len(trails))), tuple(trail[-1][0] for trail in trails), "addition"
    order = list(dict.fromkeys(best))
    return [order.index(frame) for frame in best], tuple(frame[0] for frame in order), best[0][2]


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
    changes = sum(a != b for a, b in zip(around, around[1:], strict=False))
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
