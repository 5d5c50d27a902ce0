"""Direct logit attribution: rows and constants are the logit, and each row is what a hand-frozen model says."""

import pytest
import torch
from torch import Tensor, nn
from torch.func import jvp

from mainstem.core import InputError, NotClosedError, Parts
from mainstem.find import Patch
from mainstem.find import run as rerun
from mainstem.score import component, direct
from mainstem.stream import Pass, take
from stream._runs import main, passes, plant_biases
from zoo import ZOO

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
PRE_NORM = ["gpt2", "gptj", "neox", "llama", "falcon", "granite", "mixtral", "mamba", "vit", "tabular_linear"]


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, **TIGHT)


def one_hot(run: Pass, token: int, place: int | None = None) -> Tensor:
    """The direction of a token's logit, at one place or at all."""
    g = torch.zeros_like(run.output())
    g[(slice(None), *([place if place is not None else slice(None)] if g.ndim == 3 else []), token)] = 1.0
    return g


def values(parts: Parts) -> Tensor:
    return torch.cat([g.flat() for g in parts.groups])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "gemma2", "resnet", "vit", "t5"])
def test_rows_and_constants_are_the_logit(name):
    run = passes(name, change=plant_biases)[0]
    place = -1 if run.output().ndim == 3 else None
    for token in (0, run.output().shape[-1] - 1):
        parts = direct(run, one_hot(run, token, place), "neuron")
        logit = run.output()[..., token] if place is None else run.output()[:, place, token]
        close(values(parts).sum(0), logit)
        close(parts.whole, logit)


@pytest.mark.parametrize("name", ["gpt2", "bert", "mixtral", "resnet"])
@pytest.mark.parametrize("level", ["write", "edge", "neuron"])
def test_scores_are_linear_in_the_direction(name, level):
    """So a contrast is the difference of two logits' scores, row by row."""
    run = main(name)
    one, two = one_hot(run, 3), one_hot(run, 1)
    rows = [values(direct(run, g, level)) for g in (one, two, one - two, 2.5 * one)]
    close(rows[2], rows[0] - rows[1])
    close(rows[3], 2.5 * rows[0])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_place_is_a_row_of_all_places(name):
    run = main(name)
    every = values(direct(run, one_hot(run, 5), "head", keep_pos=True))
    for place in (0, 4):
        close(values(direct(run, one_hot(run, 5, place), "head")), every[..., place])


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "resnet", "granite", "gemma2", "bloom"])
def test_a_row_is_the_derivative_of_the_frozen_model(name):
    """d <g, output> / d write . write, with every scale, mask and ratio held by hand: torch's own derivative of a readout."""
    run = passes(name, change=plant_biases)[0]
    run.module.requires_grad_(False)
    g = torch.randn_like(run.output())
    parts = direct(run, g)
    readout = FROZEN[name](run)
    for label, t in ends(run):
        v = component(run, label)
        change = jvp(lambda x: (readout(t, x) * g).flatten(1).sum(1), (run.point(t),), (v,))[1]
        close(parts[label], change)


