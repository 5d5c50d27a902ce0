"""A trace of one position: the output is computed there alone, and everything that is asked of it is what the whole trace says."""

from functools import cache

import pytest
import torch

import mainstem as ms
from zoo import ZOO, ids

PROMPTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]
NAMES = ["gpt2", "llama", "gemma2", "opt", "bert", "neox", "bloom", "falcon", "mixtral", "mamba"]
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@cache
def model(name: str) -> ms.Model:
    import transformers

    if name == "opt":
        torch.manual_seed(0)
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32}
        return ms.load(transformers.OPTForCausalLM(transformers.OPTConfig(**sizes, vocab_size=50, pad_token_id=1)).eval())
    return ms.load(ZOO[name]()[0])


@pytest.mark.parametrize("padding", ["right", "left"])
@pytest.mark.parametrize("position", [-1, 0, -2])
@pytest.mark.parametrize("name", NAMES)
def test_one_position_of_every_prompt(name, position, padding):
    if name == "mamba" and padding == "left":
        pytest.skip("a state that has read padding is another one")
    whole = model(name).trace(PROMPTS, padding=padding)
    one = model(name).trace(PROMPTS, padding=padding, positions=position)
    assert one.logits.shape == (3, 1, whole.logits.shape[-1])
    scores, wanted = one.scores(7, "head"), whole.scores(7, "head", positions=position)
    assert scores.positions == wanted.positions
    torch.testing.assert_close(scores.tensor, wanted.tensor, **CLOSE)
    torch.testing.assert_close(one.logits[:, 0, 7], scores.whole, **CLOSE)
    predicted, same = one.scores(), whole.scores(positions=position)
    assert predicted.target == same.target
    torch.testing.assert_close(predicted.tensor, same.tensor, **CLOSE)
    looked, every = one.lens(7), whole.lens(7)
    assert looked.values.tokens.shape[2] == 1
    for row, place in enumerate(scores.positions):
        torch.testing.assert_close(looked.values.logprob[:, row, 0], every.values.logprob[:, row, place], **CLOSE)
        assert [word for _, word, _ in looked.top(row)] == [word for _, word, _ in every.top(row, place)]
    frame = looked.frame()
    assert frame.filter(frame["point"] == "entry")["position"].to_list() == list(scores.positions)
    assert looked.to_dict(1)["tokens"] == [one.tokens[1][scores.positions[1]]]


def assert_alike(one: dict, other: dict) -> None:
    """The same words, with the same numbers up to rounding."""
    for end in ("first", "last"):
        assert [word for word, _ in one[end]] == [word for word, _ in other[end]]
        assert [v for _, v in one[end]] == pytest.approx([v for _, v in other[end]], rel=1e-4)


@pytest.mark.parametrize("other", [[("a", 1.0), ("c", 0.5)], [("a", 1.01), ("b", 0.5)], [("b", 0.5), ("a", 1.0)]])
def test_words_that_are_not_alike_are_noticed(other):
    one = {"first": [("a", 1.0), ("b", 0.5)], "last": []}
    assert_alike(one, one)
    with pytest.raises(AssertionError):
        assert_alike(one, one | {"first": other})


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_what_was_not_computed_is_when_it_is_asked_for(name):
    one, whole = model(name).trace(ids(), positions=-1), model(name).trace(ids())
    for position in (2, "all"):
        torch.testing.assert_close(one.scores(5, positions=position).tensor, whole.scores(5, positions=position).tensor, **CLOSE)
        torch.testing.assert_close(
            one.lens(5, positions=position).values.kl, whole.lens(5, positions=position).values.kl, **CLOSE
        )
    assert one.words("L1.mlp.N3", position=1).frame().equals(whole.words("L1.mlp.N3", position=1).frame())
    assert_alike(one.words("L1.mlp.N3", position=-1)["L1.mlp.N3"], whole.words("L1.mlp.N3", position=-1)["L1.mlp.N3"])
    assert one.summary(5, position=3) == whole.summary(5, position=3)
    assert one.logits.shape[1] == 1
    torch.testing.assert_close(one["L1.attn.H2"], whole["L1.attn.H2"], **CLOSE)
    torch.testing.assert_close(one.carry().sum(), one.logits, **CLOSE)


def test_the_last_words_are_of_the_position():
    one, whole = model("gpt2").trace(PROMPTS, positions=-1), model("gpt2").trace(PROMPTS)
    for prompt in range(3):
        assert_alike(*(t.words("L0.mlp.N3", prompt=prompt)["L0.mlp.N3"] for t in (one, whole)))


def test_a_position_that_is_not_there_is_said_at_once():
    with pytest.raises(ms.InputError, match="there is no position 2: the shortest prompt has 2 tokens"):
        model("gpt2").trace(PROMPTS, positions=2)
    lens = model("gpt2").trace(PROMPTS, positions=-1).lens()
    with pytest.raises(ms.InputError, match="this lens is of position 5 alone, not of 0"):
        lens.top(0, 0)


def test_edits_and_gradients_at_one_position():
    edit = ms.zero("L0.mlp")
    one, whole = (model("llama").trace(ids(), edits=edit, positions=p, grad=True) for p in (-1, None))
    torch.testing.assert_close(one.logits[:, 0], whole.logits[:, -1], **CLOSE)
    for trace in (one, whole):
        (gradient,) = torch.autograd.grad(trace.scores(5, "neuron").tensor.square().sum(), trace["L0.resid_mid"])
        trace.found = gradient
    torch.testing.assert_close(one.found, whole.found, **CLOSE)


def test_held_levels_are_asked_for_by_name(monkeypatch):
    held = model("gpt2").trace(ids(), levels=("head", "neuron"))
    one = model("gpt2").trace(ids(), levels="neuron", positions=-1)
    plain = model("gpt2").trace(ids())
    wanted = {level: plain.scores(5, level).tensor for level in ("head", "neuron")}
    monkeypatch.setattr(type(held.run.module), "forward", None)
    for level, values in wanted.items():
        torch.testing.assert_close(held.scores(5, level).tensor, values, **CLOSE)
    torch.testing.assert_close(one.scores(5, "neuron").tensor, wanted["neuron"], **CLOSE)
    with pytest.raises(TypeError):
        plain.scores(5, "head")


def test_levels_that_do_not_exist():
    with pytest.raises(ms.InputError, match="no level 'layer'"):
        model("gpt2").trace(ids(), levels="layer")


def test_a_classifier_has_no_position_to_cut():
    import transformers

    from zoo import SMALL

    torch.manual_seed(0)
    module = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL, num_labels=3)).eval()
    found = ms.load(module).trace(ids(), positions=-1)
    assert found.logits.shape == (2, 3)
    torch.testing.assert_close(found.scores(1, positions="all").whole, found.logits[:, 1], **CLOSE)
    with pytest.raises(ms.InputError, match="no positions to choose from"):
        found.scores(1)
