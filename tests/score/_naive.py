"""Log-probability increase the slow way: the models' own final norms and heads, in float64, on x and on x + v.

What is read is spelled out for every family from its modules. Norms that models compute in float32 whatever they are given
are written anew from their weights.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mainstem.score import Goal, component
from mainstem.stream import Pass

Read = Callable[[str, Tensor], Tensor]  # a point's name and [..., d_model] there -> logits


def rms(y: Tensor, gain: Tensor, eps: float) -> Tensor:
    return y / (y.square().mean(-1, keepdim=True) + eps).sqrt() * gain


def plain(
    norm: Callable[[Tensor], Tensor], head: Callable[[Tensor], Tensor], entry: Callable[[Tensor], Tensor] | None = None
) -> Read:
    """A final norm and a head for every point; what is done to the entry alone comes before."""
    return lambda point, y: head(norm(entry(y) if entry is not None and point == "entry" else y))


def llama(module: nn.Module) -> Read:
    inner, c = module.model, module.config
    gain = inner.norm.weight + (c.model_type in ("gemma", "gemma2"))
    longer = {"gemma": c.hidden_size**0.5, "gemma2": c.hidden_size**0.5, "granite": getattr(c, "embedding_multiplier", 1)}
    cap, divisor = getattr(c, "final_logit_softcapping", None), getattr(c, "logits_scaling", 1.0)

    def head(y: Tensor) -> Tensor:
        logits = module.lm_head(y)
        return logits / divisor if cap is None else cap * (logits / cap).tanh()

    return plain(lambda y: rms(y, gain, c.rms_norm_eps), head, lambda y: longer.get(c.model_type, 1) * y)


def cohere(module: nn.Module) -> Read:
    def norm(y: Tensor) -> Tensor:
        return F.layer_norm(y, y.shape[-1:], module.model.norm.weight, None, module.config.layer_norm_eps)

    return plain(norm, lambda y: module.config.logit_scale * module.lm_head(y))


def gpt(module: nn.Module) -> Read:
    inner = module.transformer
    return plain(inner.ln_f, module.lm_head, getattr(inner, "word_embeddings_layernorm", None))


def openai(module: nn.Module) -> Read:
    """Post-norm: a point is read through the norm that stands there, and there is no final one."""
    norms = {}
    for i, block in enumerate(module.transformer.h):
        norms |= {f"L{i}.resid_mid": block.ln_1, f"L{i}.resid_post": block.ln_2}
    return lambda point, y: module.lm_head(norms[point](y) if point in norms else y)


def bert(module: nn.Module) -> Read:
    inner = module.bert
    norms = {"entry": inner.embeddings.LayerNorm}
    for i, block in enumerate(inner.encoder.layer):
        norms |= {f"L{i}.resid_mid": block.attention.output.LayerNorm, f"L{i}.resid_post": block.output.LayerNorm}
    return lambda point, y: module.cls(norms[point](y))


def t5(module: nn.Module) -> Read:
    norm, width = module.decoder.final_layer_norm, module.config.d_model
    scale = width**-0.5 if module.config.tie_word_embeddings else 1.0
    return plain(lambda y: rms(y, norm.weight, norm.variance_epsilon), lambda y: module.lm_head(scale * y))


def opt(module: nn.Module) -> Read:
    inner = module.model.decoder
    return plain(inner.final_layer_norm, lambda y: module.lm_head(y if inner.project_out is None else inner.project_out(y)))


READ: dict[str, Callable[[nn.Module], Read]] = {
    **dict.fromkeys(("gpt2", "gptj", "bloom", "falcon"), gpt),
    **dict.fromkeys(("llama", "mixtral", "gemma", "gemma2", "granite"), llama),
    "neox": lambda m: plain(m.gpt_neox.final_layer_norm, m.embed_out),
    "mamba": lambda m: plain(lambda y: rms(y, m.backbone.norm_f.weight, m.config.layer_norm_epsilon), m.lm_head),
    "cohere": cohere,
    "openai": openai,
    "bert": bert,
    "t5": t5,
    "opt": opt,
}


def log_odds(logits: Tensor, goal: Goal) -> Tensor:
    """[place, ...] of logits [place, ..., vocab]: log of the target's probability, or of the two sides' ratio."""
    logp = logits.log_softmax(-1)

    def side(ids: Tensor, mask: Tensor) -> Tensor:
        each = [logp[p][..., ids[p][mask[p]]].logsumexp(-1) for p in range(len(ids))]
        return torch.stack(each)

    wanted = side(goal.ids, goal.mask)
    return wanted if goal.against is None else wanted - side(goal.against, goal.against_mask)


class Naive:
    """Scores of parts of a run, the slow way. Parameters: `run`, of a module in float64; `read`; `goal`, places of prompt and position."""

    def __init__(self, run: Pass, read: Read, goal: Goal) -> None:
        self.run, self.read, self.goal = run, read, goal
        self.held: dict[str, tuple[str, Tensor]] = {}  # what each write is added to
        for before, point in zip(run.stream.points, run.stream.points[1:], strict=False):
            x = run.face(run.stream.points.index(before)).double()
            for write in point.writes:
                self.held[write.label] = point.name, x
                x = x + self.vector(write.label)

    def vector(self, label: str) -> Tensor:
        return component(self.run, label).double()

    def at(self, value: Tensor) -> Tensor:
        """[place, d_model]."""
        return value[tuple(self.goal.places.T)]

    def value(self, point: str, rows: Tensor) -> Tensor:
        """What is scored at every place, were the point to hold rows, [place, ..., d_model]."""
        return log_odds(self.read(point.rpartition("dec.")[2], rows), self.goal)

    def scores(self, write: str, vectors: Tensor) -> Tensor:
        """[part, place] of vectors, [part, place, d_model], that a write is made of."""
        point, x = self.held[write]
        x = self.at(x)
        return (self.value(point, x[:, None] + vectors.transpose(0, 1)) - self.value(point, x[:, None])).T

    def of(self, write: str, labels: Iterable[str]) -> Tensor:
        """[part, place] of the parts of a write by their labels."""
        return self.scores(write, torch.stack([self.at(self.vector(label)) for label in labels]))
