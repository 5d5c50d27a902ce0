"""The work that is compared, and how a tool says that it does it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

TOKEN = 7  # whose logit is attributed; any token costs the same
GIANT = 6e9  # bytes; what would take more is not run, and its size stands in the table


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters: `key`; `title`; `target`, the time that mainstem is held to, in forward passes; `on_top`, time is counted
    after the run that the work needs (memory is always that of both).
    """

    key: str
    title: str
    target: float | None = None
    on_top: bool = False


ROWS = (
    Row("forward", "bare forward pass, all logits"),
    Row("last_logits", "bare forward pass that unembeds the last position only"),
    Row("points", "every point of the stream, all positions"),
    Row("writes", "every point and every write, all positions", 1.05),
    Row("last", "every point and every write, last position", 0.75),
    Row("default", "what the tool captures unless told otherwise"),
    Row("lens", "logit lens of the last token at all points, run included", 0.75),
    Row("ready", "the run that attribution needs"),
    Row("heads", "+ direct logit attribution, heads and layers, all positions", 0.1, on_top=True),
    Row("one", "+ the same with every neuron, one position", 0.1, on_top=True),
    Row("neurons", "+ the same with every neuron, all positions", 0.1, on_top=True),
    Row("find", "finding and proving the stream, once for a model", 5.0),
)


@dataclass(frozen=True)
class Way:
    """How a tool does a row's work.

    Parameters: `do`, the work, given what `before` returned and returning all that a user would keep; `before`, the run that
    it stands on, not timed.
    """

    do: Callable[[Any], object]
    before: Callable[[], Any] = lambda: None


Ways = dict[str, Way]


class TooBig(Exception):
    """The tool's way would take gigabytes. Parameters: `size`, in bytes."""

    def __init__(self, size: float) -> None:
        super().__init__(f"{size / 1e9:,.0f} GB")


def fits(*sizes: int) -> None:
    """Raises `TooBig` where a float32 tensor of these sizes is not to be made on a small machine. Parameters: `sizes`."""
    size = 4.0
    for n in sizes:
        size *= n
    if size > GIANT:
        raise TooBig(size)
