"""The logit lens is the model's own readout at every point, and its numbers are what one computes from those logits."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mainstem.core import InputError
from mainstem.find import find
from mainstem.score import Lens, lens
from mainstem.score._lens import _row
from mainstem.stream import Pass, take
from stream._runs import built, main, mapped, passes, plant_biases, returned
from zoo import ZOO

TIGHT = {"rtol": 1e-10, "atol": 1e-12}
LOGITS = sorted(set(ZOO) - {"tabular", "tabular_linear", "second_path"})  # those have one output
LAYER_NORM, RMS_NORM = ["gpt2", "gptj", "falcon"], ["llama", "mixtral", "gemma2", "granite"]


def some_target(run: Pass) -> Tensor:
    """A token for every place, not the same one everywhere."""
    shape = run.output().shape
    return torch.arange(shape[:-1].numel()).reshape(shape[:-1]) % shape[-1]


def looked(name: str, norm: str = "own") -> tuple[Pass, Lens]:
    run = main(name)
    return run, lens(run, some_target(run), norm)


def assert_holds(found: Lens, logits: Tensor, final: Tensor, target: Tensor, point: int) -> None:
    """Every number of the lens at a point, from logits computed elsewhere."""
    logp, last = logits.log_softmax(-1), final.log_softmax(-1)
    at = target[..., None]
    wanted = {
        "logit": logits.gather(-1, at)[..., 0],
        "logprob": logp.gather(-1, at)[..., 0],
        "top_logprob": logp.amax(-1),
        "entropy": torch.distributions.Categorical(logits=logits).entropy(),
        "kl": (last.exp() * (last - logp)).sum(-1),
        "rank": (logits > logits.gather(-1, at)).sum(-1),
    }
    for what, value in wanted.items():
        torch.testing.assert_close(
            getattr(found, what)[point], value, **(TIGHT if value.is_floating_point() else {"rtol": 0, "atol": 0})
        )
    assert torch.equal(found.tokens[point], logits.argmax(-1))


@pytest.mark.parametrize("name", LOGITS)
@pytest.mark.parametrize("norm", ["own", "final"])
def test_the_last_point_is_the_model_itself(name, norm):
    run, found = looked(name, norm)
    output = run.output()
    logp = output.log_softmax(-1)
    torch.testing.assert_close(found.logprob[-1], logp.gather(-1, some_target(run)[..., None])[..., 0], **TIGHT)
    assert torch.equal(found.tokens[-1], output.argmax(-1))
    assert float(found.kl[-1].abs().max()) < 1e-12
    assert found.points == tuple(p.name for p in run.stream.points)


def test_the_last_point_is_the_plain_forward_pass():
    run = main("llama", torch.float32)
    found = lens(run, some_target(run))
    logp = returned("llama", torch.float32).log_softmax(-1)
    torch.testing.assert_close(found.logprob[-1], logp.gather(-1, some_target(run)[..., None])[..., 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOGITS)
def test_divergence_is_never_negative_and_entropy_has_its_range(name):
    run, found = looked(name)
    classes = run.output().shape[-1]
    assert float(found.kl.min()) > -1e-12
    assert float(found.entropy.min()) >= 0
    assert float(found.entropy.max()) <= torch.tensor(float(classes)).log() + 1e-12
    assert int(found.rank.min()) >= 0
    assert int(found.rank.max()) < classes


@pytest.mark.parametrize("what", ["logit", "logprob", "top_logprob", "entropy", "kl", "rank"])
def test_a_wrong_number_of_the_lens_is_noticed(what):
    run = main("gpt2")
    target, logits = some_target(run), run.output()
    found, last = lens(run, target), len(run.stream.points) - 1
    assert_holds(found, logits, logits, target, last)
    spoiled = getattr(found, what).clone()
    spoiled[last, 0, 0] += 1
    with pytest.raises(AssertionError):
        assert_holds(replace(found, **{what: spoiled}), logits, logits, target, last)


@pytest.mark.parametrize("name", LAYER_NORM)
def test_every_point_through_the_last_norm_and_the_unembedding(name):
    run = passes(name, change=plant_biases)[0]
    module, target = run.module.requires_grad_(False), some_target(run)
    found = lens(run, target)
    for t in range(len(run.stream.points)):
        assert_holds(found, module.lm_head(module.transformer.ln_f(run.face(t))), run.output(), target, t)


@pytest.mark.parametrize("name", RMS_NORM)
def test_every_point_by_its_own_scale_also_where_the_norm_is_spelled_out(name):
    """These norms are x * rsqrt(mean(x^2) + eps): each point must be divided by its own size, not by the last one's."""
    run = main(name)
    module, target = run.module.requires_grad_(False), some_target(run)
    found, c = lens(run, target), module.config
    gain = module.model.norm.weight + (name == "gemma2")
    for t in range(len(run.stream.points)):
        x = run.face(t)
        logits = module.lm_head(x / (x.square().mean(-1, keepdim=True) + c.rms_norm_eps).sqrt() * gain)
        cap = getattr(c, "final_logit_softcapping", None)
        logits = logits / getattr(c, "logits_scaling", 1.0) if cap is None else cap * (logits / cap).tanh()
        assert_holds(found, logits, run.output(), target, t)


