"""Sequences: what is scored is what the module says of prompt and tokens together, each prompt by itself, whatever the padding."""

from functools import cache

import pytest
import torch
import transformers
from torch import Tensor, nn

import mainstem as ms
import real
from mainstem.models import Inputs
from zoo import SMALL, ZOO, ids, pixels

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]
TOKENS = [[4, 9, 21], [7, 30], [2, 5, 6, 1]]
NAMES = ["gpt2", "llama", "gemma2", "neox", "bloom", "falcon", "mixtral", "mamba"]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TIGHT = {"rtol": 1e-9, "atol": 1e-10}


@cache
def model(name: str, dtype: torch.dtype = torch.float32) -> ms.Model:
    return ms.load(name if name == "default" else ZOO[name]()[0], dtype=dtype)


def by_hand(module: nn.Module, prompt: list[int], tokens: list[int]) -> tuple[Tensor, Tensor]:
    """The oracle: one prompt, no padding, the module itself; the sum of the tokens' logits, and of their log-probabilities."""
    with torch.no_grad():
        logits = getattr(out := module(torch.tensor([prompt + tokens[:-1]])), "logits", out)[0]
    at, wanted = range(len(prompt) - 1, len(prompt) - 1 + len(tokens)), torch.tensor(tokens)
    return tuple(rows[at, wanted].sum() for rows in (logits, logits.log_softmax(-1)))


def every(module: nn.Module, prompts: list[list[int]], tokens: list[list[int]]) -> tuple[Tensor, Tensor]:
    logits, logprobs = zip(*(by_hand(module, *pair) for pair in zip(prompts, tokens, strict=True)), strict=True)
    return torch.stack(logits), torch.stack(logprobs)


def logprob(trace: ms.Trace, target: object, positions: object = None) -> Tensor:
    """What scores of log-probabilities start from."""
    longer, goal = trace._aimed(target, positions)
    return goal.total(goal.value(goal.logits(longer.logits)))


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("name", NAMES)
def test_each_prompt_says_what_it_says_alone(name, padding):
    if name == "mamba" and padding == "left":
        pytest.skip("a state that has read padding is another one")
    trace = model(name).trace(PROMPTS, padding=padding)
    logits, logprobs = every(model(name).module, PROMPTS, TOKENS)
    for level in ("write", "neuron", "edge"):
        found = trace.scores(ms.sequence(TOKENS), level)
        torch.testing.assert_close(found.whole, logits, **CLOSE)
        torch.testing.assert_close(found.sum(), logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logprob(trace, ms.sequence(TOKENS)), logprobs, **CLOSE)


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "bloom", "falcon"])
def test_in_float64_to_rounding(name):
    """Against a trace of the longer prompt, since norms in these modules take float32 inside, and a trace does not."""
    trace = model(name, torch.float64).trace(PROMPTS[0])
    rows = model(name, torch.float64).trace(PROMPTS[0] + TOKENS[0][:-1]).logits[0, 5:]
    logits, logprobs = (values[range(3), TOKENS[0]].sum()[None] for values in (rows, rows.log_softmax(-1)))
    torch.testing.assert_close(trace.scores(ms.sequence(TOKENS[0]), "neuron").sum(), logits, **TIGHT)
    torch.testing.assert_close(logprob(trace, ms.sequence(TOKENS[0])), logprobs, **TIGHT)


@pytest.mark.parametrize("padding", ["right", "left"])
def test_rows_are_those_of_each_prompt_alone(padding):
    together = model("llama").trace(PROMPTS, padding=padding).scores(ms.sequence(TOKENS), "edge")
    for row, (prompt, tokens) in enumerate(zip(PROMPTS, TOKENS, strict=True)):
        alone, both = model("llama").trace(prompt).scores(ms.sequence(tokens), "edge"), together.prompt(row)
        n, width = len(prompt) + len(tokens) - 1, len(both.tokens[0])
        own = slice(width - n, width) if padding == "left" else slice(0, n)
        assert alone.tokens[0] == both.tokens[0][own]
        for mine, theirs in zip(alone.parts.groups, both.parts.groups, strict=True):
            values = theirs.values[:, own] if "key_pos" in theirs.axes else theirs.values
            torch.testing.assert_close(values, mine.values, rtol=1e-4, atol=1e-5)


