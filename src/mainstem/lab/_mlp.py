"""A network for tables, with a residual stream or without one."""

import torch.nn.functional as F
from torch import Tensor, nn

ENTRY = "entry"


class TableNet(nn.Module):
    """A linear map into the stream, blocks of one hidden layer, a linear map to one number: the same parameters with and without residual.

    Parameters: `inputs`, features; `width`, of the stream; `hidden`, of a block; `blocks`; `residual`, whether blocks add to the stream or
    replace it.
    """

    def __init__(self, inputs: int, width: int = 32, hidden: int = 64, blocks: int = 4, residual: bool = True) -> None:
        super().__init__()
        self.residual = residual
        self.embed = nn.Linear(inputs, width)
        self.up = nn.ModuleList(nn.Linear(width, hidden) for _ in range(blocks))
        self.down = nn.ModuleList(nn.Linear(hidden, width) for _ in range(blocks))
        self.head = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """A number for each row. Parameters: `x` [row, feature]."""
        return self.head(list(self.points(x).values())[-1])[..., 0]

    def points(self, x: Tensor) -> dict[str, Tensor]:
        """The stream at its entry and behind each block, or what stands there without one. Parameters: `x`."""
        x = self.embed(x)
        found = {ENTRY: x}
        for i, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            write = down(F.relu(up(x)))
            x = x + write if self.residual else write
            found[f"L{i}.resid_post"] = x
        return found
