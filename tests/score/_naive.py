"""Log-probability increase the slow way: the models' own final norms and heads, in float64, on x and on x + v.

What is read is spelled out for every family from its modules. Norms that models compute in float32 whatever they are given
are written anew from their weights.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from mainstem.core import Parts
from mainstem.find import find
from mainstem.score import Goal, component
from mainstem.stream import Pass, needed, take
from stream._runs import passes, plant_biases
from zoo import GPT, GROUPED, SMALL, ZOO, ids, liven

Read = Callable[[str, Tensor], Tensor]  # a point's name and [..., d_model] there -> logits
Head = Callable[[Tensor], Tensor]
OPT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48, "vocab_size": 50, "pad_token_id": 1}
MORE = {
    "gemma": ("Gemma", {**SMALL, **GROUPED, "head_dim": 8}),
    "cohere": ("Cohere", {**SMALL, **GROUPED, "logit_scale": 0.5}),
    "opt": ("OPT", {**OPT, "word_embed_proj_dim": 32}),
    "opt_projected": ("OPT", {**OPT, "word_embed_proj_dim": 20}),
    "openai": ("OpenAIGPT", GPT),
}


@cache
def run_of(name: str) -> Pass:
    """A run in float64, large biases planted, of a model of the zoo or of `MORE`: its main stream, with all that parts need captured."""
    run = passes(name, change=plant_biases)[0] if name in ZOO else _built(name)
    run.seen = run.again({*run.seen.calls, *(key for write in run.stream.writes for key in needed(write))})
    return run


def _built(name: str) -> Pass:
    family, config = MORE[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = getattr(transformers, f"{family}Config")(**config)
        kind = f"{family}LMHeadModel" if family == "OpenAIGPT" else f"{family}ForCausalLM"
        module = liven(getattr(transformers, kind)(made)).eval()
        with torch.no_grad():
            plant_biases(module)
    module.double()
    return take(module, find(module, ids()), (ids(),), {})


@dataclass
class Readout:
    """A norm and a head. `own` is the norm's module where that computes in float64; `entry` is done to the first point alone."""

    head: Head
    gain: Tensor
    eps: float
    bias: Tensor | float = 0.0
    centred: bool = False
    own: nn.Module | None = None
    entry: Callable[[Tensor], Tensor] = lambda y: y

    def moved(self, y: Tensor) -> Tensor:
        return y - y.mean(-1, keepdim=True) if self.centred else y

    def scale(self, y: Tensor) -> Tensor:
        return (self.moved(y).square().mean(-1) + self.eps).sqrt()

    def __call__(self, point: str, y: Tensor) -> Tensor:
        y = self.entry(y) if point == "entry" else y
        return self.head(
            self.own(y) if self.own is not None else self.moved(y) / self.scale(y)[..., None] * self.gain + self.bias
        )

    def by(self, scale: Tensor, bias: bool) -> Read:
        """The same with a scale given for every place, [place], and with the norm's bias or without it."""

        def read(point: str, y: Tensor) -> Tensor:
            y = self.moved(self.entry(y) if point == "entry" else y)
            return self.head(y / scale.reshape(-1, *[1] * (y.ndim - 1)) * self.gain + (self.bias if bias else 0.0))

        return read


def layer_norm(norm: nn.LayerNorm, head: Head, **other: Any) -> Readout:
    return Readout(head, norm.weight, norm.eps, norm.bias, True, norm, **other)


def llama(module: nn.Module) -> Readout:
    inner, c = module.model, module.config
    gain = inner.norm.weight + (c.model_type in ("gemma", "gemma2"))
    root = float(torch.tensor(c.hidden_size**0.5, dtype=torch.float32))  # these models keep it so
    longer = {"gemma": root, "gemma2": root, "granite": getattr(c, "embedding_multiplier", 1)}
    cap, divisor = getattr(c, "final_logit_softcapping", None), getattr(c, "logits_scaling", 1.0)

    def head(y: Tensor) -> Tensor:
        logits = module.lm_head(y)
        return logits / divisor if cap is None else cap * (logits / cap).tanh()

    return Readout(head, gain, c.rms_norm_eps, entry=lambda y: longer.get(c.model_type, 1) * y)


def cohere(module: nn.Module) -> Readout:
    c = module.config
    return Readout(lambda y: c.logit_scale * module.lm_head(y), module.model.norm.weight, c.layer_norm_eps, centred=True)


def gpt(module: nn.Module) -> Readout:
    inner = module.transformer
    return layer_norm(inner.ln_f, module.lm_head, entry=getattr(inner, "word_embeddings_layernorm", lambda y: y))


