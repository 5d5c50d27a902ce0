"""Padding changes nothing: prompts of different lengths together are each what they are alone, on either side."""

from functools import cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

import mainstem as ms
from nets import Experts, Shared
from zoo import SMALL, ZOO

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "ffn_dim": 48,
    "vocab_size": 50,
    "word_embed_proj_dim": 32,
}
NAMES = ["gpt2", "gpt2_eager", "llama", "llama_eager", "mistral", "opt", "bert", "neox", "bloom", "falcon", "mixtral", "default"]
SIDES = ["right", "left"]
LEVELS = ["write", "head", "edge", "dim", "neuron"]
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def module(name: str) -> nn.Module | str:
    """A small random model, or the name of the embedded one."""
    torch.manual_seed(0)
    if name == "default":
        return name
    if name == "opt":
        return transformers.OPTForCausalLM(transformers.OPTConfig(**SIZES, pad_token_id=1)).eval()
    if name == "mistral":
        config = transformers.MistralConfig(**SMALL, num_key_value_heads=2, head_dim=8, sliding_window=3)
        return transformers.MistralForCausalLM(config).eval()
    made = ZOO[name.removesuffix("_eager")]()[0]
    if name.endswith("_eager"):
        made.set_attn_implementation("eager")
    return made


@cache
def model(name: str) -> ms.Model:
    return ms.load(module(name))


@cache
def together(name: str, side: str) -> ms.Trace:
    return model(name).trace(PROMPTS, padding=side)


@cache
def alone(name: str) -> list[ms.Trace]:
    return [model(name).trace(prompt) for prompt in PROMPTS]


def real(side: str, row: int) -> slice:
    """Where a prompt's own tokens stand in the batch."""
    width, n = max(map(len, PROMPTS)), len(PROMPTS[row])
    return slice(width - n, width) if side == "left" else slice(0, n)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NAMES)
def test_the_batch_says_what_each_prompt_says(name, side):
    for row, one in enumerate(alone(name)):
        at = real(side, row)
        torch.testing.assert_close(together(name, side).logits[row, at], one.logits[0], **CLOSE)
        for point in [p.name for p in one.stream.points]:
            torch.testing.assert_close(together(name, side)[point][row, at], one[point][0], **CLOSE)
        for write in one.stream.writes:
            torch.testing.assert_close(together(name, side)[write.label][row, at], one[write.label][0], **CLOSE)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", NAMES)
def test_patterns_look_at_no_padding(name, side):
    for layer in range(2):
        pattern = together(name, side).pattern(layer)
        for row, one in enumerate(alone(name)):
            at, own = real(side, row), pattern[row][:, real(side, row)]
            torch.testing.assert_close(own[:, :, at], one.pattern(layer)[0], **CLOSE)
            outside = torch.ones(pattern.shape[-1], dtype=torch.bool)
            outside[at] = False
            assert float(own[:, :, outside].abs().sum()) == 0.0
        assert bool(pattern.isfinite().all())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "opt", "mixtral", "default"])
def test_scores_of_the_last_real_token(name, side, level):
    batch = together(name, side).scores(7, level)
    assert batch.error <= batch.bound
    for row, one in enumerate(alone(name)):
        own, both = one.scores(7, level), batch.prompt(row)
        at = real(side, row)
        assert own.positions == (len(PROMPTS[row]) - 1,)
        assert both.positions == (at.stop - 1,)
        torch.testing.assert_close(both.whole, own.whole, **CLOSE)
        for mine, theirs in zip(own.parts.groups, both.parts.groups, strict=True):
            wanted = theirs.values[:, at] if "key_pos" in theirs.axes else theirs.values
            torch.testing.assert_close(wanted, mine.values, **CLOSE)
            if "key_pos" in theirs.axes:
                torch.testing.assert_close(theirs.values.sum(1), mine.values.sum(1), **CLOSE)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert"])
def test_scores_at_every_position(name, side):
    batch = together(name, side).scores(7, "head", positions="all")
    for row, one in enumerate(alone(name)):
        torch.testing.assert_close(
            batch.tensor[:, row, real(side, row)], one.scores(7, "head", positions="all").tensor[:, 0], **CLOSE
        )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "default"])
