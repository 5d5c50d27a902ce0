"""A target's text is cut into tokens behind the prompt that it continues, where that is known, and by itself elsewhere."""

from functools import cache

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import mainstem as ms
import real
from models._makes import byte_level
from zoo import SMALL

PROMPT = "The capital of France is"


@cache
def default() -> ms.Model:
    return real.model("default")


@cache
def spelled() -> ms.Model:
    """A small model behind a tokenizer that merges " the" in steps."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=270, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level())
    return ms.load(transformers.GPT2LMHeadModel(config).eval(), tokenizer=wrapped)


def test_a_space_at_the_prompts_end_is_told_and_the_fix_is_one():
    said = (
        r"the target 'Paris' does not begin a token behind this prompt: the prompt ends in ' ', which together become ' Paris'\. "
        r"End the prompt with 'of France is' and give ' Paris', or give its id\."
    )
    trace = default().trace([PROMPT + " "])
    for target in ("Paris", ["Paris"], ms.contrast("Paris", 5), ms.any_of("Paris", 5)):
        with pytest.raises(ms.InputError, match=said):
            trace.scores(target)
    with pytest.raises(ms.InputError, match="the sequence 'Paris, the' does not begin .* give ' Paris, the', or give its id"):
        trace.scores(ms.sequence("Paris, the"))
    assert default().trace(PROMPT).scores(" Paris").target == "logit of ' Paris'"
    paris = trace.index(" Paris")
    assert trace.scores(paris).target == "logit of ' Paris'"


def test_a_text_that_would_be_a_token_by_itself():
    trace = spelled().trace("the t")
    with pytest.raises(
        ms.InputError, match=r"ends in ' t', which together become ' the'\. End the prompt with 'the' and give ' the'"
    ):
        trace.scores("he")
    by_itself = spelled().trace(spelled().ids("the t"))
    assert by_itself.scores("h").target == "logit of 'h'"
    with pytest.raises(ms.InputError, match="the target 'he' is 2 tokens here"):
        by_itself.scores("he")


def test_where_the_prompt_is_not_known_or_goes_on_a_text_is_by_itself():
    merged = "th"
    assert spelled().trace("the the").scores(merged).target == "logit of 'th'"
    ends = spelled().trace("the ")
    with pytest.raises(ms.InputError, match="does not begin a token behind this prompt"):
        ends.scores(merged)
    assert ends.scores(merged, positions=0).target == "logit of 'th'"
    assert ends.scores(merged, positions="all").target == "logit of 'th'"
    assert spelled().trace(spelled().ids("the ")).scores(merged).target == "logit of 'th'"
    assert ends.lens(merged).values.target.unique().tolist() == [ends.index(merged)]


@pytest.mark.parametrize("positions", [None, -1])
@pytest.mark.parametrize("padding", ["right", "left"])
def test_every_prompt_of_a_batch_is_looked_at(padding, positions):
    trace = spelled().trace(["the the", "the", "the "], padding=padding, positions=positions)
    with pytest.raises(ms.InputError, match="the prompt ends in ' ', which together become ' th'"):
        trace.scores("th")
    fine = spelled().trace(["the the", "the", "th"], padding=padding, positions=positions)
    assert fine.scores(" the").target == "logit of ' the'"
    with pytest.raises(ms.InputError, match="the prompt ends in 'th', which together become 'the'"):
        fine.scores("e")


def test_a_prompt_that_a_token_of_another_kind_ends():
    """BERT's [SEP]: no text goes on there, and a text is cut by itself."""
    names = ["[PAD]", "[UNK]", "[MASK]", "[SEP]", "a", "b", "c"]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(names)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=[("[SEP]", 3)])
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    found = ms.load(transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).eval(), tokenizer=tokenizer)
    scores = found.trace(["a b c", "a [MASK] c"]).scores("b")
    assert scores.positions == (3, 1) and scores.target == "logit of 'b'"


def framed(single: str) -> ms.Model:
    """A small model whose prompts begin or end with a token of their own."""
    made = byte_level()
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("a", made.token_to_id("a"))])
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=270, n_embd=32, n_layer=2, n_head=4, n_positions=64)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=made)
    return ms.load(transformers.GPT2LMHeadModel(config).eval(), tokenizer=wrapped)


def test_what_the_models_own_prompts_begin_and_end_with():
    begun, ended = framed("a $A").trace("the "), framed("$A a").trace("the ")
    assert begun.tokens[0][0] == ended.tokens[0][-1] == "a"
    with pytest.raises(ms.InputError, match="which together become ' th'"):
        begun.scores("th")
    assert ended.scores("th").target == "logit of 'th'"


def test_a_text_that_was_read_by_the_encoder_is_not_what_goes_on():
    torch.manual_seed(0)
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    module = transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=270, **sizes, decoder_start_token_id=0))
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level())
    trace = ms.load(module.eval(), tokenizer=wrapped).trace("the ")
    assert trace.scores("th").target == "logit of 'th'"
    assert trace.scores(ms.sequence("the the")).target == "logit of 'the' ' the'"


def test_the_page_follows_the_token_that_is_scored():
    """Behind this prompt "is" is the end of a word; by itself too. A piece that is named by its spelling stays what it is."""
    record = default().trace(PROMPT).summary(" Paris")
    assert record["target"]["text"] == " Paris"
    held = default().trace(PROMPT).summary(ms.contrast(" Paris", " London"))
    assert (held["target"]["text"], held["target"]["against"]["text"]) == (" Paris", " London")
    with pytest.raises(ms.InputError, match="does not begin a token behind this prompt"):
        default().trace(PROMPT + " ").summary("Paris")


@pytest.mark.slow
def test_in_a_real_model(real_model):
    made = real.model(real_model("smollm2"))
    trace = made.trace([PROMPT, "Paris is the capital of"])
    found = trace.scores(ms.sequence(" the city of"), "neuron")
    assert found.error <= found.bound
    longer = [made.loaded.codec.encode(text + " the city of") for text in trace.prompts]
    for row, ids in enumerate(longer):
        with torch.no_grad():
            logits = trace.run.module(torch.tensor([ids])).logits[0]
        wanted = sum(logits[i - 1, ids[i]] for i in range(len(ids) - 3, len(ids)))
        torch.testing.assert_close(found.whole[row], wanted, rtol=1e-4, atol=1e-3)
    both = trace.scores(ms.any_of(" Paris", " France"), "neuron")
    pair = [trace.index(" Paris"), trace.index(" France")]
    torch.testing.assert_close(both.whole, trace.logits[[0, 1], [4, 4]][:, pair].logsumexp(-1), rtol=1e-4, atol=1e-4)
    assert both.error <= both.bound
    with pytest.raises(ms.InputError, match="does not begin a token behind this prompt"):
        made.trace([PROMPT + " ", PROMPT]).scores("Paris")