def ends(run: Pass) -> list[tuple[str, int]]:
    """A write of every depth and the point where it is added."""
    found = [(w.label, t) for t, p in enumerate(run.stream.points) for w in p.writes if w.kind != "entry"]
    return [found[0], found[len(found) // 2], found[-1]]


def norm_at(norm: nn.Module, x: Tensor, v: Tensor) -> Tensor:
    """A layer norm of v with the scale of x."""
    return (v - v.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


def rms_at(weight: Tensor, eps: float, x: Tensor, v: Tensor) -> Tensor:
    return v / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def frozen_gpt2(run: Pass):
    m, x = run.module, run.point(4)
    return lambda t, v: m.lm_head(norm_at(m.transformer.ln_f, x, v))


def frozen_bloom(run: Pass):
    m, last = run.module, len(run.stream.points) - 1
    return lambda t, v: m.lm_head(norm_at(m.transformer.ln_f, run.point(last), v))


def frozen_llama(run: Pass):
    m, x = run.module, run.point(4)
    return lambda t, v: m.lm_head(rms_at(m.model.norm.weight, m.model.norm.variance_epsilon, x, v))


def frozen_granite(run: Pass):
    m, x = run.module, run.point(4)
    return lambda t, v: m.lm_head(rms_at(m.model.norm.weight, m.model.norm.variance_epsilon, x, v)) / m.config.logits_scaling


def frozen_gemma2(run: Pass):
    m, x = run.module, run.point(4)
    weight, cap = 1 + m.model.norm.weight, m.config.final_logit_softcapping
    logits = m.lm_head(rms_at(weight, m.model.norm.eps, x, x))
    ratio = torch.where(logits == 0, 1.0, cap * (logits / cap).tanh() / logits)
    return lambda t, v: m.lm_head(rms_at(weight, m.model.norm.eps, x, v)) * ratio


def frozen_bert(run: Pass):
    m = run.module
    norms = [
        m.bert.embeddings.LayerNorm,
        *(n for layer in m.bert.encoder.layer for n in (layer.attention.output.LayerNorm, layer.output.LayerNorm)),
    ]

    def readout(t: int, v: Tensor) -> Tensor:
        for u in range(t, 5):
            v = norm_at(norms[u], run.point(u), v) + (run.write(run.stream.points[u + 1].writes[0]) if u < 4 else 0.0)
        head = m.cls.predictions
        seen = head.transform.dense(run.face(4))
        v = head.transform.dense(v) * torch.nn.functional.gelu(seen) / seen
        return head.decoder(norm_at(head.transform.LayerNorm, torch.nn.functional.gelu(seen), v))

    return readout


def frozen_resnet(run: Pass):
    m = run.module
    layers = [layer for stage in m.resnet.encoder.stages for layer in stage.layers]

    def readout(t: int, v: Tensor) -> Tensor:
        for u in range(t, 5):
            v = v * (run.point(u) > 0)
            v = layers[u].shortcut(v) + run.write(run.stream.points[u + 1].writes[0]) if u < 4 else v
        return m.classifier(m.resnet.pooler(v))

    return readout


FROZEN = {
    "gpt2": frozen_gpt2, "llama": frozen_llama, "bert": frozen_bert, "resnet": frozen_resnet, "granite": frozen_granite,
    "gemma2": frozen_gemma2, "bloom": frozen_bloom,
}  # fmt: skip


@pytest.mark.parametrize("name", PRE_NORM)
def test_response_the_last_write_gone_the_frozen_logit_changes_by_its_row(name):
    """The model run again with its last write zero, its last norms fed their old scale: the logits change by the rows."""
    run = main(name)
    g = torch.randn_like(run.output())
    last = len(run.stream.points) - 1
    (*_, write) = run.stream.points[last].writes
    seen = rerun(
        run.module,
        run.args,
        run.kwargs,
        {run.stream.points[last].site.key},
        [Patch(write.site, torch.zeros_like)],
        run.map.volatile,
        True,
    )
    x = seen.at(run.stream.points[last].site)
    frozen = run.affine(run.stream.points[last].onward)(x)
    close((g * (run.output() - frozen)).flatten(1).sum(1), direct(run, g)[write.label])


def test_the_levels():
    with pytest.raises(InputError, match="no level 'layer'; there are write, head, edge, dim, neuron"):
        direct(main("gpt2"), one_hot(main("gpt2"), 0), "layer")


def test_places_of_an_output_without_places():
    with pytest.raises(InputError, match="leave positions out"):
        direct(main("resnet"), one_hot(main("resnet"), 0), keep_pos=True)


def test_choices_are_said():
    parts = direct(main("gpt2"), one_hot(main("gpt2"), 0), "head")
    assert parts.choices == {"by": "dla", "level": "head", "norm": "frozen at this input", "edits": 0}


def test_a_weight_that_is_not_a_number_is_named():
    module, args, kwargs = ZOO["gpt2"]()
    run = take(module, main("gpt2").map, args, kwargs)
    state = {k: v.clone() for k, v in module.state_dict().items()}
    state["transformer.h.1.mlp.c_proj.bias"][0] = float("nan")
    module.load_state_dict(state)
    broken = take(module, run.map, args, kwargs)
    with pytest.raises(NotClosedError, match="holds NaN or inf: check its weights"):
        direct(broken, one_hot(broken, 0))
