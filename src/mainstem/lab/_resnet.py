"""A small ResNet of basic blocks, with batch norm or RMSNorm, with a residual stream or without one."""

import torch.nn.functional as F
from torch import Tensor, nn

from mainstem.core import InputError

from ._norms import RMSNorm

NORMS = ("batch", "rms")


def _norm(kind: str, width: int) -> nn.Module:
    return nn.BatchNorm2d(width) if kind == "batch" else RMSNorm(width, width, 1e-5, axis=1)


class BasicBlock(nn.Module):
    """Two convolutions, added to what they read; where sizes change that is projected. Parameters: as of `SmallResNet`."""

    def __init__(self, n_in: int, n_out: int, stride: int, norm: str, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = _norm(norm, n_out), _norm(norm, n_out)
        same = stride == 1 and n_in == n_out
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), _norm(norm, n_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        write = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + write if self.residual else write)


class SmallResNet(nn.Module):
    """A stem, stages of basic blocks of which all but the first halve height and width, the mean over places, a linear head.

    Parameters: `channels`, of an image; `classes`; `widths`, of the stages; `blocks`, of each; `norm`, "batch" or "rms", over channels at
    each place with a gain for each; `residual`, whether blocks add. Raises `InputError` for another norm.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: tuple[int, ...] = (16, 32, 64),
        blocks: int = 2,
        norm: str = "batch",
        residual: bool = True,
    ) -> None:
        super().__init__()
        if norm not in NORMS:
            raise InputError(f"norm is {norm!r}: choose {' or '.join(map(repr, NORMS))}.")
        self.stem = nn.Sequential(nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False), _norm(norm, widths[0]), nn.ReLU())
        made, width = [], widths[0]
        for stage, wide in enumerate(widths):
            for i in range(blocks):
                made.append(BasicBlock(width, wide, 2 if stage and not i else 1, norm, residual))
                width = wide
        self.blocks = nn.ModuleList(made)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [image, class]. Parameters: `x` [image, channel, height, width]."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))

    def points(self, x: Tensor) -> dict[str, Tensor]:
        """The stream behind the stem and each block, [image, place, channel]. Parameters: `x`."""
        x = self.stem(x)
        found = {"entry": x}
        for i, block in enumerate(self.blocks):
            found[f"L{i}.resid_post"] = x = block(x)
        return {name: x.flatten(2).transpose(1, 2) for name, x in found.items()}
