"""Where a text continues a prompt: the tokens of both together, or an error that shows them and where the boundary could be."""

import re

import pytest
from tokenizers import normalizers

from mainstem.core import InputError
from mainstem.models import Codec, continued, continued_by_one, load
from models._makes import MAKES, codecs, sentence_piece

TEXTS = {
    "bytes": "the the\ntheory of  the th",
    "sentencepiece": "the capital of France is Paris. the Parising",
    "wordpiece": "the capital of France is Paris",
}


def held(codec: Codec, whole: str) -> tuple[int, int]:
    """Every way to cut a text in two is right or refused, and what a refusal proposes is right. How many of each."""
    right = refused = 0
    for end in range(1, len(whole)):
        prompt, text = whole[:end], whole[end:]
        alone, both = codec.cut(prompt), codec.cut(whole)
        if both[: len(alone)] == alone and len(both) > len(alone):
            assert alone + continued(codec, prompt, text) == both
            right += 1
            continue
        with pytest.raises(InputError, match="does not begin a token behind this prompt") as error:
            continued(codec, prompt, text)
        assert codec.shown(both[-1:]) in str(error.value)
        if found := re.search(
            r"End the prompt with ('.*?'|\".*?\") and give ('.*'|\".*\"), or give its id\.", str(error.value), re.S
        ):
            tail, rest = (eval(part) for part in found.groups())
            assert whole.removesuffix(rest).endswith(tail)
            continued(codec, whole.removesuffix(rest), rest)
        refused += 1
    return right, refused


@pytest.mark.parametrize("make", ["bytes", "sentencepiece"])
def test_every_boundary_is_right_or_refused(make):
    for codec in codecs(make):
        right, refused = held(codec, TEXTS[make])
        assert right > 3 and refused > 3


def test_every_boundary_of_the_embedded_tokenizer():
    codec = load("default").codec
    right, refused = held(codec, "The capital of France is Paris, isn't it? \n  Yes\té.")
    assert right > 10 and refused > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smollm2"])
def test_every_boundary_of_a_real_tokenizer(real_model, name):
    codec = load(real_model(name)).codec
    right, refused = held(codec, "The capital of France is Paris, isn't it? \n  Yes\té. 1234 tokenizers")
    assert right > 10 and refused > 10


def test_every_boundary_where_spaces_end_words(shared):
    """A tokenizer of SentencePiece's kind whose pieces end in spaces too."""
    codec = load(shared / "models" / "tinystories-656k").codec
    right, refused = held(codec, "Once upon a time there was a little girl")
    assert right > 3 and refused > 5
    with pytest.raises(
        InputError, match="the prompt ends in 'is', which together become 'is ', 'the'. End the prompt with 'France is '"
    ):
        continued(codec, "France is", " the")


@pytest.mark.parametrize(
    ("make", "prompt", "text", "pieces"),
    [
        ("bytes", "the", " the", [" the"]),
        ("bytes", "the", " thethe", [" the", "the"]),
        ("sentencepiece", "the capital", " of France", [" of", " France"]),
        ("sentencepiece", "the Paris", "ing", ["ing"]),
        ("sentencepiece", "the capital of", " Paris", [" Paris"]),
        ("wordpiece", "the capital of", " Paris", ["Paris"]),
        ("wordpiece", "the capital of", "Paris", ["Paris"]),
        ("wordpiece", "the capital of ", "France is", ["France", "is"]),
    ],
)
def test_what_continues_a_prompt(make, prompt, text, pieces):
    for codec in codecs(make):
        assert [codec.piece(i) for i in continued(codec, prompt, text)] == pieces
        if len(pieces) == 1:
            assert codec.piece(continued_by_one(codec, prompt, text)) == pieces[0]


@pytest.mark.parametrize("make", MAKES)
def test_which_tokenizers_write_spaces(make):
    assert [codec.spaced for codec in codecs(make)] == [make != "wordpiece"] * 2


def test_the_piece_of_a_word_has_a_spelling_where_no_spaces_are_written():
    for codec in codecs("wordpiece"):
        assert codec.piece(continued_by_one(codec, "the capital", "##ing")) == "##ing"


def test_a_space_at_the_end_of_a_prompt_and_how_to_move_it():
    for codec in codecs("bytes"):
        said = (
            r"the prompt ends in ' ', which together become ' the'\. End the prompt with 'the' and give ' the', or give its id\."
        )
        with pytest.raises(InputError, match=said):
            continued(codec, "the ", "the")


@pytest.mark.parametrize(
    ("make", "text", "said"),
    [
        (
            "bytes",
            "thethe",
            r"the target 'thethe' is 2 tokens here .*Name one of them\. All of them are a sequence: ms\.sequence",
        ),
        ("bytes", "", "the target is empty"),
        ("wordpiece", " ", "the target ' ' adds no token to the prompt"),
        ("wordpiece", "Ω", "the target 'Ω' is unknown to this tokenizer"),
        ("sentencepiece", " Ω", "the target ' Ω' is unknown to this tokenizer"),
    ],
)
def test_texts_that_continue_nothing(make, text, said):
    with pytest.raises(InputError, match=said):
        continued_by_one(codecs(make)[1], "the\n" if make == "bytes" else "the capital", text)


def test_a_word_that_lacks_its_space():
    codec = load("default").codec
    with pytest.raises(
        InputError, match=r"is 3 tokens here \('P', 'ar', 'is'\).* With a leading space it is one token: ' Paris'\."
    ):
        continued_by_one(codec, "The capital of France is", "Paris")


@pytest.mark.parametrize("make", MAKES)
def test_behind_a_prompt_that_is_not_known(make):
    """SentencePiece puts a space before every text; behind a prompt it does not."""
    text = {"bytes": " the the", "sentencepiece": " of France", "wordpiece": "of France"}[make]
    for codec in codecs(make):
        assert continued(codec, None, text) == continued(codec, "the", text)
        assert continued(codec, None, "the") == codec.cut("the")


def test_a_space_that_is_put_before_every_text():
    """As Llama's: a text with a space of its own begins with two by itself, and with one behind a prompt."""
    made = sentence_piece()
    made.pre_tokenizer, made.normalizer = None, normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    codec = Codec(made)
    assert [codec.piece(i) for i in codec.cut(" of France")] == [" ", " of", " France"]
    for prompt in ("the capital", None):
        assert [codec.piece(i) for i in continued(codec, prompt, " of France")] == [" of", " France"]