def test_lens_and_words(name, side):
    batch = together(name, side).lens(7).values
    for row, one in enumerate(alone(name)):
        at, own = real(side, row), one.lens(7).values
        for what in ("logit", "logprob", "entropy", "kl", "top_logprob"):
            torch.testing.assert_close(getattr(batch, what)[:, row, at], getattr(own, what)[:, 0], **CLOSE)
        mine, theirs = one.words("L1.mlp.N3", 5), together(name, side).words("L1.mlp.N3", 5, prompt=row)
        assert [w for w, _ in mine.first] == [w for w, _ in theirs.first]


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "default"])
@pytest.mark.parametrize("place", [0, 1, -1, -2])
def test_places_are_counted_in_the_prompt_itself(name, place):
    for side in SIDES:
        batch = together(name, side).scores(7, positions=place)
        for row, one in enumerate(alone(name)):
            torch.testing.assert_close(batch.prompt(row).whole, one.scores(7, positions=place).whole, **CLOSE)
    with pytest.raises(ms.InputError, match=r"there is no position 2: the shortest prompt has 2 tokens"):
        together(name, "left").scores(7, positions=2)


def test_the_model_alone_agrees_where_the_library_is_asked_by_hand():
    """Against transformers' own forward pass with mask and positions, nothing of ours around it."""
    made = module("llama")
    width = max(map(len, PROMPTS))
    ids = torch.tensor([[0] * (width - len(p)) + p for p in PROMPTS])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in PROMPTS])
    with torch.no_grad():
        wanted = made(ids, attention_mask=mask, position_ids=(mask.cumsum(1) - 1).clamp_min(0)).logits
    found = ms.load(made).trace(PROMPTS, padding="left").logits
    torch.testing.assert_close(found[mask.bool()], wanted[mask.bool()], rtol=0, atol=0)


def test_rows_that_may_look_at_nothing_are_zero_or_finite():
    """Left of a left-padded prompt a query has no key at all."""
    for name in ("gpt2", "llama", "llama_eager", "mistral", "opt"):
        trace = together(name, "left")
        padded = trace.pattern(0)[1, :, 0]
        assert bool(trace.logits.isfinite().all())
        assert bool(padded.isfinite().all())
        total = trace.scores(7, "edge", positions="all")
        assert total.error <= total.bound


@pytest.mark.parametrize("name", ["gpt2", "llama", "mamba"])
def test_a_batch_of_one_length_needs_no_mask(name):
    made = model(name)
    batch = made.trace([[1, 2, 3], [4, 5, 6]])
    for row, prompt in enumerate(([1, 2, 3], [4, 5, 6])):
        torch.testing.assert_close(batch.logits[row], made.trace(prompt).logits[0], **CLOSE)


def test_short_prompts_that_take_another_way_into_a_write():
    """Shorter than its window, attention has no mask and repeats no key; a loop over experts calls those that were chosen."""
    mistral = model("mistral")
    mistral.trace([3, 14, 15, 9, 26, 5])
    for prompt in ([35, 8], [9, 7, 9, 3]):
        fresh = ms.load(module("mistral"))
        fresh.map_with(input_ids=torch.tensor([prompt]))
        torch.testing.assert_close(mistral.trace(prompt).pattern(0), fresh.trace(prompt).pattern(0), rtol=0, atol=0)
    experts = ms.load(Experts().eval())
    experts.trace(list(range(1, 20)))
    for prompt in ([1, 1], [2, 5], [7, 7, 7, 7]):
        trace = experts.trace(prompt)
        assert len(trace.scores(3, "neuron")) > 3
        torch.testing.assert_close(trace.scores(3, "neuron").sum(), trace.logits[:, -1, 3], **CLOSE)


def test_a_module_without_a_mask_takes_one_length_at_a_time():
    made = ms.load(Shared().eval())
    assert made.trace([[1, 2, 3], [4, 5, 6]]).logits.shape == (2, 3, 20)
    with pytest.raises(ms.InputError, match="takes no attention_mask"):
        made.trace([[1, 2, 3], [4, 5]])


def test_texts_are_padded_too():
    made = model("default")
    prompts = ["The capital of France is", "The capital of Japan is the city of"]
    for side in SIDES:
        batch = made.trace(prompts, padding=side)
        for row, prompt in enumerate(prompts):
            one = made.trace(prompt)
            torch.testing.assert_close(batch.scores(None).prompt(row).whole, one.scores(None).whole, **CLOSE)
            kept = [piece for piece, n in zip(batch.tokens[row], mask(batch)[row], strict=True) if n]
            assert "".join(kept) == "".join(one.tokens[0])


def mask(trace: ms.Trace) -> Any:
    """Where the prompts' own tokens stand."""
    found: Tensor | None = trace._inputs.mask
    assert found is not None
    return found.tolist()
