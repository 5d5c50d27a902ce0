"""Sequences: attention in torch's own modules, recurrences inside writes, streams that change their layout on the way."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo import ids

from ._registry import Residual, W, branches, linears, note, odd, sequence


def layers(norm_first: bool, activation: str = "gelu") -> nn.TransformerEncoder:
    """Two layers of torch's own encoder. Parameters: `norm_first`; `activation`."""
    layer = nn.TransformerEncoderLayer(W, 2, 12, batch_first=True, norm_first=norm_first, activation=activation)
    made = nn.TransformerEncoder(layer, 2, nn.LayerNorm(W), enable_nested_tensor=False)
    for p in made.parameters():
        nn.init.normal_(p, std=0.4)
    return made


@odd(4, inputs=sequence)
class PreNormEncoder(nn.Sequential):
    """nn.TransformerEncoder with norms before."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(W, W), layers(True), nn.Linear(W, 3))


@odd(4, inputs=sequence)
class PostNormEncoder(nn.Sequential):
    """nn.TransformerEncoder as it comes, norms after."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(W, W), layers(False, "relu"), nn.Linear(W, 3))


class DirectAttention(nn.Module):
    """x + nn.MultiheadAttention(x), called as people do."""

    need = True

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.fs, self.head = nn.Linear(W, W), branches(2), nn.Linear(W, 3)
        self.attns = nn.ModuleList(nn.MultiheadAttention(W, 2, batch_first=True) for _ in range(2))
        for p in self.attns.parameters():
            nn.init.normal_(p, std=0.4)

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for attn, f in zip(self.attns, self.fs, strict=True):
            x = note(x + attn(x, x, x, need_weights=self.need)[0])
            x = note(x + f(x))
        return self.head(x)


@odd(4, inputs=sequence)
class AttentionWithPattern(DirectAttention):
    """The attention's weights are asked for, though nobody reads them."""


@odd(4, inputs=sequence)
class AttentionAlone(DirectAttention):
    """They are not asked for, which takes the fused call."""

    need = False