class OpenAI:
    """Post-norm: a point is read through the norm that stands there, and there is no final one."""

    def __init__(self, module: nn.Module) -> None:
        self.head, self.norms = module.lm_head, {}
        for i, block in enumerate(module.transformer.h):
            self.norms |= {f"L{i}.resid_mid": block.ln_1, f"L{i}.resid_post": block.ln_2}

    def __call__(self, point: str, y: Tensor) -> Tensor:
        return self.head(self.norms[point](y) if point in self.norms else y)

    def scale(self, y: Tensor) -> Tensor:
        return (y.var(-1, correction=0) + 1e-5).sqrt()

    def by(self, scale: Tensor, bias: bool) -> Read:
        def read(point: str, y: Tensor) -> Tensor:
            if point not in self.norms:
                return self.head(y)
            norm = layer_norm(self.norms[point], self.head)
            return norm.by(scale, bias)(point, y)

        return read


def bert(module: nn.Module) -> Read:
    inner = module.bert
    norms = {"entry": inner.embeddings.LayerNorm}
    for i, block in enumerate(inner.encoder.layer):
        norms |= {f"L{i}.resid_mid": block.attention.output.LayerNorm, f"L{i}.resid_post": block.output.LayerNorm}
    return lambda point, y: module.cls(norms[point](y))


def t5(module: nn.Module) -> Readout:
    norm, scale = module.decoder.final_layer_norm, module.config.d_model**-0.5 if module.config.tie_word_embeddings else 1.0
    return Readout(lambda y: module.lm_head(scale * y), norm.weight, norm.variance_epsilon)


def opt(module: nn.Module) -> Readout:
    inner = module.model.decoder
    return layer_norm(inner.final_layer_norm, lambda y: module.lm_head(y if inner.project_out is None else inner.project_out(y)))


