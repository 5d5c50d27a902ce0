"""What is scored and where: tokens by text and id, contrasts, one target per prompt or place, places from either end."""

import json
from functools import cache

import polars
import pytest
import torch
import transformers

import mainstem as ms
import real
from zoo import SMALL, ZOO, ids, pixels

PROMPTS = ["The capital of France is", "The capital of Japan is"]


@cache
def trace() -> ms.Trace:
    return real.model("default").trace(PROMPTS)


def last(token: int) -> torch.Tensor:
    return trace().logits[:, -1, token]


def test_a_token_by_text_and_by_id():
    paris = trace().index(" Paris")
    by_text, by_id = trace().scores(" Paris"), trace().scores(paris)
    assert torch.equal(by_text.tensor, by_id.tensor)
    torch.testing.assert_close(by_text.sum(), last(paris))
    assert by_text.target == "logit of ' Paris'"
    assert trace().word(paris) == " Paris"


def test_a_contrast_is_the_difference():
    paris, tokyo = trace().index(" Paris"), trace().index(" Tokyo")
    found = trace().scores(ms.contrast(" Paris", " Tokyo"), "head")
    torch.testing.assert_close(found.whole, last(paris) - last(tokyo))
    torch.testing.assert_close(
        found.tensor, trace().scores(paris, "head").tensor - trace().scores(tokyo, "head").tensor, rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        found.whole,
        trace().logits[:, -1].log_softmax(-1)[:, paris] - trace().logits[:, -1].log_softmax(-1)[:, tokyo],
        rtol=1e-4,
        atol=1e-4,
    )
    assert found.target == "logit of ' Paris' over ' Tokyo'"
    with pytest.raises(ms.InputError, match="a contrast is of two different tokens; both are ' Paris'"):
        trace().scores(ms.contrast(" Paris", paris))


def test_the_prediction_is_the_default():
    found = trace().scores()
    assert [trace().word(int(i)) for i in trace().logits[:, -1].argmax(-1)] == [" Paris", " Tokyo"]
    torch.testing.assert_close(found.whole, trace().logits[:, -1].amax(-1))
    assert found.target == trace().scores(positions=-1).target == ("logit of ' Paris'", "logit of ' Tokyo'")
    assert trace().scores(positions="all").target == "logit of a token at each position"


def test_one_target_a_prompt_and_one_a_place():
    both = torch.tensor([trace().index(" Paris"), trace().index(" Tokyo")])
    torch.testing.assert_close(trace().scores(both).whole, trace().logits[[0, 1], -1, both])
    places = trace().logits.shape[:2]
    each = torch.arange(places.numel()).reshape(places)
    found = trace().scores(each, "head", positions="all")
    torch.testing.assert_close(found.whole, trace().logits.gather(-1, each[..., None])[..., 0])
    torch.testing.assert_close(found.sum(), found.whole, rtol=1e-4, atol=1e-4)
    for place in (0, 3):
        torch.testing.assert_close(
            found.tensor[:, :, place], trace().scores(each[:, place], "head", positions=place).tensor, rtol=1e-4, atol=1e-5
        )


def test_one_target_a_place_in_lists():
    places = trace().logits.shape[:2]
    each = torch.arange(places.numel()).reshape(places)
    found = trace().scores(each, "head", positions="all")
    words = [[trace().word(i) for i in row] for row in each.tolist()]
    for given in (each.tolist(), [words[0], each[1].tolist()]):
        assert torch.equal(trace().scores(given, "head", positions="all").tensor, found.tensor)
    with pytest.raises(ms.InputError, match=r"targets in lists of different lengths: give a target for each of \(2, 5\)"):
        trace().scores([[1, 2, 3, 4, 5], [1, 2]], positions="all")
    for wrong in ([[1, 2], [3, 4]], [[1, 2, 3, 4, 5]], [1, 2, 3]):
        with pytest.raises(ms.InputError, match="targets for 2 prompts by 5 positions: give one for all"):
            trace().scores(wrong, positions="all")
    with pytest.raises(ms.InputError, match="2 by 5 targets for 2 prompts: give one for all"):
        trace().scores(each.tolist())


