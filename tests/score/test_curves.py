"""How scores bend, how they add up, how nearly norms are linear: closed forms, planted cases, and sums by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.score import Goal, additivity, bend, component, norm_linearity
from mainstem.score._additivity import line
from mainstem.score._norm_linearity import pearson
from mainstem.stream import Pass, find_point, find_write, key_products, take, unembed
from stream import _hand
from stream._runs import built, main, mapped, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-12}
NORMED = ["gpt2", "llama", "neox", "falcon", "granite", "mixtral"]
ADDED = torch.linspace(-12, 12, 25, dtype=torch.float64)
PLACE = (1, 4)


def goal(run: Pass, token: int, place: tuple[int, ...] = PLACE) -> Goal:
    one = torch.ones(1, 1, dtype=torch.bool)
    return Goal(
        torch.tensor([place]),
        torch.tensor([[token]]),
        one,
        None,
        None,
        torch.ones(1),
        torch.zeros(1, dtype=torch.long),
        (1,),
        "it",
    )


def logits(run: Pass, t: int) -> Tensor:
    """What the model's own readout says of a point at the place."""
    return readout_at(run, run.point(t))


def readout_at(run: Pass, value: Tensor) -> Tensor:
    m = run.module.requires_grad_(False)
    if hasattr(m, "transformer"):
        return m.lm_head(_hand.layer_norm(value, m.transformer.ln_f))[PLACE]
    return m.lm_head(_hand.rms_norm(value, m.model.norm.weight, m.config.rms_norm_eps))[PLACE]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_the_words_own_curve_is_the_closed_form(name):
    """p = A e^l / (A e^l + B), every other word's value as it was; the slope of log p is 1 - p."""
    run = passes(name, change=plant_biases)[0]
    points = list(range(len(run.stream.points)))
    found = bend(run, goal(run, 7), points, ADDED, "own")
    for t in points:
        bs = logits(run, t)
        a, b = bs[7].exp(), bs.exp().sum() - bs[7].exp()
        p = a * ADDED.exp() / (a * ADDED.exp() + b)
        torch.testing.assert_close(found.logprob[t].exp(), p, **TIGHT)
        torch.testing.assert_close(found.slope[t], 1 - p, rtol=1e-7, atol=1e-12)
        changed = bs.expand(len(ADDED), -1).clone()
        changed[:, 7] += ADDED
        torch.testing.assert_close(found.logprob[t], changed.log_softmax(-1)[:, 7], **TIGHT)


def test_slopes_are_those_of_the_curve():
    """By differences, along the word and along a vector."""
    run, h = main("gpt2"), 1e-5
    for vector in (None, torch.randn(32, dtype=torch.float64)):
        at = bend(run, goal(run, 7), [1, 3], ADDED, "own", vector)
        up, down = (bend(run, goal(run, 7), [1, 3], ADDED + d, "own", vector) for d in (h, -h))
        torch.testing.assert_close((up.logprob - down.logprob) / (2 * h), at.slope, rtol=1e-6, atol=1e-7)


