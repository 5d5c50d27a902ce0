"""Alternatives and contrasts of them as a user gives them: what they come to, in what words, and what is refused."""

import pickle
from functools import cache

import pytest
import torch

import mainstem as ms
from zoo import ZOO, ids, pixels

PROMPTS = ["The capital of France is", "The capital of Japan is"]
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@cache
def trace(dtype: torch.dtype = torch.float32) -> ms.Trace:
    return ms.load("default", dtype=dtype).trace(PROMPTS)


def index(*words: str) -> list[int]:
    return [trace().index(word) for word in words]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("level", ["write", "edge", "neuron"])
def test_rows_sum_to_the_log_sum_exp(dtype, level):
    last = trace(dtype).logits[:, -1]
    both, other = index(" Paris", " Tokyo"), index(" London", " Rome", " Madrid")
    found = trace(dtype).scores(ms.any_of(" Paris", " Tokyo"), level)
    assert found.error <= found.bound < 1e-2
    torch.testing.assert_close(found.whole, last[:, both].logsumexp(-1))
    odds = trace(dtype).scores(ms.contrast(ms.any_of(" Paris", " Tokyo"), ms.any_of(" London", " Rome", " Madrid")), level)
    p = last.softmax(-1)
    torch.testing.assert_close(odds.sum(), (p[:, both].sum(-1) / p[:, other].sum(-1)).log(), **CLOSE)
    one = trace(dtype).scores(ms.contrast(" Paris", ms.any_of(" London", " Rome")), level)
    torch.testing.assert_close(one.whole, last[:, both[0]] - last[:, other[:2]].logsumexp(-1), **CLOSE)


def test_they_are_said_in_words():
    assert trace().scores(ms.any_of(" Paris", " Tokyo")).target == "logit of any of ' Paris', ' Tokyo'"
    held = ms.contrast(" Paris", ms.any_of(" London", " Rome"))
    assert trace().scores(held).target == "logit of ' Paris' over any of ' London', ' Rome'"
    each = trace().scores(ms.any_of([" Paris", " Tokyo"], " the"))
    assert each.target == ("logit of any of ' Paris', ' the'", "logit of any of ' Tokyo', ' the'")
    assert trace().scores(ms.any_of(5, [6, 7]), positions=-1).positions == (4, 4)


def test_one_set_of_alternatives_a_prompt():
    last = trace().logits[:, -1]
    pairs = torch.tensor([index(" Paris", " the"), index(" Tokyo", " the")])
    found = trace().scores(ms.any_of([" Paris", " Tokyo"], " the"), "head")
    torch.testing.assert_close(found.whole, last.gather(1, pairs).logsumexp(-1))
    for row, word in enumerate([" Paris", " Tokyo"]):
        alone = trace().scores(ms.any_of(word, " the"), "head")
        torch.testing.assert_close(found.tensor[:, row], alone.tensor[:, row], **CLOSE)


def test_at_every_place_and_in_a_padded_batch():
    prompts = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3]]
    made = ms.load(ZOO["llama"]()[0])
    for side in ("right", "left"):
        batch = made.trace(prompts, padding=side)
        every = batch.scores(ms.any_of(4, 7), "head", positions="all")
        last = batch.scores(ms.any_of(4, 7), "head")
        for row, prompt in enumerate(prompts):
            at = slice(6 - len(prompt), 6) if side == "left" else slice(0, len(prompt))
            wanted = made.trace(prompt).logits[0][:, [4, 7]].logsumexp(-1)
            torch.testing.assert_close(every.whole[row, at], wanted, **CLOSE)
            torch.testing.assert_close(every.tensor[:, row, at.stop - 1], last.tensor[:, row], **CLOSE)
            outside = torch.ones(6, dtype=torch.bool)
            outside[at] = False
            assert not bool(every.tensor[:, row, outside].any())


def test_a_run_of_one_position_says_the_same():
    made, target = ms.load(ZOO["llama"]()[0]), ms.contrast(ms.any_of(4, 7), ms.any_of(1, 2, 3))
    one, whole = made.trace(ids(), positions=-1), made.trace(ids())
    torch.testing.assert_close(one.scores(target, "edge").tensor, whole.scores(target, "edge").tensor, **CLOSE)


