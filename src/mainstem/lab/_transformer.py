"""One small transformer whose variants are data. With e = d and no other choice made it computes what GPT-Neo does, bit for bit."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_outputs import CausalLMOutput

from mainstem.core import InputError

from ._config import VariantConfig
from ._norms import RMSNorm, Turn, norm, turns
from ._watch import Writer


class Attention(nn.Module):
    """Causal attention of heads side by side; keys, queries and values have no bias. Parameters: `config`; `kind`, global or local."""

    def __init__(self, config: VariantConfig, kind: str) -> None:
        super().__init__()
        d = config.d_model
        self.n_head, self.window = config.n_head, config.window if kind == "local" else None
        self.scale = (d // config.n_head) ** -0.5 if config.scaled else None
        self.k_proj = nn.Linear(d, d, bias=False)
        self.v_proj = nn.Linear(d, d, bias=False)
        self.q_proj = nn.Linear(d, d, bias=False)
        self.out_proj = nn.Linear(d, d)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (self._heads(proj(x)) for proj in (self.q_proj, self.k_proj, self.v_proj))
        scores = torch.matmul(query, key.transpose(-1, -2))
        scores = scores if self.scale is None else scores * self.scale
        seen = mask if self.window is None else mask & _near(mask, self.window)
        pattern = F.softmax(scores.masked_fill(~seen, torch.finfo(scores.dtype).min), dim=-1)
        mixed = torch.matmul(pattern, value)
        return self.out_proj(mixed.permute(0, 2, 1, 3).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, -1)).permute(0, 2, 1, 3)


def _near(mask: Tensor, window: int) -> Tensor:
    return ~torch.ones(mask.shape[-2:], dtype=torch.bool, device=mask.device).tril(-window)


class MLP(nn.Module):
    """Four times as many neurons as dimensions. Parameters: `config`."""

    def __init__(self, config: VariantConfig) -> None:
        super().__init__()
        self.c_fc = nn.Linear(config.d_model, 4 * config.d_model)
        self.c_proj = nn.Linear(4 * config.d_model, config.d_model)
        self.act = ACT2FN[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(self.act(self.c_fc(x)))


class Block(nn.Module):
    """Attention and MLP, each through its norm and its rotations. Parameters: `config`; `layer`, its number."""

    def __init__(self, config: VariantConfig, layer: int) -> None:
        super().__init__()
        d, basis = config.d_model, (config.basis, config.d_model, config.basis_seed)
        self.residual, self.post = config.residual, config.placement == "post"
        self.ln_1, self.ln_2 = (norm(config.norm, d, config.epsilon) for _ in range(2))
        self.attn, self.mlp = Attention(config, config.kind(layer)), MLP(config)
        self.read_1, self.write_1 = turns(*basis, 2 * layer)
        self.read_2, self.write_2 = turns(*basis, 2 * layer + 1)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The stream behind this layer. Parameters: `x` [batch, pos, d_model]; `mask`, which keys a query sees."""
        if self.post:
            x = self.ln_1(self.added(x, self.write_1(self.attn(self.read_1(x), mask))))
            return self.ln_2(self.added(x, self.write_2(self.mlp(self.read_2(x)))))
        x = self.added(x, self.write_1(self.attn(self.read_1(self.ln_1(x)), mask)))
        return self.added(x, self.write_2(self.mlp(self.read_2(self.ln_2(x)))))

    def added(self, x: Tensor, write: Tensor) -> Tensor:
        """The stream behind a write. Parameters: `x`, the stream before it; `write`."""
        return x + write if self.residual else write


