"""Path score: integrated gradients by hand, exact sums, and the scores that it must be where it can be nothing else."""

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError, NotClosedError, bound
from mainstem.score import Choices, score_named
from mainstem.score._path import _gauss
from mainstem.score._reading import ByRows, Normed, Whole, reading
from mainstem.score._slopes import slopes
from mainstem.stream import Pass, applies, readout, spots
from score.test_alternatives import made, same
from stream._hand import gpt2, layer_norm, llama, rms_norm
from stream._runs import main, passes, plant_biases

TIGHT = {"rtol": 1e-9, "atol": 1e-11}
CLOSE = {"rtol": 0, "atol": 1e-6}
MODELS = ["gpt2", "llama", "bert", "gemma2", "granite", "falcon", "neox", "gptj", "mixtral", "mamba", "t5", "vit"]


def path(run: Pass, level: str = "write", ids: tuple[int, ...] = (1,), against: list[int] | None = None, **choices):
    return score_named("path").rows(run, same(run, list(ids), against), Choices(level, **choices))


def levels(run: Pass) -> list[str]:
    return [n for n in ("head", "edge", "dim", "neuron") if any(applies(w, n) for w in run.stream.writes)]


@pytest.mark.parametrize("base", ["block", "before"])
@pytest.mark.parametrize("name", MODELS)
def test_rows_of_a_write_sum_to_its_score_and_all_rows_to_what_is_gained(name, base):
    for run in passes(name, change=plant_biases)[:1]:
        whole = path(run, base=base)
        last = run.output()[:, -1] if run.output().ndim == 3 else run.output()
        want = score_named("logprob_increase").rows(run, same(run, [1], None), Choices())
        torch.testing.assert_close(whole.whole, want.whole, **TIGHT)
        torch.testing.assert_close(whole.tensor.sum(0), want.whole, **CLOSE)
        assert last.shape[0] == whole.whole.shape[0]
        for level in levels(run):
            parts = path(run, level, base=base)
            assert parts.error <= parts.bound < 1e-4 and "additive" not in parts.choices
            for write in run.stream.writes:
                inside = [
                    g
                    for g in parts.groups
                    if g.label == write.label or g.label.startswith((f"{write.label}.B", f"{write.label}.b"))
                ]
                torch.testing.assert_close(sum(g.flat().sum(0) for g in inside), whole[write.label], **TIGHT)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "falcon", "mamba"])