def test_a_sequence_is_the_sum_of_its_tokens():
    """Each of them at its own place of the longer prompt."""
    found = model("gpt2").trace(PROMPTS[0]).scores(ms.sequence(TOKENS[0]), "neuron")
    longer = model("gpt2").trace(PROMPTS[0] + TOKENS[0][:-1])
    start = len(PROMPTS[0]) - 1
    each = [longer.scores(token, "neuron", positions=start + i).tensor for i, token in enumerate(TOKENS[0])]
    torch.testing.assert_close(found.tensor, sum(each), **CLOSE)


def test_the_result_is_of_the_longer_prompt():
    trace = real.model("default").trace(["The capital of France is", "The capital of Japan, France and Italy is"])
    found = trace.scores(ms.sequence(" the city of Paris"), "edge")
    assert "".join(found.tokens[0]).startswith("The capital of France is the city of")
    assert found.positions == (4, 8)
    assert len(found.tokens[0]) == found["L0.attn.H0"].shape[0] == 9 + 3
    assert found.target == "logit of ' the' ' city' ' of' ' Paris'"
    assert found.mask.sum(1).tolist() == [8, 12]
    frame = found.frame()
    first = frame.filter(frame["prompt"] == 0)
    assert set(first["position"]) == {4} and set(first.filter(first["key_pos"].is_null())["token"]) == {" is"}
    assert trace.tokens[0][-1] == trace.word(real.model("default").loaded.codec.pad)
    assert found.prompt(1).top(3) == trace.scores(ms.sequence(" the city of Paris"), "edge").prompt(1).top(3)


def test_a_text_is_read_behind_its_prompt():
    model, prompt = real.model("default"), "The capital of France is"
    trace, tokens = model.trace([prompt, prompt + " not"]), model.ids(" the city")
    found = trace.scores(ms.sequence(" the city"))
    torch.testing.assert_close(found.whole, trace.scores(ms.sequence(tokens)).whole)
    prompts = [model.ids(prompt), model.ids(prompt + " not")]
    torch.testing.assert_close(found.whole, every(model.module, prompts, [tokens] * 2)[0], **CLOSE)
    each = trace.scores(ms.sequence([" the city", " Paris"]))
    assert each.target == ("logit of ' the' ' city'", "logit of ' Paris'")
    torch.testing.assert_close(each.whole, every(model.module, prompts, [tokens, model.ids(" Paris")])[0], **CLOSE)


@pytest.mark.parametrize("made", [None, -1, 2, "all"])
def test_at_another_place_what_stood_behind_is_left_away(made):
    trace = model("llama").trace(PROMPTS[0], positions=made)
    found = trace.scores(ms.sequence(TOKENS[0]), positions=2)
    torch.testing.assert_close(found.whole, every(model("llama").module, [PROMPTS[0][:3]], TOKENS[:1])[0], **CLOSE)
    assert found.positions == (2,) and len(found.tokens[0]) == 5


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("place", [0, 1, -2])
def test_places_are_counted_in_the_prompt_itself(place, padding):
    trace = model("gpt2").trace(PROMPTS, padding=padding, positions=place)
    cut = [prompt[: (place if place >= 0 else len(prompt) + place) + 1] for prompt in PROMPTS]
    found = trace.scores(ms.sequence(TOKENS))
    torch.testing.assert_close(found.whole, every(model("gpt2").module, cut, TOKENS)[0], **CLOSE)


def test_one_token_is_the_token():
    trace = model("gpt2").trace(PROMPTS)
    one, token = trace.scores(ms.sequence([[5], [6], [7]]), "head"), trace.scores([5, 6, 7], "head")
    assert torch.equal(one.tensor, token.tensor) and one.tokens == token.tokens
    assert torch.equal(trace.scores(ms.sequence(5)).tensor, trace.scores(5).tensor)
    mixed = trace.scores(ms.sequence(torch.tensor([[5, 6]] * 3)))
    torch.testing.assert_close(mixed.whole, every(model("gpt2").module, PROMPTS, [[5, 6]] * 3)[0], **CLOSE)


def test_a_decoder_is_given_more_to_say():
    module, _, inputs = ZOO["t5"]()
    trace = ms.load(module).trace(inputs["input_ids"], decoder_input_ids=inputs["decoder_input_ids"])
    found = trace.scores(ms.sequence(TOKENS[:2]), "neuron")
    for row, tokens in enumerate(TOKENS[:2]):
        start = inputs["decoder_input_ids"][row : row + 1]
        longer = torch.cat([start, torch.tensor([tokens[:-1]])], 1)
        with torch.no_grad():
            logits = module(input_ids=inputs["input_ids"][row : row + 1], decoder_input_ids=longer).logits[0, 4:]
        torch.testing.assert_close(found.whole[row], logits[range(len(tokens)), tokens].sum(), **CLOSE)
    torch.testing.assert_close(found.sum(), found.whole, rtol=1e-4, atol=1e-4)


