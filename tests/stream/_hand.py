"""Decoders by hand, from their weights alone: no module of theirs is called and nothing of ours is used."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Block:
    """One block's parts: what attention reads, its pattern and values, what the MLP's neurons are, and their weights."""

    pattern: Tensor  # batch head pos key_pos
    value: Tensor  # batch head key_pos d_head
    w_o: Tensor  # head d_head d_model
    neurons: Tensor  # batch pos neuron
    w_out: Tensor  # neuron d_model
    b_o: Tensor | None = None
    b_out: Tensor | None = None

    @property
    def edges(self) -> Tensor:
        """[batch, head, pos, key_pos, d_model]: alpha (W_V n(x) + b_V) W_O."""
        return torch.einsum("bhqk,bhkd,hdm->bhqkm", self.pattern, self.value, self.w_o)

    @property
    def dims(self) -> Tensor:
        """[batch, head, d_head, pos, d_model]."""
        return torch.einsum("bhqk,bhkd,hdm->bhdqm", self.pattern, self.value, self.w_o)


def layer_norm(x: Tensor, norm: nn.LayerNorm) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def split(x: Tensor, n: int) -> Tensor:
    """[batch, pos, n * d] to [batch, n, pos, d]."""
    return x.reshape(*x.shape[:2], n, -1).transpose(1, 2)


def causal(q: Tensor, k: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias
    n = scores.shape[-1]
    return scores.masked_fill(torch.ones(n, n).triu(1).bool(), -torch.inf).softmax(-1)


def gpt2(module: nn.Module, ids: Tensor) -> tuple[list[Block], list[Tensor]]:
    """The blocks of a GPT-2 and its stream after each, the entry first."""
    inner, count = module.transformer, module.config.n_head
    x = inner.wte.weight[ids] + inner.wpe.weight[: ids.shape[1]]
    blocks, stream = [], [x]
    for layer in inner.h:
        n = layer_norm(x, layer.ln_1)
        q, k, v = (split(t, count) for t in (n @ layer.attn.c_attn.weight + layer.attn.c_attn.bias).chunk(3, -1))
        w_o = layer.attn.c_proj.weight.reshape(count, -1, x.shape[-1])
        block = Block(causal(q, k), v, w_o, x, layer.mlp.c_proj.weight, layer.attn.c_proj.bias, layer.mlp.c_proj.bias)
        x = x + block.edges.sum((1, 3)) + block.b_o
        block.neurons = F.gelu(layer_norm(x, layer.ln_2) @ layer.mlp.c_fc.weight + layer.mlp.c_fc.bias, approximate="tanh")
        x = x + block.neurons @ block.w_out + block.b_out
        blocks.append(block)
        stream.append(x)
    return blocks, stream


def rotary(x: Tensor, frequencies: Tensor) -> Tensor:
    """Rotates halves of [batch, head, pos, d] by position."""
    d = x.shape[-1]
    angle = torch.arange(x.shape[2])[:, None] * frequencies
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    return x * cos + torch.cat([-x[..., d // 2 :], x[..., : d // 2]], -1) * sin


def grouped(layer: nn.Module, n: Tensor, frequencies: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pattern, values and W_O of a Llama's attention; query head h reads key and value head h // groups."""
    att = layer.self_attn
    dim = att.head_dim
    q, k, v = (split(n @ p.weight.T, p.weight.shape[0] // dim) for p in (att.q_proj, att.k_proj, att.v_proj))
    k, v = (t[:, torch.arange(q.shape[1]) // groups] for t in (rotary(k, frequencies), v))
    return causal(rotary(q, frequencies), k), v, att.o_proj.weight.T.reshape(q.shape[1], dim, -1)


def llama(module: nn.Module, ids: Tensor) -> tuple[list[Block], list[Tensor]]:
    """The blocks of a Llama and its stream after each, the entry first."""
    c, inner = module.config, module.model
    x = inner.embed_tokens.weight[ids]
    blocks, stream = [], [x]
    for layer in inner.layers:
        n = rms_norm(x, layer.input_layernorm.weight, c.rms_norm_eps)
        attention = grouped(layer, n, inner.rotary_emb.inv_freq, c.num_attention_heads // c.num_key_value_heads)
        block = Block(*attention, x, layer.mlp.down_proj.weight.T)
        x = x + block.edges.sum((1, 3))
        n = rms_norm(x, layer.post_attention_layernorm.weight, c.rms_norm_eps)
        block.neurons = F.silu(n @ layer.mlp.gate_proj.weight.T) * (n @ layer.mlp.up_proj.weight.T)
        x = x + block.neurons @ block.w_out
        blocks.append(block)
        stream.append(x)
    return blocks, stream


def mixture(layer: nn.Module, n: Tensor, top: int) -> Tensor:
    """[batch, pos, expert, neuron, d_model] of a Mixtral's MLP, zero where a token is not routed to an expert."""
    experts, router = layer.mlp.experts, layer.mlp.gate
    weight = (n @ router.weight.T).softmax(-1)
    kept, chosen = weight.topk(top, -1)
    route = torch.zeros_like(weight).scatter(-1, chosen, kept / kept.sum(-1, keepdim=True))
    gate, up = torch.einsum("bqm,enm->bqen", n, experts.gate_up_proj).chunk(2, -1)
    return torch.einsum("bqe,bqen,emn->bqenm", route, F.silu(gate) * up, experts.down_proj)