READ: dict[str, Callable[[nn.Module], Any]] = {
    **dict.fromkeys(("gpt2", "gptj", "bloom", "falcon"), gpt),
    **dict.fromkeys(("llama", "mixtral", "gemma", "gemma2", "granite"), llama),
    **dict.fromkeys(("opt", "opt_projected"), opt),
    "neox": lambda m: layer_norm(m.gpt_neox.final_layer_norm, m.get_output_embeddings()),
    "mamba": lambda m: Readout(m.lm_head, m.backbone.norm_f.weight, m.config.layer_norm_epsilon),
    "cohere": cohere,
    "openai": OpenAI,
    "bert": bert,
    "t5": t5,
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
    """Scores of parts of a run, the slow way.

    Parameters: `run`; `read`, in float64; `goal`, of places of prompt and position.
    """

    def __init__(self, run: Pass, read: Read, goal: Goal) -> None:
        self.run, self.read, self.goal = run, read, goal
        self.held: dict[str, tuple[str, Tensor]] = {}  # the point that a write makes, and what it is added to there
        for t, point in enumerate(run.stream.points[1:]):
            x = run.face(t).double()
            for write in point.writes:
                self.held[write.label] = point.name, x
                x = x + component(run, write.label).double()

    def at(self, value: Tensor) -> Tensor:
        """[place, d_model]."""
        return value.double()[tuple(self.goal.places.T)]

    def value(self, point: str, rows: Tensor) -> Tensor:
        """What is scored at every place, were the point to hold rows, [place, ..., d_model]."""
        return log_odds(self.read(point.rpartition("dec.")[2], rows), self.goal)

    def point(self, t: int) -> Tensor:
        """[place], at a point as it is."""
        return self.value(self.run.stream.points[t].name, self.at(self.run.point(t)))

    def scores(self, write: str, vectors: Tensor) -> Tensor:
        """[part, *cells of the goal] of vectors, [part, place, d_model], that a write is made of."""
        point, x = self.held[write][0], self.at(self.held[write][1])
        found = self.value(point, x[:, None] + vectors.transpose(0, 1)) - self.value(point, x[:, None])
        return self.goal.total(found.T)

    def taken_out(self, vectors: Tensor) -> Tensor:
        """[part, *cells of the goal]: f(x) - f(x - v), x the last point, of vectors [part, place, d_model]."""
        end = len(self.run.stream.points) - 1
        x = self.at(self.run.point(end))
        values = self.value(self.run.stream.points[end].name, x[:, None] - vectors.transpose(0, 1))
        return self.goal.total((self.point(-1)[:, None] - values).T)

    def of(self, write: str, labels: Iterable[str]) -> Tensor:
        """The same as of `scores` of the parts of a write by their labels."""
        return self.scores(write, torch.stack([self.at(component(self.run, label)) for label in labels]))


def vit(module: nn.Module) -> Read:
    return lambda point, y: module.classifier(module.vit.layernorm(y)[:, 0])


def resnet(module: nn.Module) -> Read:
    """Later stages' projections, nothing that their blocks write, then the mean over all places."""
    stem, layers = module.resnet.embedder, [layer for stage in module.resnet.encoder.stages for layer in stage.layers]

    def read(point: str, y: Tensor) -> Tensor:
        entry = point == "entry"
        y = stem.pooler(stem.embedder.activation(stem.embedder.normalization(y))) if entry else y.relu()
        for layer in layers[0 if entry else int(point[1 : point.index(".")]) + 1 :]:
            y = layer.shortcut(y).relu()
        return module.classifier(module.resnet.pooler(y))

    return read


def small_resnet(module: nn.Module) -> Read:
    """The embedded image classifier's."""
    blocks = [block for stage in module.stages for block in stage.blocks]

    def read(point: str, y: Tensor) -> Tensor:
        entry = point == "entry"
        y = nn.functional.max_pool2d(module.stem.norm(y).relu(), 2) if entry else y.relu()
        for block in blocks[0 if entry else int(point[1 : point.index(".")]) + 1 :]:
            y = block.shortcut(y).relu()
        return module.head(y.mean((2, 3)))

    return read


class Images:
    """The slow way where all of an image is read. Parameters: `run`; `read`, in float64; `target`, a class."""

    def __init__(self, run: Pass, read: Read, target: int) -> None:
        self.run, self.read = run, read
        each, where = torch.full((run.prompts, 1), target), torch.arange(run.prompts)
        ones = torch.ones(run.prompts)
        self.goal = Goal(where[:, None], each, each >= 0, None, None, ones, where, (run.prompts,), "")

    def value(self, point: str, y: Tensor) -> Tensor:
        """[image]."""
        return self.read(point, y.double()).log_softmax(-1)[:, self.goal.ids[0, 0]]

    def point(self, t: int) -> Tensor:
        return self.value(self.run.stream.points[t].name, self.run.point(t))

    def of(self, write: str, labels: Iterable[str]) -> Tensor:
        """[part, image] of parts of a write, the only one that its point is made by."""
        t = next(t for t, p in enumerate(self.run.stream.points) if p.writes[0].label == write)
        x = self.run.point(t).double() - self.run.write(self.run.stream.points[t].writes[0]).double()
        name = self.run.stream.points[t].name
        values = [self.value(name, x + component(self.run, label).double()) for label in labels]
        return torch.stack(values) - self.value(name, x)


KINDS = {"token": ([[3]], None), "any_of": ([[3, 7, 1]], None), "contrast": ([[3]], [[7]]), "odds": ([[3, 2]], [[7, 1, 0]])}


def goal_of(run: Pass, kind: str = "token", at: tuple[int, ...] = (1, -1)) -> Goal:
    """The same target at some positions of every prompt; "sequence" is a token each, summed. Parameters: `run`; `kind`; `at`."""
    batch, length = run.output().shape[:2]
    at = tuple(p % length for p in at)
    places = torch.cartesian_prod(torch.arange(batch), torch.tensor(at)).reshape(-1, 2)
    n = len(places)
    if kind == "sequence":
        each, held = torch.arange(2, 2 + len(at)).repeat(batch)[:, None], None
        owner, shape = torch.arange(batch).repeat_interleave(len(at)), (batch,)
    else:
        each, held = (None if ids is None else torch.tensor(ids).expand(n, -1) for ids in KINDS[kind])
        owner, shape = torch.arange(n), (batch, len(at))
    mask, other = torch.ones_like(each, dtype=torch.bool), None if held is None else torch.ones_like(held, dtype=torch.bool)
    if each.shape[1] > 2:
        mask[0, 1] = False
    return Goal(places, each, mask, held, other, torch.ones(n), owner, shape, "")


@cache
def naive(name: str, kind: str = "token") -> Naive:
    """The slow way of a model. Parameters: `name`; `kind`, of the goal."""
    run = run_of(name)
    return Naive(run, READ[name](run.module.requires_grad_(False)), goal_of(run, kind))


def labels_of(parts: Parts, write: str) -> dict[str, Tensor]:
    """Some components of a write, its bias among them, by their labels, with their scores."""
    found = {}
    for group in parts.groups:
        if group.label.split(".B")[0].removesuffix(".bias") == write and group.kind != "interaction":
            flat = group.flat()
            for i in sorted({0, len(flat) // 3, len(flat) // 2, len(flat) - 1}):
                found[group.name(i)] = flat[i]
    return found


def neurons_of(run: Pass, down: torch.nn.Module) -> Tensor:
    """What the last product of an MLP is given, [batch, pos, neuron], in a plain run of the module."""
    held = []
    hook = down.register_forward_pre_hook(lambda _, args: held.append(args[0]))
    run.module(*run.args, **run.kwargs)
    hook.remove()
    return held[0]


def watched(vectors: Tensor, others: Iterable[int] = (), drawn: int = 96) -> Tensor:
    """Which parts are worked out the slow way where there are too many: the longest ones, the first, the last, and some by lot.

    Parameters: `vectors`, [part, d_model]; `others`, parts that are wanted too; `drawn`, how many of the longest, and by lot.
    """
    lot = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(len(vectors)))[:drawn]
    longest = vectors.norm(dim=1).topk(drawn).indices
    return torch.cat([torch.tensor([0, len(vectors) - 1, *others]), longest, lot]).unique()