def test_one_text_a_prompt():
    paris, tokyo = trace().index(" Paris"), trace().index(" Tokyo")
    both = torch.tensor([paris, tokyo])
    for given in ([" Paris", " Tokyo"], (" Paris", tokyo), [paris, tokyo]):
        found = trace().scores(given, "head")
        assert torch.equal(found.tensor, trace().scores(both, "head").tensor)
        assert found.target == ("logit of ' Paris'", "logit of ' Tokyo'")
    assert torch.equal(trace().lens([" Paris", " Tokyo"], positions=-1).values.rank, trace().lens(both, positions=-1).values.rank)
    with pytest.raises(ms.InputError, match="1 targets for 2 prompts: give one for all, or one for each"):
        trace().scores([" Paris"])
    with pytest.raises(ms.InputError, match=r"the target 'no token' is \d tokens"):
        trace().scores([" Paris", "no token"])


def test_each_prompt_keeps_its_target(tmp_path):
    found = trace().scores([" Paris", " Tokyo"])
    said = ["logit of ' Paris'", "logit of ' Tokyo'"]
    assert found.choices["target"] == json.loads(found.save(tmp_path / "x.json").read_text())["choices"]["target"] == said
    frame = found.frame()
    assert frame.group_by("prompt", maintain_order=True).agg(polars.col("target").unique()).rows() == [
        (i, [said[i]]) for i in range(2)
    ]
    assert [found.prompt(i).target for i in range(2)] == said
    assert found.prompt(1).frame()["target"].unique().to_list() == said[1:]
    assert "logit of ' Paris' and 1 more" in repr(found)
    assert found.sum("batch").frame()["target"].unique().to_list() == ["logit of ' Paris' and 1 more"]


def test_several_prompts_are_not_ranked_and_the_way_out_is_told():
    found = trace().scores([" Paris", " Tokyo"])
    with pytest.raises(ms.InputError, match=r"here are batch 2: take one prompt with \.prompt\(i\)"):
        found.top(2)
    assert found.prompt(1).top(2) == trace().scores(" Tokyo").prompt(1).top(2)


def test_one_contrast_a_prompt():
    found = trace().scores(ms.contrast([" Paris", " Tokyo"], " London"), "head")
    for prompt, token in enumerate([" Paris", " Tokyo"]):
        alone = trace().scores(ms.contrast(token, " London"), "head")
        torch.testing.assert_close(found.tensor[:, prompt], alone.tensor[:, prompt])
    assert found.target == ("logit of ' Paris' over ' London'", "logit of ' Tokyo' over ' London'")
    with pytest.raises(ms.InputError, match="a contrast is of two different tokens; both are ' Tokyo'"):
        trace().scores(ms.contrast([" Paris", " Tokyo"], [" London", " Tokyo"]))
    with pytest.raises(ms.InputError, match="a summary is of one token or a contrast of two"):
        trace().summary(ms.contrast([" Paris", " Tokyo"], " London"))


def test_the_ids_of_a_text():
    model = ms.load("default")
    assert [trace().word(i) for i in model.ids(" Paris is")] == [" Paris", " is"]
    with pytest.raises(ms.InputError, match="the text is empty"):
        model.ids("")
    with pytest.raises(ms.InputError, match="has no tokenizer"):
        ms.load(torch.nn.Linear(2, 2)).ids(" Paris")


@pytest.mark.parametrize("place", [0, 2, -1, -3])
def test_places_from_either_end(place):
    found = trace().scores(7, positions=place)
    torch.testing.assert_close(found.sum(), trace().logits[:, place, 7], rtol=1e-4, atol=1e-5)
    n = trace().logits.shape[1]
    assert found.positions == (place % n, place % n)


def test_a_mask_token_is_where_a_masked_model_is_read():
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    made = Tokenizer(WordLevel({w: i for i, w in enumerate(["[PAD]", "[UNK]", "[MASK]", "a", "b", "c"])}, unk_token="[UNK]"))
    made.pre_tokenizer = WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]"
    )
    torch.manual_seed(0)
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)).eval()
    found = ms.load(bert, tokenizer=tokenizer).trace(["a [MASK] c", "a b c a"])
    scores = found.scores(" b".strip())
    assert scores.positions == (1, 3)
    torch.testing.assert_close(scores.whole, found.logits[[0, 1], [1, 3], found.index("b")])
    assert found.scores(4, positions=0).positions == (0, 0)


