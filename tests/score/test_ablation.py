"""Ablation: a run without a part by hand, by `zero`, and by hooks that take the very vector out."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
import nets
from mainstem.core import InputError
from mainstem.find import find
from mainstem.find import run as find_run
from mainstem.score import Choices, score_named
from mainstem.stream import _without, patches, take, zero
from score.test_alternatives import made, same
from stream._hand import gpt2
from stream._runs import built, main, mapped, passes
from zoo import ids

TIGHT = {"rtol": 1e-9, "atol": 1e-11}


@cache
def effects(name: str, level: str, zeroed: str):
    run = main(name)
    return score_named("ablation").rows(run, same(run, [1], None), Choices(level, zeroed=zeroed))


def logprob(logits: Tensor) -> Tensor:
    last = logits[:, -1] if logits.ndim == 3 else logits
    return last.log_softmax(-1)[:, 1]


LABELS = {
    "gpt2": {"write": ("L0.mlp", "entry.pos", "entry.embed"), "head": ("L1.attn.H3",), "neuron": ("L0.mlp.N7", "L1.mlp.N100")},
    "llama": {"write": ("L1.attn",), "head": ("L0.attn.H2",), "neuron": ("L0.mlp.N41",)},
    "falcon": {"write": ("L0.mlp", "L0.attn"), "head": ("L1.attn.H0",), "neuron": ("L1.mlp.N9",)},
    "bert": {"write": ("L0.attn", "entry.type"), "head": ("L0.attn.H1",), "neuron": ("L1.mlp.N4",)},
    "mamba": {"write": ("L0.mixer",), "neuron": ("L0.mixer.N60",)},
    "granite": {"write": ("L0.mlp",), "neuron": ("L0.mlp.N5",)},
    "vit": {"head": ("L0.attn.H1",), "neuron": ("L1.mlp.N4",)},
    "resnet": {"write": ("L1.conv",), "neuron": ("L3.conv.N1",)},
}
CASES = [(name, level, label) for name, some in LABELS.items() for level, labels in some.items() for label in labels]


@pytest.mark.parametrize(("name", "level", "label"), CASES, ids=[f"{name}-{label}" for name, _, label in CASES])
def test_everywhere_it_is_a_run_with_the_part_zeroed(name, level, label):
    module, args, kwargs = built(name)
    edited = take(module, mapped(name), args, kwargs, patches(mapped(name), zero(label))).output()
    want = logprob(main(name).output()) - logprob(edited)
    found = effects(name, level, "everywhere")[label]
    torch.testing.assert_close(found, want, **TIGHT)
    assert float(want.abs().max()) > 1e-9


def without(where: nn.Module, vector: Tensor, args: tuple[Tensor, ...], module: nn.Module, place: int = -1) -> Tensor:
    """The logits with a vector taken out of what a module returns, at one place."""

    def hook(_: nn.Module, __: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        first = out[0] if isinstance(out, tuple) else out
        first = first.clone()
        first[:, place] -= vector
        return (first, *out[1:]) if isinstance(out, tuple) else first

    handle = where.register_forward_hook(hook)
    with torch.no_grad():
        logits = module(*args).logits
    handle.remove()
    return logits


def test_here_it_is_a_run_with_the_vector_taken_out_at_that_place():
    run = main("gpt2")
    module, args = run.module, run.args
    with torch.no_grad():
        block = gpt2(module, args[0])[0][0]
        cases = {
            "L0.mlp.N7": ("neuron", module.transformer.h[0].mlp, block.neurons[:, -1, 7, None] * block.w_out[7]),
            "L0.attn.H1<-2": ("edge", module.transformer.h[0].attn, block.edges[:, 1, -1, 2]),
            "L0.attn.H3.D5": ("dim", module.transformer.h[0].attn, block.dims[:, 3, 5, -1]),
            "L0.attn.H2": ("head", module.transformer.h[0].attn, block.edges[:, 2, -1].sum(1)),
        }
    for label, (level, where, vector) in cases.items():
        want = logprob(run.output()) - logprob(without(where, vector, args, module))
        torch.testing.assert_close(effects("gpt2", level, "here")[label], want, **TIGHT)
        assert float((effects("gpt2", level, "everywhere")[label] - want).abs().max()) > 1e-9


def test_one_expert_s_neuron_is_taken_out_alone():
    here, everywhere = (effects("mixtral", "neuron", zeroed)["L1.mlp"] for zeroed in ("here", "everywhere"))
    torch.testing.assert_close(here, everywhere, **TIGHT)  # in the last layer nothing reads the others
    assert float(here.abs().amax((1, 2)).min()) == 0.0 < float(here.abs().max())  # an expert that no last token chose


def test_a_score_at_each_place_needs_a_run_for_each():
    run = main("llama")
    every = score_named("ablation").rows(run, same(run, [1], None, every=True), Choices("head", zeroed="here"))
    places, tokens = torch.tensor([[0, 4], [0, 5], [1, 2]]), torch.tensor([[1], [1], [1]])
    goal = made(places, tokens, None, torch.Size([2]), places[:, 0])
    found = score_named("ablation").rows(run, goal, Choices("head", zeroed="here"))
    want = torch.stack([every.tensor[:, 0, 4] + every.tensor[:, 0, 5], every.tensor[:, 1, 2]], 1)
    torch.testing.assert_close(found.tensor, want, **TIGHT)


def test_an_edited_run_is_compared_with_itself():
    module, args, kwargs = built("gpt2")
    one, two = zero("L0.attn.H1"), zero("L1.mlp.N3")
    run, both = (take(module, mapped("gpt2"), args, kwargs, patches(mapped("gpt2"), e)) for e in (one, one + two))
    found = score_named("ablation").rows(run, same(run, [1], None), Choices("neuron"))
    torch.testing.assert_close(found["L1.mlp.N3"], logprob(run.output()) - logprob(both.output()), **TIGHT)


def test_a_run_of_one_position_says_the_same():
    module, args, kwargs = built("llama")
    run = take(module, mapped("llama"), args, kwargs, only=torch.tensor([6, 6]))
    assert run.cut is not None
    found = score_named("ablation").rows(run, same(main("llama"), [1], None), Choices("head"))
    torch.testing.assert_close(found.tensor, effects("llama", "head", "everywhere").tensor, **TIGHT)


class Picky(nn.Module):
    """Shared blocks that read the number of prompts: `mean` mixes prompts, `most` refuses too many."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind, self.rows = nets.Shared(), kind, 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows = max(self.rows, len(x))
        if self.kind == "most" and len(x) > 2:
            raise ValueError("two prompts at most")
        out = self.inner(x)
        return out + (0.1 * len(x) if self.kind == "mean" else 0) * out.detach().roll(1, -1)