class Variant(PreTrainedModel, GenerationMixin):
    """A causal language model of a `VariantConfig`, which saves, loads, trains and generates like any other of transformers.

    `block`, a class attribute, is what a layer is made of: a variant of one's own has another.

    Parameters: `config`.
    """

    block: type[Block] = Block
    config_class = VariantConfig
    base_model_prefix = "variant"
    main_input_name = "input_ids"
    _no_split_modules = ["Block"]  # noqa: RUF012

    def __init__(self, config: VariantConfig) -> None:
        super().__init__(config)
        self.loss_type = "ForCausalLM"  # which transformers else guesses from the class's name
        d, e = config.d_model, config.d_embedding
        self.wte = nn.Embedding(config.vocab_size, e)
        self.wpe = nn.Embedding(config.n_positions, d if config.positions == "full" else e)
        self.h = nn.ModuleList(self.block(config, i) for i in range(config.n_layer))
        self.ln_f = norm(config.norm, d, config.epsilon) if config.placement == "pre" else nn.Identity()
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool = False,
        **_: Any,
    ) -> CausalLMOutput:
        """Logits, the mean loss where there are labels, and the stream where it is asked for.

        Parameters: `input_ids` [batch, pos]; `attention_mask`, 1 at real tokens; `labels`, the same ids, shifted inside, -100 left
        out; `output_hidden_states`, also the entry and what leaves each block, before the last norm.
        """
        x, mask = self.entry(input_ids, attention_mask), _mask(input_ids, attention_mask)
        hidden = [x]
        for block in self.blocks:
            x = block(x, mask)
            hidden.append(x)
        logits = F.linear(self.read_out(self.ln_f(x)), self.wte.weight)
        loss = None if labels is None else self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        return CausalLMOutput(loss=loss, logits=logits, hidden_states=tuple(hidden) if output_hidden_states else None)

    def entry(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the stream begins with: embeddings in their dimensions, the lane in the others, positions.

        Parameters: `input_ids`; `attention_mask`.
        """
        if input_ids.shape[1] > self.config.n_positions:
            raise InputError(
                f"{input_ids.shape[1]} tokens, and this model has {self.config.n_positions} positions: shorten them."
            )
        tokens, places = self.wte(input_ids), self.wpe(_places(input_ids, attention_mask))
        if places.shape[-1] == tokens.shape[-1]:  # and then the lane is of both
            return self._widened(tokens + places)
        return self._widened(tokens) + places

    def read_out(self, x: Tensor) -> Tensor:
        """The dimensions from which tokens are read. Parameters: `x`, the stream behind its last norm."""
        e = self.config.d_embedding
        return x if e == self.config.d_model else x[..., :e] if self.config.readout == "same" else x[..., -e:]

    def _widened(self, tokens: Tensor) -> Tensor:
        d, e = self.config.d_model, self.config.d_embedding
        if e == d:
            return tokens
        if self.config.lane == "zero":
            return F.pad(tokens, (0, d - e))
        return torch.cat([tokens] * -(-d // e), -1)[..., :d]

    @property
    def blocks(self) -> list[Block]:
        """The layers."""
        return [block for block in self.h if isinstance(block, Block)]

    def points(self, input_ids: Tensor) -> dict[str, Tensor]:
        """The stream at its entry and behind each block; where blocks compute in another basis, turned as their parts read it too.

        Parameters: `input_ids`.
        """
        hidden = self(input_ids, output_hidden_states=True).hidden_states
        found = {"entry": hidden[0]} | {f"L{i}.resid_post": x for i, x in enumerate(hidden[1:])}
        if self.config.basis != "none":
            found |= {
                f"L{i}.attn.computation": block.read_1(x) for i, (block, x) in enumerate(zip(self.blocks, hidden, strict=False))
            }
        return found

    def writers(self) -> Iterator[Writer]:
        """The weights that are added to the stream, layer by layer."""
        for block in self.blocks:
            for layer, write in ((block.attn.out_proj, block.write_1), (block.mlp.c_proj, block.write_2)):
                yield Writer(layer.weight, write.matrix if isinstance(write, Turn) else None)

    def stream_axes(self) -> dict[str, int]:
        """Which axis of a parameter is the stream's, by name; those of norms have a gain for each dimension and are not turned."""
        written = ("attn.out_proj.weight", "attn.out_proj.bias", "mlp.c_proj.weight", "mlp.c_proj.bias")
        read = ("wte.weight", "wpe.weight", "q_proj.weight", "k_proj.weight", "v_proj.weight", "mlp.c_fc.weight")
        names = [name for name, _ in self.named_parameters()]
        return {n: 0 for n in names if n.endswith(written)} | {n: 1 for n in names if n.endswith(read)}

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding, which is the unembedding too."""
        return self.wte

    def prepare_inputs_for_generation(  # type: ignore[override]
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> dict[str, Any]:
        """The whole text again for every token: there is no cache. Parameters: `input_ids`; `attention_mask`."""
        return {"input_ids": input_ids, "attention_mask": attention_mask}

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, RMSNorm):
            nn.init.ones_(module.weight)


def _places(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    if attention_mask is None:
        return torch.arange(input_ids.shape[1], device=input_ids.device).expand_as(input_ids)
    return (attention_mask.long().cumsum(-1) - 1).clamp_min(0)


def _mask(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Which keys a query sees, [1 or batch, 1, query, key]."""
    n = input_ids.shape[1]
    causal = torch.ones(n, n, dtype=torch.bool, device=input_ids.device).tril()[None, None]
    return causal if attention_mask is None else causal & attention_mask.bool()[:, None, None]


def folded(model: Variant) -> Variant:
    """The same function with no rotations: each is multiplied into the weights beside it. Parameters: `model`."""
    config = VariantConfig(**(model.config.to_dict() | {"basis": "none"}))
    plain = Variant(config)
    nn.Module.to(plain, model.wte.weight.device, model.wte.weight.dtype)
    state = model.state_dict()
    for i, block in enumerate(model.blocks):
        for read, write, readers, writer in (
            (block.read_1, block.write_1, ("attn.q_proj", "attn.k_proj", "attn.v_proj"), "attn.out_proj"),
            (block.read_2, block.write_2, ("mlp.c_fc",), "mlp.c_proj"),
        ):
            if isinstance(read, Turn) and isinstance(write, Turn):
                for name in readers:
                    state[f"h.{i}.{name}.weight"] = state[f"h.{i}.{name}.weight"] @ read.matrix
                for part in ("weight", "bias"):
                    state[f"h.{i}.{writer}.{part}"] = write.matrix @ state[f"h.{i}.{writer}.{part}"]
    plain.load_state_dict({name: value for name, value in state.items() if not name.endswith(".matrix")})
    return plain.train(model.training)


AutoConfig.register(VariantConfig.model_type, VariantConfig, exist_ok=True)
AutoModel.register(VariantConfig, Variant, exist_ok=True)
AutoModelForCausalLM.register(VariantConfig, Variant, exist_ok=True)