def test_classes_too():
    module = ZOO["vit"]()[0]
    module.config.id2label = {0: "tench, Tinca tinca", 1: "goldfish", 2: "great white shark"}
    found = ms.load(module).trace(pixels(size=16))
    scores = found.scores(ms.contrast(ms.any_of("goldfish", "tench"), 2))
    torch.testing.assert_close(scores.sum(), found.logits[:, :2].logsumexp(-1) - found.logits[:, 2], **CLOSE)
    assert scores.target == "logit of any of 'goldfish', 'tench, Tinca tinca' over 'great white shark'"


def test_one_alternative_is_the_token_and_order_does_not_matter():
    assert torch.equal(trace().scores(ms.any_of(" Paris")).tensor, trace().scores(" Paris").tensor)
    one, other = (trace().scores(ms.any_of(*pair)).tensor for pair in ((" Paris", " Rome"), (" Rome", " Paris")))
    torch.testing.assert_close(one, other)


def test_they_are_plain_values():
    made = [
        ms.any_of(" Paris", 7),
        ms.contrast(ms.any_of(" Paris", " paris"), " London"),
        ms.sequence(" the capital"),
        ms.sequence([[1, 2], [3]]),
        ms.contrast(" Paris", " London"),
    ]
    for value in made:
        assert pickle.loads(pickle.dumps(value)) == value
        with pytest.raises(AttributeError):
            value.token = 3
    said = [repr(value) for value in made[:3]]
    assert said == [
        "AnyOf(alternatives=(' Paris', 7))",
        "Contrast(token=AnyOf(alternatives=(' Paris', ' paris')), against=' London')",
        "TokenSequence(tokens=' the capital')",
    ]
    assert [type(value) for value in made[:3]] == [ms.AnyOf, ms.Contrast, ms.TokenSequence]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: ms.any_of(), r"any_of\(\) is empty: name the alternatives"),
        (lambda: ms.any_of(" Paris", 5, " Paris"), r"any_of\(\) names ' Paris' twice"),
        (lambda: ms.any_of([" Paris", " paris"]), r"alternatives one by one: any_of\(\*tokens\)"),
        (lambda: ms.sequence(""), r"the sequence is empty: give a text, such as sequence\(\" the capital\"\)"),
        (lambda: ms.sequence([]), "the sequence is empty"),
        (lambda: ms.sequence([[1, 2], []]), "the sequence is empty"),
        (lambda: ms.sequence([" Paris", ""]), "the sequence is empty"),
        (lambda: ms.sequence(torch.tensor([]).long()), "the sequence is empty"),
    ],
)
def test_values_that_cannot_be(made, said):
    with pytest.raises(ms.InputError, match=said):
        made()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (lambda: ms.any_of(" Paris", trace().index(" Paris")), "two of the alternatives are the same token here, ' Paris'"),
        (lambda: ms.any_of([" Paris", " Tokyo"], [" Rome", " Tokyo"]), "are the same token here, ' Tokyo': name it once"),
        (lambda: ms.any_of(" Paris", " no such"), r"the target ' no such' is \d tokens here"),
        (lambda: ms.any_of(" Paris", 4096), "there is no target 4096"),
        (
            lambda: ms.contrast(ms.any_of(" Paris", " Rome"), ms.any_of(" Rome", " Paris")),
            "of two different tokens; both are any of ' Paris', ' Rome'",
        ),
        (lambda: ms.contrast(ms.any_of(" Rome"), " Rome"), "a contrast is of two different tokens; both are ' Rome'"),
    ],
)
def test_targets_that_cannot_be(target, said):
    with pytest.raises(ms.InputError, match=said):
        trace().scores(target())


def test_what_looks_at_one_token_says_so():
    with pytest.raises(ms.InputError, match="the lens follows one token; score a contrast, alternatives or a sequence"):
        trace().lens(ms.any_of(" Paris", " Rome"))
    for target in (ms.any_of(" Paris", " Rome"), ms.contrast(ms.any_of(" Paris", " Rome"), " London")):
        with pytest.raises(ms.InputError, match="a summary is of one token or a contrast of two"):
            trace().summary(target)
