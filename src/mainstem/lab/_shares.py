"""What a model's parameters are for."""

from torch import nn

KINDS = ("embedding", "attention", "MLP", "norm", "other")


def parameter_shares(module: nn.Module) -> dict[str, int]:
    """How many trainable numbers are in embeddings, attention, MLPs, norms and elsewhere; shared ones count once, where they come first.

    The kind is told by a layer's class (embeddings, norms) and by the names on the way to it (attn or attention, mlp or ffn).

    Parameters: `module`. The counts sum to all of its parameters.
    """
    counts, seen = dict.fromkeys(KINDS, 0), set[int]()
    for path, layer in module.named_modules():
        for parameter in layer.parameters(recurse=False):
            if id(parameter) not in seen and parameter.requires_grad:
                seen.add(id(parameter))
                counts[_kind(path.lower(), layer)] += parameter.numel()
    return counts


def _kind(path: str, layer: nn.Module) -> str:
    if isinstance(layer, nn.Embedding):
        return "embedding"
    if "norm" in type(layer).__name__.lower():
        return "norm"
    words = path.split(".")
    if any("attn" in word or "attention" in word for word in words):
        return "attention"
    return "MLP" if any("mlp" in word or "ffn" in word or "feed_forward" in word for word in words) else "other"