def test_classes_by_name_and_by_number():
    module = ZOO["vit"]()[0]
    module.config.id2label = {0: "tench, Tinca tinca", 1: "goldfish", 2: "great white shark"}
    found = ms.load(module).trace(pixels(size=16))
    assert found.index("tinca tinca") == found.index("Tench, Tinca tinca") == 0
    assert found.index("Goldfish") == 1
    torch.testing.assert_close(found.scores("goldfish").whole, found.logits[:, 1])
    assert found.word(2) == "great white shark"
    with pytest.raises(ms.InputError, match="no class 'cat' in this model: its 3 are 'tench, Tinca tinca', 'goldfish'"):
        found.scores("cat")
    with pytest.raises(ms.InputError, match="no positions to choose from"):
        found.scores("goldfish", positions=2)


def test_a_model_without_words_needs_a_number():
    made = ms.load("default").loaded
    bare = transformers.GPT2Model(transformers.GPT2Config(vocab_size=4096, n_embd=32, n_layer=2, n_head=4)).eval()
    found = ms.load(bare, tokenizer=made.codec.tokenizer).trace("The capital of France is")
    with pytest.raises(ms.InputError, match="this model has no vocabulary readout: its output has 32 features"):
        found.scores()
    torch.testing.assert_close(found.scores(5).sum(), found.logits[:, -1, 5], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (4096, "there is no target 4096: the output has 4096 entries"),
        (-1, "there is no target -1"),
        ("", "the target is empty"),
        (" Paris Tokyo", r"the target ' Paris Tokyo' is 2 tokens here \(' Paris', ' Tokyo'\)"),
        (torch.tensor([5, 9999]), "target ids go from 0 to 4095"),
    ],
)
def test_targets_that_do_not_exist(target, said):
    with pytest.raises(ms.InputError, match=said):
        trace().scores(target)


@pytest.mark.parametrize("target", [torch.tensor([1, 2, 3]), torch.zeros(2, 9, 9).long()])
def test_targets_of_another_shape(target):
    with pytest.raises(ms.InputError, match="targets for 2 prompts: give one for all, or one for each"):
        trace().scores(target)


@pytest.mark.parametrize(
    ("positions", "said"),
    [
        (5, "there is no position 5"),
        (-6, "there is no position -6"),
        ("last", "positions is a number, None or 'all', not 'last'"),
    ],
)
def test_places_that_do_not_exist(positions, said):
    with pytest.raises(ms.InputError, match=said):
        trace().scores(" Paris", positions=positions)


def test_scores_and_lenses_that_do_not_exist():
    with pytest.raises(ms.InputError, match="no score 'shap'; there are .*dla, logprob_increase"):
        trace().scores(" Paris", by="shap")
    with pytest.raises(ms.InputError, match="no level 'layer'"):
        trace().scores(" Paris", "layer")
    with pytest.raises(ms.InputError, match="the lens follows one token"):
        trace().lens(ms.contrast(" Paris", " Tokyo"))
    with pytest.raises(ms.InputError, match="no point 'L9.resid_post': carry to 'logits' or to a point such as"):
        trace().carry("L9.resid_post")


def test_the_lens_follows_the_prediction_or_a_target():
    own = trace().lens()
    assert torch.equal(own.values.target, trace().logits.argmax(-1))
    assert int(own.values.rank[-1].max()) == 0
    paris = trace().lens(" Paris")
    assert bool((paris.values.target == trace().index(" Paris")).all())
    torch.testing.assert_close(paris.values.logit[-1], trace().logits[..., trace().index(" Paris")], rtol=1e-4, atol=1e-4)


def test_ids_without_a_tokenizer_are_their_own_words():
    found = ms.load(ZOO["llama"]()[0]).trace(ids(1, 3))
    assert found.tokens == (tuple(str(int(i)) for i in ids(1, 3)[0]),)
    assert found.scores(7).target == "logit of '7'"
    assert "GPT" not in repr(found)