@odd(4, inputs=lambda: (torch.randn(2, 6, generator=torch.Generator().manual_seed(0)),))
class FeatureTokens(DirectAttention):
    """A table whose every feature becomes a token, read at a class token."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.scale, self.shift = nn.Identity(), nn.Parameter(torch.randn(6, W)), nn.Parameter(torch.randn(6, W))
        self.cls = nn.Parameter(torch.randn(1, 1, W))

    def forward(self, x: Tensor) -> Tensor:
        tokens = x[:, :, None] * self.scale + self.shift
        return super().forward(torch.cat([self.cls.expand(len(x), -1, -1), tokens], 1))[:, 0]


@odd(2, inputs=sequence)
class GruWrite(Residual):
    """x + out(gru(x)): a recurrence of torch in one call."""

    def __init__(self) -> None:
        super().__init__(2)
        self.grus = nn.ModuleList(nn.GRU(W, W, batch_first=True) for _ in range(2))

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        return x + f(self.grus[i](x)[0])


@odd(2, inputs=sequence)
class LoopWrite(Residual):
    """A loop over x[:, t] inside a write, its states laid into a tensor of zeros."""

    def __init__(self) -> None:
        super().__init__(2)
        self.holds = linears(2)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        h, states = torch.zeros_like(x[:, 0]), torch.zeros_like(x)
        for t in range(x.shape[1]):
            h = 0.5 * h + torch.tanh(self.holds[i](h) + x[:, t])
            states[:, t] = h
        return x + f(states)


@odd(2, inputs=sequence)
class DecayedSum(Residual):
    """x + out(s), s_t = a s_{t-1} + u_t: a linear recurrence whose state is a longer chain of additions."""

    def __init__(self) -> None:
        super().__init__(2)
        self.reads = linears(2)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        s, states, u = torch.zeros_like(x[:, 0]), [], self.reads[i](x)
        for t in range(x.shape[1]):
            s = 0.7 * s + u[:, t]
            states.append(s)
        return x + f(torch.stack(states, 1))


@odd(4, inputs=sequence)
class Mixer(nn.Module):
    """An MLP over positions between two transposes, then one over features."""

    def __init__(self) -> None:
        super().__init__()
        self.fs, self.positions, self.head = branches(2), branches(2, 6), nn.Linear(W, 3)

    def forward(self, x: Tensor) -> Tensor:
        note(x)
        for f, p in zip(self.fs, self.positions, strict=True):
            x = note(x + p(x.transpose(1, 2)).transpose(1, 2))
            x = note(x + f(x))
        return self.head(x)


@odd(4, inputs=sequence)
class Permuted(nn.Module):
    """[batch, pos, features] for two blocks, [batch, features, pos] for two more."""

    def __init__(self) -> None:
        super().__init__()
        self.fs, self.head = branches(2), nn.Linear(W, 3)
        self.convs = nn.ModuleList(nn.Conv1d(W, W, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        note(x)
        for f in self.fs:
            x = note(x + f(x))
        x = x.transpose(1, 2)
        for conv in self.convs:
            x = note(x + conv(F.silu(x)))
        return self.head(x.mean(-1))


@odd(4, inputs=sequence)
class Windowed(Residual):
    """The stream itself is rolled and cut into windows for two blocks, and laid together again."""

    def __init__(self) -> None:
        super().__init__(4)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.fs
        x = note(self.stem(x))
        x = note(x + a(x)).roll(1, 1).reshape(4, 3, W)
        x = note(x + b(x.cumsum(1)))
        x = note(x + c(x.flip(1))).reshape(2, 6, W).roll(-1, 1)
        return self.head(note(x + d(x)))


@odd(4, inputs=sequence)
class Trimmed(Residual):
    """Padding at both ends is cut off half way."""

    def __init__(self) -> None:
        super().__init__(4)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        x = x + f(x)
        return x.narrow(1, 1, 4) if i == 1 else x

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for i, f in enumerate(self.fs):
            x = note(x + f(x))
            x = x.narrow(1, 1, 4) if i == 1 else x
        return self.head(x)


@odd(4, inputs=sequence)
class LateToken(Residual):
    """A learned token joins the sequence half way: the stream gets more positions, whose content is a constant."""

    def __init__(self) -> None:
        super().__init__(4)
        self.token = nn.Parameter(torch.randn(1, 1, W))

    def forward(self, x: Tensor) -> Tensor:
        x = note(self.stem(x))
        for i, f in enumerate(self.fs):
            x = note(x + f(x.cumsum(1)))
            if i == 1:
                x = torch.cat([x, self.token.expand(len(x), -1, -1)], 1)
        return self.head(x[:, -1])


@dataclass
class State:
    """What a module hands from block to block."""

    x: Tensor
    step: int = 0


@odd(3, inputs=lambda: (ids(),))
class Held(nn.Module):
    """The stream lives in a data class and in a list, never in a variable of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.fs, self.head = nn.Embedding(50, W), branches(), nn.Linear(W, 50)

    def forward(self, tokens: Tensor) -> State:
        state, past = State(note(self.embed(tokens))), []
        for f in self.fs:
            past.append(state)
            state = replace(past[-1], x=note(past[-1].x + f(past[-1].x)), step=state.step + 1)
        return replace(state, x=self.head(state.x))


@odd(3, inputs=lambda: (*sequence(), torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1.0]])), bypass=True)
class MaskedStream(Residual):
    """A mask, an input of its own, is multiplied onto the stream after every addition."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = note(self.stem(x))
        for f in self.fs:
            x = note(x + f(x)) * mask[..., None]
        return self.head(x)


@odd(3, inputs=sequence, bypass=True)
class Latents(nn.Module):
    """Learned latents read the input over and over; the stream begins where the first reading is added to them."""

    def __init__(self) -> None:
        super().__init__()
        self.latents, self.fs, self.head = nn.Parameter(torch.randn(3, W)), branches(2), nn.Linear(W, 3)
        self.q, self.v = linears(2), linears(2)

    def forward(self, data: Tensor) -> Tensor:
        x = self.latents.expand(len(data), -1, -1)
        for q, v, f in zip(self.q, self.v, self.fs, strict=True):
            x = x + F.scaled_dot_product_attention(q(x)[:, None], data[:, None], v(data)[:, None])[:, 0]
            note(x)
            x = note(x + f(x))
        return self.head(x)


@odd(2, inputs=sequence)
class LinearAttention(Residual):
    """x + out(phi(q) (phi(k)^T v) / norm): products of data with data, no softmax."""

    def __init__(self) -> None:
        super().__init__(2)
        self.qkv = linears(2, out=3 * W)

    def step(self, x: Tensor, f: nn.Module, i: int) -> Tensor:
        q, k, v = self.qkv[i](x).chunk(3, -1)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        read = torch.einsum("btd,bde->bte", q, torch.einsum("bsd,bse->bde", k, v))
        return x + f[3](F.pad(read / (q @ k.sum(1)[:, :, None]), (0, 4)))