@pytest.mark.parametrize("kind", ["most", "mean"])
def test_where_repeated_prompts_are_not_taken_each_part_has_its_own_run(kind):
    torch.manual_seed(0)
    module = Picky(kind).double().eval()
    prompts = ids(2, 5, 20)
    run = take(module, find(module, prompts), (prompts,), {})
    found = score_named("ablation").rows(run, same(run, [1], None), Choices("neuron"))
    write = run.stream.writes[0]
    for k in (0, 5, 31):
        edited = take(module, run.map, (prompts,), {}, patches(run.map, zero(f"{write.label}.N{k}")))
        torch.testing.assert_close(found[write.label][k], logprob(run.output()) - logprob(edited.output()), **TIGHT)


def test_as_many_are_made_in_one_pass_as_there_is_room_for(monkeypatch):
    run, passed, wanted = passes("llama")[0], [], effects("llama", "head", "everywhere").tensor
    monkeypatch.setattr(_without, "run", lambda *args, **kwargs: passed.append(1) or find_run(*args, **kwargs))
    for room in (1, 3, 64):
        passed.clear()
        monkeypatch.setattr(_without, "MOST", room)
        found = score_named("ablation").rows(run, same(run, [1], None), Choices("head"))
        torch.testing.assert_close(found.tensor, wanted, **TIGHT)
        assert len(passed) == 1 + 2 + 2 * -(-4 // room)  # the entry, both MLPs, the heads


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_low_precision_says_nearly_the_same(dtype):
    run = main("llama", dtype)
    found = score_named("ablation").rows(run, same(run, [1], None), Choices("head")).tensor
    close = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(found, effects("llama", "head", "everywhere").tensor, rtol=0, atol=close)


def test_from_the_door():
    trace = ms.load("tiny").trace("The capital of France is")
    plain = trace.scores(by="ablation", level="head", zeroed="here")
    assert plain.choices["zeroed"] == "here" and plain.choices["additive"] is False
    with pytest.raises(InputError, match="zeroed is 'everywhere' or 'here', not 'there'"):
        trace.scores(by="ablation", zeroed="there")
    with pytest.raises(InputError, match="by='dla' has no choice of zeroed"):
        trace.scores(zeroed="here")