def test_nothing_is_lost_where_the_probability_is_all_or_nothing():
    """log p far below and at next to one, where 1 - p of a probability has no digits left."""
    run = passes("gpt2", change=lambda m: m.transformer.wte.weight.mul_(100))[0]
    last = len(run.stream.points) - 1
    bs = logits(run, last)
    for token in (int(bs.argmax()), int(bs.argmin())):
        others = torch.cat([bs[:token], bs[token + 1 :]]).logsumexp(0)
        added = torch.tensor([0.0, 30.0, -30.0], dtype=torch.float64)
        found = bend(run, goal(run, token), [last], added, "own").logprob[0]
        torch.testing.assert_close(found, torch.nn.functional.logsigmoid(bs[token] + added - others), rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", ["own", "final"])
@pytest.mark.parametrize("name", NORMED)
def test_along_a_vector_all_words_grow_with_it(name, norm):
    """log softmax(bs(x) + s bs(v)), the scale held; each l is s times what v gives the token."""
    run = passes(name, change=plant_biases)[0]
    last = len(run.stream.points) - 1
    v = torch.randn(32, dtype=torch.float64)
    found = bend(run, goal(run, 7), [last], ADDED, norm, v)
    values = unembed(run, v[None], last, PLACE)[0]
    torch.testing.assert_close(found.times[0] * values[7], ADDED, **TIGHT)
    whole = run.output()[PLACE] + found.times[0][:, None] * values
    torch.testing.assert_close(found.logprob[0], whole.log_softmax(-1)[:, 7], rtol=1e-8, atol=1e-10)


def test_each_layer_has_a_scale_of_its_own():
    run = passes("llama", change=plant_biases)[0]
    m, v = run.module.requires_grad_(False), torch.randn(32, dtype=torch.float64)
    for t in (0, 1, 4):
        x = run.point(t)[PLACE]
        delta = m.lm_head.weight @ (v / (x.square().mean() + m.config.rms_norm_eps).sqrt() * m.model.norm.weight)
        found = bend(run, goal(run, 7), [t], ADDED, "own", v)
        whole = logits(run, t) + (ADDED / delta[7])[:, None] * delta
        torch.testing.assert_close(found.logprob[0], whole.log_softmax(-1)[:, 7], rtol=1e-8, atol=1e-10)


def test_what_has_no_curve():
    vit, gpt2 = main("vit"), main("gpt2")
    with pytest.raises(InputError, match="one norm and one matrix"):
        bend(vit, goal(vit, 1, (0,)), [0], ADDED, "own", torch.randn(32))
    one = goal(gpt2, 3)
    with pytest.raises(InputError, match="one token at one place"):
        bend(gpt2, replace(one, against=one.ids, against_mask=one.mask), [0], ADDED, "own")
    with pytest.raises(InputError, match="leaves the before-softmax value of the token as it is"):
        bend(gpt2, one, [0], ADDED, "own", torch.ones(32, dtype=torch.float64))


def test_a_classifier_has_the_curve_of_a_class():
    run = main("resnet")
    found = bend(run, goal(run, 2, (1,)), [0, len(run.stream.points) - 1], ADDED, "own")
    odds = run.output()[1].log_softmax(-1)[2]
    torch.testing.assert_close(found.logprob[1, 12], odds, **TIGHT)


@pytest.mark.parametrize("level", ["neuron", "head", "edge", "dim"])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_running_sums_by_hand(name, level):
    """Every c_k and t_k from the vectors of the parts, read by the module's own last norm and matrix."""
    run = passes(name, change=plant_biases)[0]
    write = "L1.mlp" if level == "neuron" else "L1.attn"
    t = next(i for i, p in enumerate(run.stream.points) if find_write(run.stream, write) in p.writes)
    (found,) = additivity(run, goal(run, 7), (write,), level, "own", True, 10**6)
    before = run.point(t - 1)

    def read(v: Tensor) -> float:
        x = before.clone()
        x[PLACE] += v
        return float(readout_at(run, x).log_softmax(-1)[7])

    base, rows = read(torch.zeros(32, dtype=torch.float64)), [component(run, label)[PLACE] for label in found.names]
    single = torch.tensor([read(v) - base for v in rows])
    torch.testing.assert_close(found.single, single.double(), rtol=1e-7, atol=1e-9)
    assert bool((found.single.diff() <= 0).all())
    torch.testing.assert_close(found.cumulative, found.single.cumsum(0)[found.at - 1], **TIGHT)
    for k, together in zip(found.at.tolist(), found.together.tolist(), strict=True):
        assert together == pytest.approx(read(sum(rows[:k])) - base, rel=1e-7, abs=1e-9)
    torch.testing.assert_close(sum(rows), run.write(find_write(run.stream, write))[PLACE], rtol=1e-9, atol=1e-11)


def test_a_line_against_numpy():
    x, y = torch.randn(40, dtype=torch.float64), torch.randn(40, dtype=torch.float64)
    slope, intercept, r2 = line(x, y)
    want = np.polyfit(x.numpy(), y.numpy(), 1)
    assert (slope, intercept) == pytest.approx(tuple(want))
    assert r2 == pytest.approx(np.corrcoef(x.numpy(), y.numpy())[0, 1] ** 2)
    assert line(x, 3 * x - 2) == pytest.approx((3.0, -2.0, 1.0))
    assert line(torch.ones(3).double(), torch.arange(3).double()) == pytest.approx((0.0, 1.0, 0.0))
    assert math.isnan(line(x, torch.ones_like(x))[2])


def test_steps_are_spread_and_end_with_the_whole():
    run = main("gpt2")
    (few,) = additivity(run, goal(run, 7), ("L1.mlp",), "neuron", "own", True, 5)
    (every,) = additivity(run, goal(run, 7), ("L1.mlp",), "neuron", "own", True, 10**6)
    assert (len(few.at), int(few.at[0]), int(few.at[-1])) == (5, 1, len(every.single))
    assert int(few.at.diff().max() - few.at.diff().min()) <= 1
    torch.testing.assert_close(few.together, every.together[few.at - 1], **TIGHT)


def test_pearson_against_numpy():
    a, b = torch.randn(12, 5, dtype=torch.float64), torch.randn(12, 5, dtype=torch.float64)
    b[:, 2] = -2 * a[:, 2] + 1
    want = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(5)]
    torch.testing.assert_close(pearson(a, b), torch.tensor(want), **TIGHT)
    assert float(pearson(a, b)[2]) == pytest.approx(-1.0)
    b[:, 3] = 4.0
    assert math.isnan(pearson(a, b)[3])


