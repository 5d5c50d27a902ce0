"""What a variant of the transformer is: plain data, checked when it is made."""

from typing import Any

from transformers import PretrainedConfig

from mainstem.core import InputError, whole

CHOICES = {
    "lane": ("zero", "copies"),
    "positions": ("full", "embedding"),
    "readout": ("same", "switched"),
    "norm": ("layer", "rms", "rms_scalar"),
    "placement": ("pre", "post"),
    "basis": ("none", "shared", "independent"),
}
KINDS = ("global", "local")


class VariantConfig(PretrainedConfig):
    """A transformer's choices, as Hugging Face keeps them. With none made it is GPT-Neo with e = d, from 2 layers up.

    Parameters: `vocab_size`; `n_positions`; `d_model`, the stream's width d; `d_embedding`, the width e of the tied embedding, d where it is
    None; `n_layer`; `n_head`; `lane`, what the other d - e dimensions begin with: "zero", or "copies" of the embedding, the last one cut
    off; `positions`, embedded in the "full" stream or in the first e dimensions, "embedding"; `readout`, from the "same" e dimensions or
    "switched" to the last e, with the same tied matrix; `residual`, whether blocks add to the stream or replace it; `norm`, "layer",
    "rms" with a gain for each feature, or "rms_scalar" with one for all; `placement`, "pre" or "post"; `basis`, in which blocks
    compute: "none" but the stream's own, or one turned by fixed random rotations on every read and write, one "shared" by all, whose
    inverse is on the writes, or "independent" ones; `basis_seed`; `activation`, by its name in transformers; `attention`, "global" or "local" for each layer, repeated
    as needed; `window`, of local attention; `scaled`, whether attention divides by the root of the head's width, which GPT-Neo does not;
    `epsilon`, of norms, inside the root; `initializer_range`; `others`, what every configuration of transformers has.

    Raises `InputError` for a choice that there is not and sizes that do not fit.
    """

    model_type = "mainstem-variant"
    attribute_map = {"hidden_size": "d_model", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}  # noqa: RUF012

    def __init__(
        self,
        vocab_size: int = 4096,
        n_positions: int = 2048,
        d_model: int = 64,
        d_embedding: int | None = None,
        n_layer: int = 2,
        n_head: int = 4,
        lane: str = "zero",
        positions: str = "full",
        readout: str = "same",
        residual: bool = True,
        norm: str = "layer",
        placement: str = "pre",
        basis: str = "none",
        basis_seed: int = 0,
        activation: str = "gelu_new",
        attention: tuple[str, ...] = ("global",),
        window: int = 256,
        scaled: bool = False,
        epsilon: float = 1e-5,
        initializer_range: float = 0.02,
        **others: Any,
    ) -> None:
        self.vocab_size, self.n_positions, self.n_layer, self.n_head = vocab_size, n_positions, n_layer, n_head
        self.d_model, self.d_embedding = d_model, d_model if d_embedding is None else d_embedding
        self.lane, self.positions, self.readout, self.residual = lane, positions, readout, residual
        self.norm, self.placement, self.basis, self.basis_seed = norm, placement, basis, basis_seed
        self.activation, self.attention, self.window, self.scaled = activation, list(attention), window, scaled
        self.epsilon, self.initializer_range = epsilon, initializer_range
        _check(self)
        self.use_cache = False
        super().__init__(**{"tie_word_embeddings": True, **others})

    def kind(self, layer: int) -> str:
        """Whether a layer's attention is "global" or "local". Parameters: `layer`."""
        return str(self.attention[layer % len(self.attention)])


def _check(config: VariantConfig) -> None:
    for size in ("vocab_size", "n_positions", "d_model", "d_embedding", "n_layer", "n_head", "window"):
        whole(size, getattr(config, size), 1 if size in ("d_model", "n_layer", "n_head") else None)
    for name, allowed in CHOICES.items():
        if getattr(config, name) not in allowed:
            raise InputError(f"{name} is {getattr(config, name)!r}: choose {' or '.join(map(repr, allowed))}.")
    if not config.attention or set(config.attention) - set(KINDS):
        raise InputError(f"attention is {config.attention!r}: name 'global' or 'local' for each layer.")
    if not 1 <= config.d_embedding <= config.d_model:
        raise InputError(f"the embedding is {config.d_embedding} wide and the stream {config.d_model}: e is from 1 to d.")
    if config.d_model % config.n_head:
        raise InputError(f"{config.n_head} heads do not divide a stream of {config.d_model}: choose another number of heads.")


def parameters(vocabulary: int, d: int, e: int, layers: int, positions: int = 2048) -> int:
    """P = V e + N d + L (12 d^2 + 10 d) + 2 d: trainable numbers of a variant with layer norms and positions over the full stream.

    Parameters: `vocabulary`, V; `d`, width of the stream; `e`, of the embedding; `layers`, L; `positions`, N.
    """
    return vocabulary * e + positions * d + layers * (12 * d * d + 10 * d) + 2 * d
