"""Small random models, one for every mechanism, by name: each entry builds (module, args, kwargs), always the same."""

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

import nets

Built = tuple[nn.Module, tuple[Any, ...], dict[str, Any]]
Builder = Callable[[], Built]
V = 50
SMALL = {
    "vocab_size": V, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
}  # fmt: skip
GPT = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
GROUPED = {"num_key_value_heads": 2}
ZOO: dict[str, Builder] = {}
STREAMLESS: dict[str, Builder] = {}


def ids(batch: int = 2, length: int = 7, vocab: int = V) -> torch.Tensor:
    """Token ids without the padding token. Parameters: `batch`, `length`, `vocab`."""
    generator = torch.Generator().manual_seed(batch * 1000 + length)
    return torch.randint(1, vocab, (batch, length), generator=generator)


def pixels(batch: int = 2, size: int = 32) -> torch.Tensor:
    """Images of noise. Parameters: `batch`, `size`."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(size))


def rows(batch: int = 6, features: int = 5) -> torch.Tensor:
    """Rows of a table. Parameters: `batch`, `features`."""
    return torch.randn(batch, features, generator=torch.Generator().manual_seed(features))


def liven(module: nn.Module) -> nn.Module:
    """Gives every norm's gain, bias and running statistics values of their own, so that none of them can hide as 0 or 1."""
    for child in module.modules():
        own = [*child.named_parameters(recurse=False), *child.named_buffers(recurse=False)]
        for name, tensor in own:
            if "norm" in type(child).__name__.lower() and tensor.is_floating_point():
                with torch.no_grad():
                    noise = 0.2 * torch.randn_like(tensor)
                    tensor.copy_(0.5 + noise.abs() if name == "running_var" else tensor + noise)
    return module


def entry(name: str, where: dict[str, Builder] = ZOO) -> Callable[[Builder], Builder]:
    """Puts a builder into the zoo: seeded without touching the caller's seed, in eval mode."""

    def add(build: Builder) -> Builder:
        def seeded() -> Built:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                module, args, kwargs = build()
                return liven(module).eval(), args, kwargs

        where[name] = seeded
        return seeded

    return add


def causal(name: str, family: str, **config: Any) -> None:
    """A causal language model of transformers by the name of its classes."""

    @entry(name)
    def build() -> Built:
        made = getattr(transformers, f"{family}Config")(**config)
        return getattr(transformers, f"{family}ForCausalLM")(made), (ids(),), {}


@entry("gpt2")
def _() -> Built:
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT)), (ids(),), {}


causal("gptj", "GPTJ", **GPT, rotary_dim=4)
causal("neox", "GPTNeoX", **SMALL)
causal("llama", "Llama", **SMALL, **GROUPED)
causal(
    "bloom", "Bloom", **{k: SMALL[k] for k in ("vocab_size", "hidden_size", "bos_token_id", "eos_token_id")}, n_layer=2, n_head=4
)
causal("falcon", "Falcon", **{k: v for k, v in SMALL.items() if k != "intermediate_size"})
causal("gemma2", "Gemma2", **SMALL, **GROUPED, head_dim=8)
causal("granite", "Granite", **SMALL, **GROUPED, residual_multiplier=0.3, embedding_multiplier=2.0, logits_scaling=3.0)
causal("mixtral", "Mixtral", **SMALL, **GROUPED, num_local_experts=4)
causal("mamba", "Mamba", **{k: v for k, v in SMALL.items() if "attention" not in k and "inter" not in k}, state_size=4)


@entry("bert")
def _() -> Built:
    return transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)), (ids(),), {}


@entry("t5")
def _() -> Built:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    config = transformers.T5Config(vocab_size=V, **sizes, pad_token_id=0, decoder_start_token_id=0)
    inputs = {"input_ids": ids(), "decoder_input_ids": ids(length=5)}
    return transformers.T5ForConditionalGeneration(config), (), inputs


@entry("vit")
def _() -> Built:
    sizes = {k: SMALL[k] for k in ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")}
    config = transformers.ViTConfig(**sizes, image_size=16, patch_size=4, num_labels=3)
    return transformers.ViTForImageClassification(config), (pixels(size=16),), {}


def _resnet(kind: str) -> Built:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[16, 32], depths=[2, 2], layer_type=kind, num_labels=5)
    return transformers.ResNetForImageClassification(config), (pixels(),), {}


entry("resnet")(lambda: _resnet("bottleneck"))
entry("resnet_basic")(lambda: _resnet("basic"))
entry("resnet_inplace")(lambda: (nets.InplaceResNet(), (pixels(),), {}))
entry("cifar")(lambda: (nets.CifarResNet(3, 4), (pixels(),), {}))
entry("tabular")(lambda: (nets.Tabular(), (rows(6, 16),), {}))
entry("tabular_linear")(lambda: (nets.Tabular(features=5), (rows(),), {}))
entry("entry_again")(lambda: (nets.EntryAgain(), (rows(),), {}))
entry("shared")(lambda: (nets.Shared(), (ids(vocab=20),), {}))
entry("recurrent")(lambda: (nets.Recurrent(), (ids(2, 12, 20),), {}))
entry("experts")(lambda: (nets.Experts(), (ids(2, 7, 20),), {}))
entry("bypass")(lambda: (nets.Bypass(), (rows(),), {}))
entry("second_path")(lambda: (nets.SecondPath(), (rows(),), {}))
entry("mlp", STREAMLESS)(lambda: (nets.mlp(nn.GELU), (rows(6, 8),), {}))
entry("mlp_spelled", STREAMLESS)(lambda: (nets.mlp(nets.SpelledGelu), (rows(6, 8),), {}))
entry("densenet", STREAMLESS)(lambda: (nets.Dense(), (pixels(size=8),), {}))
entry("lone_recurrence", STREAMLESS)(lambda: (nets.LoneRecurrence(), (ids(2, 9, 20),), {}))