def test_edits_and_gradients_go_along():
    edited = model("llama").trace(PROMPTS[0], edits=ms.zero("L0.mlp"))
    plain = model("llama").trace(PROMPTS[0])
    with model("llama").edited(ms.zero("L0.mlp")):
        longer = model("llama").trace(PROMPTS[0] + TOKENS[0][:-1])
    wanted = longer.logits[0, range(5, 8), TOKENS[0]].sum()
    torch.testing.assert_close(edited.scores(ms.sequence(TOKENS[0])).whole[0], wanted, **CLOSE)
    assert not torch.allclose(plain.scores(ms.sequence(TOKENS[0])).whole[0], wanted)
    weight = model("llama").module.lm_head.weight
    whole = model("llama").trace(PROMPTS[0], grad=True).scores(ms.sequence(TOKENS[0])).whole
    logits = model("llama").module(torch.tensor([PROMPTS[0] + TOKENS[0][:-1]])).logits
    grads = [torch.autograd.grad(v.sum(), weight)[0] for v in (whole, logits[0, range(5, 8), TOKENS[0]])]
    torch.testing.assert_close(*grads, **CLOSE)


def test_the_longer_run_is_made_once(monkeypatch):
    trace = model("gpt2").trace(PROMPTS[0])
    trace.scores(ms.sequence(TOKENS[0]))
    monkeypatch.setattr(type(trace.run.module), "forward", None)
    trace.scores(ms.sequence(TOKENS[0]))
    trace.scores(ms.sequence([*TOKENS[0][:-1], 33]))
    with pytest.raises(TypeError):
        trace.scores(ms.sequence([33, *TOKENS[0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_model_that_reads_both_ways_is_refused(dtype):
    trace = model("bert", dtype).trace(PROMPTS)
    with pytest.raises(ms.InputError, match="this model's output reads later tokens: with another one behind it moves by"):
        trace.scores(ms.sequence(TOKENS))
    assert trace.scores(ms.sequence([[5], [6], [7]])).positions == (5, 1, 3)


@pytest.mark.parametrize("name", ["gpt2", "llama", "default"])
def test_low_precision_is_not_taken_for_reading_ahead(name):
    found = model(name, torch.bfloat16).trace(PROMPTS).scores(ms.sequence(TOKENS), "neuron")
    assert found.error <= found.bound
    torch.testing.assert_close(
        found.whole, every(model(name, torch.bfloat16).module, PROMPTS, TOKENS)[0].float(), rtol=0.02, atol=0.2
    )


class Leak(nn.Module):
    """A causal model whose logits take a little of the next token's."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.inner, self.by, self.config = ZOO["gpt2"]()[0], by, None

    def forward(self, input_ids: Tensor) -> Tensor:
        logits = self.inner(input_ids).logits
        return logits + self.by * torch.nn.functional.pad(logits[:, 1:], (0, 0, 0, 1))


def test_a_little_that_leaks_is_noticed():
    tight = ms.load(Leak(0.0)).trace(PROMPTS[0]).scores(ms.sequence(TOKENS[0]))
    torch.testing.assert_close(tight.whole, every(model("gpt2").module, PROMPTS[:1], TOKENS[:1])[0], **CLOSE)
    with pytest.raises(ms.InputError, match="reads later tokens"):
        ms.load(Leak(1e-3)).trace(PROMPTS[0]).scores(ms.sequence(TOKENS[0]))


def test_inputs_that_go_along_with_the_tokens():
    module, longer = model("gpt2").module, PROMPTS[0] + TOKENS[0][:-1]
    ones = torch.ones(1, 6, dtype=torch.long)
    places = torch.arange(6)[None] + 2
    trace = ms.load(module).trace(PROMPTS[0], attention_mask=ones, position_ids=places)
    with torch.no_grad():
        wanted = module(torch.tensor([longer]), position_ids=torch.arange(8)[None] + 2).logits[0, range(5, 8), TOKENS[0]].sum()
    torch.testing.assert_close(trace.scores(ms.sequence(TOKENS[0])).whole[0], wanted, **CLOSE)
    kinds = ms.load(module).trace(PROMPTS[0], token_type_ids=ones)
    with pytest.raises(ms.InputError, match="token_type_ids goes along with the tokens, which a sequence makes more"):
        kinds.scores(ms.sequence(TOKENS[0]))


def test_a_mask_with_holes_is_kept():
    mask = torch.tensor([[1, 1, 0, 1, 1, 1]])
    module = model("gpt2").module
    found = ms.load(module).trace(PROMPTS[0], attention_mask=mask).scores(ms.sequence(TOKENS[0]))
    longer = torch.cat([mask, torch.ones(1, 2).long()], 1)
    with torch.no_grad():
        logits = module(torch.tensor([PROMPTS[0] + TOKENS[0][:-1]]), attention_mask=longer).logits
    torch.testing.assert_close(found.whole[0], logits[0, range(5, 8), TOKENS[0]].sum(), **CLOSE)


def test_models_that_predict_no_tokens():
    with pytest.raises(ms.InputError, match="token after token: this model's output has no positions of tokens it reads"):
        ms.load(ZOO["vit"]()[0]).trace(pixels(size=16)).scores(ms.sequence([1, 2]))
    torch.manual_seed(0)
    classes = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, num_labels=3)).eval()
    with pytest.raises(ms.InputError, match="token after token: this model's output has no positions"):
        ms.load(classes).trace(ids()).scores(ms.sequence([1, 2]))
    bare = transformers.GPT2Model(transformers.GPT2Config(vocab_size=4096, n_embd=32, n_layer=2, n_head=4)).eval()
    made = ms.load(bare, tokenizer=ms.load("default").loaded.codec.tokenizer)
    with pytest.raises(ms.InputError, match="token after token: this model has no vocabulary readout"):
        made.trace("The capital").scores(ms.sequence(" of France"))


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([[1, 2], [3]], "2 sequences for 3 prompts: give one for all, or one for each"),
        ([4, 50], "there is no target 50: the output has 50 entries"),
        ([4, -1], "there is no target -1"),
        (" the capital", "text needs a tokenizer: give ' the capital' as ids"),
    ],
)
def test_sequences_that_do_not_exist(tokens, said):
    with pytest.raises(ms.InputError, match=said):
        model("gpt2").trace(PROMPTS).scores(ms.sequence(tokens))


def test_places_and_lengths_that_a_sequence_cannot_have():
    with pytest.raises(ms.InputError, match="a sequence is scored where it begins, one place of each prompt"):
        model("gpt2").trace(PROMPTS).scores(ms.sequence(TOKENS), positions="all")
    made = ms.load("default")
    with pytest.raises(ms.InputError, match="this model reads at most"):
        made.trace("The capital of France is").scores(ms.sequence(" the" * (made.loaded.codec.limit + 1)))
    long = [1] * 62
    with pytest.raises(ms.InputError, match="the model cannot run this input"):
        model("gpt2").trace(long).scores(ms.sequence([1, 2, 3, 4]))
    torch.testing.assert_close(
        model("gpt2").trace(long).scores(ms.sequence([1, 2, 3])).whole,
        every(model("gpt2").module, [long], [[1, 2, 3]])[0],
        **CLOSE,
    )


def test_the_lens_and_the_page_are_of_one_place():
    trace = model("gpt2").trace(PROMPTS[0])
    with pytest.raises(ms.InputError, match="the lens follows one token; score a contrast, alternatives or a sequence with"):
        trace.lens(ms.sequence(TOKENS[0]))
    with pytest.raises(ms.InputError, match="a summary is of one token or a contrast of two"):
        trace.summary(ms.sequence(TOKENS[0]))


def test_what_is_known_of_the_longer_input():
    """So that the tests above see padding on the side where it was."""
    for padding in ("right", "left"):
        trace = model("gpt2").trace(PROMPTS, padding=padding)
        inputs: Inputs = trace._aimed(ms.sequence(TOKENS), None)[0]._inputs
        real = [row[kept.bool()].tolist() for row, kept in zip(inputs.ids, inputs.mask, strict=True)]
        assert real == [p + t[:-1] for p, t in zip(PROMPTS, TOKENS, strict=True)]
        edge = inputs.mask[:, 0 if padding == "left" else -1]
        assert edge.tolist() == [1, 0, 0]