def test_writes_of_a_block_sum_to_what_the_lens_gains_there(name):
    run = passes(name, change=plant_biases)[0]
    read = readout(run)
    values = {p.name: read.live(run.face(t))[:, -1].log_softmax(-1)[:, 1] for t, p in enumerate(run.stream.points)}
    ends = [values[run.stream.points[0].name]] + [values[f"L{i}.resid_post"] for i in range(len(run.stream.blocks))]
    found = path(run)
    for i in range(len(run.stream.blocks)):
        mine = sum(found[w.label] for w in run.stream.writes if w.block == i)
        torch.testing.assert_close(mine, ends[i + 1] - ends[i], **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_shares_are_gradients_integrated_along_the_block_by_hand(name):
    run = passes(name, change=plant_biases)[0]
    nodes, weights = torch.linspace(0, 1, 2001, dtype=torch.float64), torch.ones(2001, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2  # Simpson
    module = run.module
    with torch.no_grad():
        blocks, stream = (gpt2 if name == "gpt2" else llama)(module, run.args[0])

    def logprob(y: Tensor) -> Tensor:
        if name == "gpt2":
            return (layer_norm(y, module.transformer.ln_f) @ module.lm_head.weight.T).log_softmax(-1)[..., 1]
        norm = module.model.norm
        return (rms_norm(y, norm.weight, norm.variance_epsilon) @ module.lm_head.weight.T).log_softmax(-1)[..., 1]

    for i, block in enumerate(blocks):
        start, end = stream[i][:, -1], stream[i + 1][:, -1]
        way = (start[:, None] + nodes[:, None] * (end - start)[:, None]).detach().requires_grad_()
        (g,) = torch.autograd.grad(logprob(way).sum(), way)
        mean = (weights[:, None] * g).sum(1) / 6000
        neurons = torch.einsum("bk,km,bm->kb", block.neurons[:, -1], block.w_out, mean)
        torch.testing.assert_close(path(run, "neuron")[f"L{i}.mlp"], neurons.detach(), **CLOSE)
        edges = torch.einsum("bhkm,bm->hkb", block.edges[:, :, -1], mean)
        torch.testing.assert_close(path(run, "edge")[f"L{i}.attn"], edges.detach(), **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "granite", "mixtral", "falcon"])
def test_with_the_norm_frozen_a_contrast_has_the_shares_of_direct_attribution(name):
    run = passes(name, change=plant_biases)[0]
    goal = same(run, [1], [4])
    for level in levels(run):
        wanted, found = (score_named(by).rows(run, goal, Choices(level, norm=n)) for by, n in (("dla", None), ("path", "final")))
        for write in run.stream.writes:
            torch.testing.assert_close(found[write.label], wanted[write.label], **TIGHT)


@pytest.mark.parametrize("name", ["mamba", "bert", "gpt2", "llama", "gemma2"])
def test_a_write_by_itself_has_its_log_probability_increase(name):
    run = passes(name, change=plant_biases)[0]
    wanted = score_named("logprob_increase").rows(run, same(run, [1], None), Choices())
    found = path(run, base="block" if name in ("mamba", "bert") else "before")  # one write in a block, or a norm between them
    for label in wanted.labels():
        torch.testing.assert_close(found[label], wanted[label], **CLOSE)


def test_what_its_block_gains_does_not_depend_on_what_else_is_asked():
    run = main("gpt2")
    places, ids = torch.tensor([[0, 4], [0, 5], [1, 2]]), torch.tensor([[3], [9], [7]])
    found = score_named("path").rows(run, made(places, ids, None, torch.Size([2]), places[:, 0]), Choices("neuron"))
    alone = [
        score_named("path").rows(run, made(p[None], i[None], None, torch.Size([1]), torch.tensor([0])), Choices("neuron")).tensor
        for p, i in zip(places, ids, strict=True)
    ]
    torch.testing.assert_close(found.tensor, torch.cat([alone[0] + alone[1], alone[2]], 1), **TIGHT)


READ = {"gpt2": Normed, "llama": Normed, "granite": Normed, "bert": ByRows, "vit": Whole}


RULES = {"own": {}, "final": {"norm": "final"}, "none": {"norm": "none"}, "no bias": {"norm_bias": False}}


@pytest.mark.parametrize(("name", "rule"), [(n, r) for n in READ for r in RULES if r == "own" or READ[n] is Normed])
@pytest.mark.parametrize("target", [([1], None), ([1, 0, 2], None), ([1, 2], [0, 1])], ids=["token", "any_of", "contrast"])
@torch.no_grad()
def test_slopes_are_those_of_finite_differences(name, rule, target):
    run, rules = passes(name, change=plant_biases)[0], RULES[rule]
    goal = same(run, *target)
    where = spots(run, goal.places)
    read, last = reading(run, where, **rules), len(run.stream.points) - 1
    assert isinstance(read, READ[name])
    every, x = torch.arange(2), where.of(run.point(last))
    step = 1e-4 * torch.randn_like(x) * x.abs().mean()
    ((value, g),) = slopes(read, [(last, every, x)], goal)
    low, high = read.values([(last, every, x - step), (last, every, x + step)], goal)
    torch.testing.assert_close((g * step).sum(-1), (high - low) / 2, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(value, read.values([(last, every, x)], goal)[0], **TIGHT)


def test_nodes_integrate_polynomials_exactly():
    nodes, weights = _gauss(8)
    for power in range(16):
        assert abs(float((weights * nodes**power).sum()) - 1 / (power + 1)) < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_rows_sum_in_low_precision(name, dtype):
    run = main(name, dtype)
    parts = path(run, "neuron")
    assert parts.error <= parts.bound < 1e-3
    assert any(g.kind == "rounding" for g in parts.groups) == (dtype == torch.bfloat16)
    torch.testing.assert_close(parts.whole, parts.tensor.sum(0), rtol=0, atol=1e-3)


def test_an_edit_on_the_way_is_a_row():
    from mainstem.stream import patches, take, zero
    from stream._runs import built, mapped

    module, args, kwargs = built("gpt2")
    run = take(module, mapped("gpt2"), args, kwargs, patches(mapped("gpt2"), zero("L0.resid_mid")))
    parts = path(run)
    assert "L0.resid_mid.edit" in list(parts.labels())
    assert parts.error <= bound(torch.float64, parts.tensor.abs().sum(0)) + 1e-5


def test_kinks_do_not_settle_and_unknown_bases_are_refused(monkeypatch):
    monkeypatch.setattr("mainstem.score._path._OPEN", 2)
    with pytest.raises(NotClosedError, match="does not settle within 1e-06 nats"):
        path(main("resnet"))
    with pytest.raises(InputError, match="not 'last'"):
        path(main("gpt2"), base="last")