def test_the_norm_of_the_last_point_for_all():
    """norm="final": the last point's scale divides every point, so that the lens is affine in the point."""
    run = passes("gpt2", change=plant_biases)[0]
    module, target = run.module.requires_grad_(False), some_target(run)
    found, norm = lens(run, target, "final"), module.transformer.ln_f
    scale = (run.point(4).var(-1, correction=0, keepdim=True) + norm.eps).sqrt()
    for t in range(5):
        x = run.face(t)
        normed = (x - x.mean(-1, keepdim=True)) / scale * norm.weight + norm.bias
        assert_holds(found, module.lm_head(normed), run.output(), target, t)


def test_a_post_norm_model_is_read_after_its_norm():
    run = main("bert")
    module, target = run.module.requires_grad_(False), some_target(run)
    found = lens(run, target)
    norms = [module.bert.embeddings.LayerNorm]
    norms += [n for layer in module.bert.encoder.layer for n in (layer.attention.output.LayerNorm, layer.output.LayerNorm)]
    for t, norm in enumerate(norms):
        assert_holds(found, module.cls(norm(run.point(t))), run.output(), target, t)


def test_a_resnet_goes_through_the_shortcuts_that_follow():
    """Where a stage changes the shape, a point is carried by what carries the stream, without the blocks' branches."""
    run = main("resnet")
    module, found = run.module.requires_grad_(False), lens(main("resnet"), torch.tensor([2, 4]))
    shortcut, pool = module.resnet.encoder.stages[1].layers[0].shortcut, module.resnet.pooler
    for t in range(5):
        x = run.face(t)
        if t < 3:
            x = shortcut(x if t == 2 else step(module, x, t)).relu().relu()
        logits = module.classifier(pool(x))
        logp = logits.log_softmax(-1)
        torch.testing.assert_close(found.logprob[t], logp.gather(-1, torch.tensor([[2], [4]]))[:, 0], **TIGHT)
        assert torch.equal(found.tokens[t], logits.argmax(-1))


def step(module: nn.Module, x: Tensor, t: int) -> Tensor:
    """From the face of a point of the first stage to the face of its last one, with the branches left out."""
    if t == 0:
        x = module.resnet.encoder.stages[0].layers[0].shortcut(x).relu()
    return x.relu()


def test_the_rank_counts_those_above():
    run = main("gpt2")
    for kth in (0, 3, 49):
        target = run.output().argsort(-1, descending=True)[..., kth]
        assert bool((lens(run, target).rank[-1] == kth).all())


def test_tokens_that_are_ruled_out_add_nothing_and_what_is_no_number_stays_so():
    """A logit of -inf makes 0 log 0, which is 0; a logit that is no number is not."""
    logits = torch.tensor([[1.0, 2.0, -torch.inf], [0.5, torch.nan, 1.0]]).double()
    final = torch.tensor([[2.0, 0.0, -torch.inf], [0.0, 0.0, 0.0]]).double().log_softmax(-1)
    *_, entropy, kl = _row(logits, final, torch.tensor([0, 0]))
    p, q = logits[0, :2].softmax(-1), final[0, :2].exp()
    torch.testing.assert_close(entropy[0], -(p * p.log()).sum(), **TIGHT)
    torch.testing.assert_close(kl[0], (q * (q / p).log()).sum(), **TIGHT)
    assert bool(entropy[1].isnan())
    assert bool(kl[1].isnan())


def test_certain_points_give_numbers():
    """A probability of exactly 0 makes 0 log 0."""

    def sharpen(m: nn.Module) -> None:
        m.lm_head.weight.mul_(1e6)

    run = passes("llama", change=sharpen)[0]
    found = lens(run, some_target(run))
    assert bool(found.entropy.isfinite().all())
    assert float(found.entropy.min()) == 0.0
    assert bool((found.kl >= 0).all())


def test_another_norm_rule():
    with pytest.raises(InputError, match="no norm rule 'none'; there are own, final"):
        looked("gpt2", "none")


def test_low_precision_reads_in_float32():
    module, args, kwargs = built("gpt2", torch.bfloat16)
    run = take(module, mapped("gpt2"), args, kwargs)
    found = lens(run, some_target(run))
    assert found.logprob.dtype == torch.float32
    assert float(found.kl[-1].abs().max()) < 1e-3


def test_a_readout_that_adds_in_place():
    """What stood in the tensor before is what is added to, not what the run left there."""

    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.f, self.side, self.head = (nn.Linear(8, 8) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            stream = self.stem(x)
            stream = stream + self.f(stream.relu())
            out = self.side(x)
            out += stream
            return self.head(out.tanh())

    module, x = Added().double().eval(), torch.randn(4, 8).double()
    run = take(module, find(module, x), (x,), {})
    found = lens(run, run.output().argmax(-1))
    assert float(found.kl[-1].abs().max()) < 1e-12
