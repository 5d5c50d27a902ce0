"""The first position apart from the rest."""

from jaxtyping import Bool
from torch import Tensor


def first_apart(mask: Bool[Tensor, "batch pos"]) -> tuple[Bool[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
    """The first position of every row that counts, and all others that do: with padding on either side.

    Measure each with its own state; merged, they are the state of all. Parameters: `mask`, which positions count.
    """
    first = mask & (mask.cumsum(1) == 1)
    return first, mask & ~first
