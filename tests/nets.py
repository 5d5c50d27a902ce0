"""Networks written by hand for the tests: residual ones of many makes, and ones that have no residual stream."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TabularBlock(nn.Module):
    """x + MLP(norm(x)) on [batch, features]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(self.norm(x))))


class Tabular(nn.Module):
    """A pre-norm residual MLP; with `features` its stream begins at a linear layer, without at the input itself."""

    def __init__(self, width: int = 16, depth: int = 3, features: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Identity() if features is None else nn.Linear(features, width)
        self.blocks = nn.ModuleList(TabularBlock(width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class EntryAgain(nn.Module):
    """x = x + f(x) + x0: the entry is added again at every block."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, width), nn.Linear(width, 2)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.stem(x)
        for layer in self.layers:
            x = x + layer(F.gelu(x)) + first
        return self.head(x)


class Bypass(nn.Module):
    """Each block also reads a projection of the input that goes past the stream: a planted bypass."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.stem, self.side, self.head = nn.Linear(5, width), nn.Linear(5, width), nn.Linear(width, 2)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        side, x = torch.tanh(self.side(x)), self.stem(x)
        for layer in self.layers:
            x = x + layer(F.gelu(x) * side)
        return self.head(x)


class SecondPath(nn.Module):
    """The output is the stream's readout plus that of a network beside it: a planted second path."""

    def __init__(self, width: int = 16, depth: int = 3) -> None:
        super().__init__()
        self.stream, self.beside, self.gain = Tabular(width, depth, 5), nn.Linear(5, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.stream(x) * 2 + self.gain(torch.tanh(self.beside(x)))


class CifarBlock(nn.Module):
    """ReLU(branch + shortcut); a block that halves the image takes every second pixel and pads the channels with zeros."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.stride, self.pad = stride, (width - inside) // 2

    def shortcut(self, x: Tensor) -> Tensor:
        return x if not self.pad else F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return F.relu(out)


class CifarResNet(nn.Module):
    """The ResNet for CIFAR-10 with 6 n + 2 layers and shortcuts without parameters; n = 3 is ResNet-20."""

    def __init__(self, n: int = 3, width: int = 16) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        self.layer1 = self.stage(width, width, n)
        self.layer2 = self.stage(width, 2 * width, n)
        self.layer3 = self.stage(2 * width, 4 * width, n)
        self.linear = nn.Linear(4 * width, 10)

    def stage(self, inside: int, width: int, n: int) -> nn.Sequential:
        first = CifarBlock(inside, width, 1 if inside == width else 2)
        return nn.Sequential(first, *(CifarBlock(width, width, 1) for _ in range(n - 1)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(F.avg_pool2d(x, x.size()[3]).view(x.size(0), -1))


class InplaceBlock(nn.Module):
    """The bottleneck that image libraries write: `x += shortcut`, in-place ReLU, a projection where the shape changes."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inside, width // 2, 1, bias=False), nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, stride, 1, bias=False)
        self.bn2, self.bn3 = nn.BatchNorm2d(width // 2), nn.BatchNorm2d(width)
        self.conv3, self.act = nn.Conv2d(width // 2, width, 1, bias=False), nn.ReLU(inplace=True)
        change = stride > 1 or inside != width
        self.downsample = (
            nn.Sequential(nn.Conv2d(inside, width, 1, stride, bias=False), nn.BatchNorm2d(width)) if change else None
        )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act(self.bn1(self.conv1(x)))
        x = self.act(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.act(x)


class InplaceResNet(nn.Module):
    """Two stages of two bottlenecks behind a stem with max pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.stages = nn.Sequential(
            InplaceBlock(8, 16, 1), InplaceBlock(16, 16, 1), InplaceBlock(16, 32, 2), InplaceBlock(32, 32, 1)
        )
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(32, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.stages(self.stem(x))).flatten(1))


class Shared(nn.Module):
    """One block called over and over."""

    def __init__(self, width: int = 16, times: int = 4) -> None:
        super().__init__()
        self.embed, self.block, self.head = nn.Embedding(20, width), TabularBlock(width), nn.Linear(width, 20)
        self.times = times

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for _ in range(self.times):
            x = self.block(x)
        return self.head(x)


class ResidualCell(nn.Module):
    """h = h + tanh(W x_t + U h), step by step; returns every state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read, self.hold = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        h, states = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            h = h + torch.tanh(self.read(x[:, t]) + self.hold(h))
            states.append(h)
        return torch.stack(states, 1)


class RecurrentBlock(nn.Module):
    """x + out(cell(norm(x))): a recurrence inside a block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.cell, self.out = nn.LayerNorm(width), ResidualCell(width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.cell(self.norm(x)))


class Recurrent(nn.Module):
    """Two recurrent blocks: over more than two steps each state's chain of additions is longer than the stream."""

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, width), nn.Linear(width, 20)
        self.blocks = nn.ModuleList(RecurrentBlock(width) for _ in range(depth))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class LoneRecurrence(nn.Module):
    """A residual recurrence over time and nothing else: its state is no stream."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.embed, self.cell, self.head = nn.Embedding(20, width), ResidualCell(width), nn.Linear(width, 20)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.cell(self.embed(ids))[:, -1])


class SpelledGelu(nn.Module):
    """0.5 x (1 + tanh(c (x + 0.044715 x^3))): additions of tensors, none of them residual."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3)))


def mlp(act: type[nn.Module]) -> nn.Sequential:
    """A plain feed-forward network. Parameters: `act`, the class of its activations."""
    return nn.Sequential(nn.Linear(8, 16), act(), nn.Linear(16, 16), act(), nn.Linear(16, 16), act(), nn.Linear(16, 3))


class Dense(nn.Module):
    """A DenseNet: every layer's features are joined to all before them."""

    def __init__(self, depth: int = 4, growth: int = 4) -> None:
        super().__init__()
        sizes = [8 + i * growth for i in range(depth + 1)]
        self.stem, self.head = nn.Conv2d(3, 8, 3, 1, 1), nn.Linear(sizes[-1], 5)
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in sizes[:-1])
        self.convs = nn.ModuleList(nn.Conv2d(size, growth, 3, 1, 1) for size in sizes[:-1])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = torch.cat([x, conv(F.relu(norm(x)))], 1)
        return self.head(x.mean((2, 3)))


class Fork(nn.Module):
    """Another number of additions for another input: control flow that depends on data."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(5, width), nn.Linear(width, 2)
        self.blocks = nn.ModuleList(TabularBlock(width) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        few = bool(x[0, 0] == 0.25)
        x = self.stem(x)
        for block in self.blocks[: 2 if few else 4]:
            x = block(x)
        return self.head(x)


class Experts(nn.Module):
    """x + the token's expert(norm(x)), the tokens of one expert taken together: which experts run depends on the data."""

    def __init__(self, width: int = 16, experts: int = 4, depth: int = 2) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, width), nn.Linear(width, 20)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.routers = nn.ModuleList(nn.Linear(width, experts) for _ in range(depth))
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width)) for _ in range(experts))
            for _ in range(depth)
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for norm, router, experts in zip(self.norms, self.routers, self.experts, strict=True):
            x = x + self.mixture(norm(x), router, experts)
        return self.head(x)

    def mixture(self, h: Tensor, router: nn.Module, experts: nn.ModuleList) -> Tensor:
        flat = h.reshape(-1, h.shape[-1])
        weight, chosen = router(flat).softmax(-1).max(-1)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(experts):
            rows = torch.where(chosen == i)[0]
            if len(rows):
                out.index_add_(0, rows, expert(flat[rows]) * weight[rows, None])
        return out.reshape(h.shape)


class Catching(nn.Module):
    """A block in the middle raises inside a module of its own; the forward pass catches it and goes on."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first, self.risky, self.last, self.head = (
            TabularBlock(width),
            Raising(width),
            TabularBlock(width),
            nn.Linear(width, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        try:
            x = self.risky(x)
        except ArithmeticError:
            x = x * 1.0
        return self.head(self.last(x))


class Raising(nn.Module):
    """Raises after some work, two modules deep."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), Stop())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Stop(nn.Module):
    """Raises where it is on."""

    on = True

    def forward(self, x: Tensor) -> Tensor:
        if self.on:
            raise ArithmeticError("stopped here")
        return x


class Reads(nn.Module):
    """x + relu(x . e_i - threshold) * times * e_j, a neuron for each (i, threshold, j, times); below zero it is relu(-x . e_i - threshold)."""

    def __init__(self, width: int, *neurons: tuple[int, float, int, float]) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, len(neurons)), nn.Linear(len(neurons), width, bias=False)
        with torch.no_grad():
            for p in self.parameters():
                p.zero_()
            for n, (i, threshold, j, times) in enumerate(neurons):
                self.up.weight[n, i], self.up.bias[n] = 1.0 if threshold >= 0 else -1.0, -threshold
                self.down.weight[j, n] = times

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(x)))


class Erasing(nn.Module):
    """Direction 0 is what the output reads; a writer fills it, and what follows is given: an eraser, a backup, or nothing to it.

    `eraser`: takes out whatever direction 0 holds. `backup`: fills it up to 3 where it holds less. `bystander`: writes elsewhere.
    """

    def __init__(self, kind: str, width: int = 6) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(4, width), nn.Linear(width, 5, bias=False)
        with torch.no_grad():
            self.embed.weight[:, 0] = 0
            self.embed.weight[:, 1] = 1
        after = {"eraser": (0, 0.0, 0, -1.0), "backup": (0, -3.0, 0, 1.0), "bystander": (0, 0.0, 3, 2.0)}[kind]
        self.blocks = nn.ModuleList([Reads(width, (1, 0.0, 0, 3.0), (1, 0.0, 2, 1.0)), Reads(width, after, (1, 0.0, 4, 1.0))])

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for block in self.blocks:
            x = block(x)
        return self.head(x)