@pytest.mark.parametrize(
    ("name", "keys"), [("gpt2", 1), ("neox", 1), ("llama", 2), ("bert", 1), ("gemma2", 2), ("bloom", 1), ("t5", 1)]
)
def test_products_with_the_key_by_hand(name, keys):
    """x . K from the weights alone, raw and centred; and with sigma and the bias put back, the pre-activation."""
    run = passes(name, change=plant_biases)[0]
    write = next(w for w in run.stream.writes if w.label.endswith("L1.mlp"))
    found = list(key_products(run, write))
    assert len(found) == keys
    for key, raw, centred, activation in found:
        source = next(k for s in write.writer.sources for k in s.keys if k.name == key)
        x = run.face(find_point(run.stream, source.point))
        assert raw.shape == centred.shape == activation.shape == (*x.shape[:2], activation.shape[-1])
        for product, weights in zip((raw, centred), by_hand(run, name, key), strict=True):
            if weights is not None:
                torch.testing.assert_close(product, x @ weights.T, **TIGHT)
        left = activation - centred / scale_of(run, name, x)
        torch.testing.assert_close(left, left[:1, :1].expand_as(left), rtol=1e-8, atol=1e-9)


def by_hand(run: Pass, name: str, key: str) -> tuple[Tensor | None, Tensor | None]:
    m = run.module.requires_grad_(False)
    if name == "gpt2":
        raw = (m.transformer.h[1].ln_2.weight[:, None] * m.transformer.h[1].mlp.c_fc.weight).T
        return raw, raw - raw.mean(-1, keepdim=True)
    if name == "neox":
        layer = m.gpt_neox.layers[1]
        raw = layer.mlp.dense_h_to_4h.weight * layer.post_attention_layernorm.weight
        return raw, raw - raw.mean(-1, keepdim=True)
    if name == "llama":
        layer = m.model.layers[1]
        raw = getattr(layer.mlp, f"{key}_proj").weight * layer.post_attention_layernorm.weight
        return raw, raw
    if name == "bert":
        return (m.bert.encoder.layer[1].intermediate.dense.weight,) * 2
    return None, None


def scale_of(run: Pass, name: str, x: Tensor) -> Tensor | float:
    if name in ("gpt2", "neox", "bloom"):
        return (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    eps = {"llama": run.module.config, "gemma2": run.module.config}.get(name)
    if name == "bert":
        return 1.0
    return (x.square().mean(-1, keepdim=True) + (eps.rms_norm_eps if eps else 1e-6)).sqrt()


def test_with_one_scale_for_all_tokens_the_centred_correlation_is_one():
    """Rows of the stream that are one vector's numbers in other orders have one mean and one sigma, so raw rows do as well."""
    module, _, _ = built("tabular")
    order = torch.stack([torch.randperm(16) for _ in range(9)])
    rows = torch.randn(16, dtype=torch.float64)[order]
    first = [one for one in norm_linearity(taken(module, rows)) if one.write == "L0.mlp"]
    assert {one.row for one in first} == {"raw", "centred"}
    for one in first:
        torch.testing.assert_close(one.correlation, torch.ones_like(one.correlation), rtol=0, atol=1e-12)
    rows[0] *= 30
    other = [one for one in norm_linearity(taken(module, rows)) if one.write == "L0.mlp"]
    assert float(other[0].correlation.min()) < 0.99


def taken(module: torch.nn.Module, rows: Tensor) -> Pass:
    return take(module, mapped("tabular"), (rows,), {})


def test_a_post_norm_read_is_linear_as_it_stands():
    """BERT's MLP reads a normed stream with no norm of its own: the correlation is 1, whatever the tokens."""
    for one in norm_linearity(main("bert")):
        torch.testing.assert_close(one.correlation, torch.ones_like(one.correlation), rtol=0, atol=1e-12)


def test_padding_is_no_token():
    run = main("gpt2")
    real = torch.ones(2, 7, dtype=torch.bool)
    real[1, 3:] = False
    (found, *_) = norm_linearity(run, real)
    assert found.tokens == 10
    _, raw, _, seen = next(iter(key_products(run, find_write(run.stream, "L0.mlp"))))
    want = np.corrcoef(raw[real][:, 5].detach(), seen[real][:, 5].detach())[0, 1]
    assert float(found.correlation[5]) == pytest.approx(want, rel=1e-9)


def test_what_has_no_keys_or_too_few_tokens():
    with pytest.raises(InputError, match="no neuron of this model has a key"):
        norm_linearity(main("resnet"))
    with pytest.raises(InputError, match="no neuron of this model has a key"):
        norm_linearity(main("mixtral"))
    real = torch.zeros(2, 7, dtype=torch.bool)
    real[0, 0] = True
    with pytest.raises(InputError, match="two tokens or more"):
        norm_linearity(main("gpt2"), real)
