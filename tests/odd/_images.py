"""Images: poolings in gates and shortcuts, residuals of residuals, pyramids."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._registry import image, note, odd


def conv(a: int = 6, b: int = 6, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the size. Parameters: `a` and `b`, channels; `stride`."""
    return nn.Conv2d(a, b, 3, stride, 1)


def read(head: nn.Module, x: Tensor) -> Tensor:
    """Pooled and projected. Parameters: `head`; `x`."""
    return head(x.mean((2, 3)))


@odd(3, inputs=image)
class SqueezeExcite(nn.Module):
    """relu(x + f(x) * gate(pooled f(x))), the gate of one number a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv(3), nn.Linear(6, 4)
        self.convs, self.norms = nn.ModuleList(conv() for _ in range(3)), nn.ModuleList(nn.BatchNorm2d(6) for _ in range(3))
        self.down, self.up = (nn.ModuleList(nn.Conv2d(*c, 1) for _ in range(3)) for c in ((6, 2), (2, 6)))

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for c, norm, down, up in zip(self.convs, self.norms, self.down, self.up, strict=True):
            h = norm(c(x))
            x = F.relu(note(x + h * torch.sigmoid(up(F.relu(down(F.adaptive_avg_pool2d(h, 1)))))))
        return read(self.head, x)


@odd(3, inputs=image)
class PreActivation(nn.Module):
    """The second ResNet: norm and ReLU before, nothing after; where the shape changes the shortcut is behind them too."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head, self.last = conv(3), nn.Linear(12, 4), nn.BatchNorm2d(12)
        sizes = ((6, 6, 1), (6, 12, 2), (12, 12, 1))
        self.norms, self.inner = nn.ModuleList(nn.BatchNorm2d(a) for a, _, _ in sizes), nn.ModuleList()
        self.convs = nn.ModuleList(nn.ModuleList((conv(a, b, s), conv(b, b))) for a, b, s in sizes)
        self.short = nn.Conv2d(6, 12, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for i, (norm, (one, two)) in enumerate(zip(self.norms, self.convs, strict=True)):
            h = F.relu(norm(x))
            x = note((self.short(h) if i == 1 else x) + two(F.relu(one(h))))
        return read(self.head, F.relu(self.last(x)))


@odd(2, inputs=image)
class ResidualOfResiduals(nn.Module):
    """x + 0.2 g(g(x)), each g again a residual: the inner additions are inside a write of the outer stream."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.convs, self.head = conv(3), nn.ModuleList(conv() for _ in range(4)), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for i in (0, 2):
            y = x + 0.2 * self.convs[i](F.leaky_relu(x))
            y = y + 0.2 * self.convs[i + 1](F.leaky_relu(y))
            x = note(x + 0.2 * y)
        return read(self.head, x)


@odd(2, inputs=image)
class GlobalContext(nn.Module):
    """x + g(pooled x): one vector an image is added to every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = conv(3), nn.Linear(6, 4)
        self.gs = nn.ModuleList(nn.Sequential(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 1)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for g in self.gs:
            x = note(x + g(F.adaptive_avg_pool2d(x, 1)))
        return read(self.head, x)


class Pyramid(nn.Module):
    """Down, residual blocks, up, and the upper arm's features joined in."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down, self.up = conv(3), conv(6, 8, 2), nn.ConvTranspose2d(8, 6, 2, 2)
        self.high, self.low = (nn.ModuleList(conv(c, c) for _ in range(2)) for c in (6, 8))
        self.end, self.join, self.head = nn.ModuleList(conv() for _ in range(2)), nn.Conv2d(12, 6, 1), nn.Conv2d(6, 2, 1)

    def arm(self, x: Tensor, convs: nn.ModuleList, number: int) -> Tensor:
        """Two residual blocks. Parameters: `x`; `convs`; `number`, of the stream."""
        note(x, number)
        for c in convs:
            x = note(x + c(F.silu(x)), number)
        return x


@odd(2, 2, 2, inputs=image, bypass=True)
class UNet(Pyramid):
    """Joined by concatenation: three streams, one an arm."""

    def forward(self, x: Tensor) -> Tensor:
        high = self.arm(self.stem(x), self.high, 0)
        low = self.arm(self.down(high), self.low, 1)
        return self.head(self.arm(self.join(torch.cat([self.up(low), high], 1)), self.end, 2))


@odd(5, inputs=image)
class AddedUNet(Pyramid):
    """Joined by addition: the upper arm is one stream, and the whole lower arm a write of it."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.arm(self.stem(x), self.high, 0)
        x = note(x + self.up(self.arm(self.down(x), self.low, 1)))
        for c in self.end:
            x = note(x + c(F.silu(x)))
        return self.head(x)


@odd(4, inputs=image)
class Merging(nn.Module):
    """Four neighbours are joined and projected half way: the stream goes on with fewer places and more features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.merge, self.norm, self.head = nn.Linear(3, 6), nn.Linear(24, 10), nn.LayerNorm(24), nn.Linear(10, 4)
        self.one, self.two = (nn.ModuleList(nn.Linear(c, c) for _ in range(2)) for c in (6, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x.permute(0, 2, 3, 1)))
        for f in self.one:
            x = note(x + f(F.gelu(x)))
        x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)
        x = self.merge(self.norm(x))
        for f in self.two:
            x = note(x + f(F.gelu(x)))
        return self.head(x.mean((1, 2)))
