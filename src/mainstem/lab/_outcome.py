"""What a run came to."""

from dataclasses import dataclass, field

from torch import nn

from ._watch import Row


@dataclass
class Outcome:
    """A trained model, numbers by name, and what was seen on the way. Parameters: `model`; `numbers`; `rows`."""

    model: nn.Module
    numbers: dict[str, float]
    rows: list[Row] = field(default_factory=list)
