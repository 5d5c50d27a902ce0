"""A GPT-2-shaped decoder in plain torch, with the parameter names of Hugging Face's `GPT2LMHeadModel`."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn


@dataclass(frozen=True)
class GPT2Config:
    """The sizes of a GPT-2, as its `config.json` names them."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int

    @classmethod
    def read(cls, path: Path) -> GPT2Config:
        """The sizes in a `config.json`; everything else in it is ignored."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{field.name: stored[field.name] for field in fields(cls)})


class Conv1D(nn.Module):
    """A linear map whose weight is stored as [in, out]."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.T, self.bias)


class Attention(nn.Module):
    """Causal self-attention; `mask` is [batch, 1, query, key], true where a query may look."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = Conv1D(config.n_embd, 3 * config.n_embd)
        self.c_proj = Conv1D(config.n_embd, config.n_embd)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (self._heads(part) for part in self.c_attn(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.c_proj(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)


class MLP(nn.Module):
    """Four times as many neurons as dimensions, with the tanh form of GELU."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.c_fc = Conv1D(config.n_embd, 4 * config.n_embd)
        self.c_proj = Conv1D(4 * config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Attention, then MLP: each reads the normed stream and is added to it."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=1e-5)
        self.mlp = MLP(config)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn(self.ln_1(x), mask)
        x = x + self.mlp(self.ln_2(x))
        return x


class Transformer(nn.Module):
    """Token and position embeddings, the blocks, and the last norm."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.h = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd, eps=1e-5)
        nn.init.normal_(self.wte.weight, std=0.02)
        nn.init.normal_(self.wpe.weight, std=0.02)

    def forward(self, input_ids: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        x = self.wte(input_ids) + self.wpe(positions)
        for block in self.h:
            x = block(x, mask)
        return self.ln_f(x)


class GPT2(nn.Module):
    """A GPT-2 language model whose unembedding is its token embedding."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        self.transformer = Transformer(config)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits [batch, pos, vocab] of token ids [batch, pos]; the mask is 1 at real tokens, 0 at padding."""
        self._check_length(input_ids.shape[1])
        if attention_mask is None or bool(attention_mask.all()):
            # Expanded, so that both embeddings have the stream's full shape and the entry is a plain sum.
            positions = torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
            return self.lm_head(self.transformer(input_ids, positions, None))
        positions = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        return self.lm_head(self.transformer(input_ids, positions, _attention_mask(attention_mask.bool())))

    def _check_length(self, length: int) -> None:
        limit = self.config.n_positions
        if length > limit:
            raise ValueError(
                f"The prompt has {length} tokens, but this model has only {limit} positions. "
                f"Shorten it to at most {limit} tokens, e.g. input_ids[:, -{limit}:]."
            )


def _attention_mask(real: Tensor) -> Tensor:
    """Causal and not padding; a padding token still sees itself, since an empty row would be NaN."""
    length = real.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((causal & real[:, None, :]) | itself)[:, None]


def load_gpt2(folder: str | Path) -> GPT2:
    """The model stored in `folder` (config.json and model.safetensors), in float32 and eval mode."""
    folder = Path(folder)
    model = GPT2(GPT2Config.read(folder / "config.json"))
    state = load_file(folder / "model.safetensors")
    state.setdefault("lm_head.weight", state["transformer.wte.weight"])
    model.load_state_dict(state)
    return model.eval()
