"""Tokenizers of every make seen from one side: pieces that join to the text, targets that are one token."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, processors
from transformers import PreTrainedTokenizerFast

from mainstem.core import InputError
from mainstem.models import Codec, load
from models._makes import MAKES, UNKNOWN, byte_level, codecs

TEXTS = {
    "wordpiece": ("the capital of France", "thecapitalofFrance"),
    "bytes": ("the théory\nthe", "the théory\nthe"),
    "sentencepiece": ("the capital of France", " the capital of France"),
}


@pytest.mark.parametrize("make", MAKES)
def test_pieces_join_to_the_text(make):
    text, joined = TEXTS[make]
    for codec in codecs(make):
        pieces = [codec.piece(i) for i in codec.encode(text)]
        if make == "bytes":  # a letter of two bytes is two pieces, neither of which is text
            assert pieces[1:4] == [" th", r"\xc3", r"\xa9"]
            pieces[2:4] = "é"
        assert "".join(pieces) == joined == codec.joined(codec.encode(text))


def fallback() -> Tokenizer:
    """As Llama's: what no piece spells is written in bytes."""
    pieces = ["<unk>", "a", *(f"<0x{b:02X}>" for b in range(256))]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True))
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return made


@pytest.mark.parametrize("make", [byte_level, fallback])
def test_bytes_that_are_no_character_are_told_apart_and_can_be_named(make):
    codec = Codec(make())
    ids = codec.encode("a日a")
    assert [codec.piece(i) for i in ids] == ["a", r"\xe6", r"\x97", r"\xa5", "a"]
    assert codec.joined(ids) == "a日a" and codec.joined(ids[:3]) == r"a\xe6\x97"
    assert [codec.one(codec.piece(i)) for i in ids] == ids
    assert codec.piece(codec.encode("a")[0]) == "a"


@pytest.mark.parametrize("make", MAKES)
def test_both_ways_of_holding_a_tokenizer_agree(make):
    plain, wrapped = codecs(make)
    for i in range(plain.tokenizer.get_vocab_size()):
        assert plain.piece(i) == wrapped.piece(i)
    text = TEXTS[make][0]
    assert plain.encode(text) == wrapped.encode(text)
    assert plain.pieces_of(text) == wrapped.pieces_of(text)


@pytest.mark.parametrize(
    ("make", "text", "stored"),
    [
        ("bytes", " the", "Ġthe"),
        ("bytes", "the", "the"),
        ("bytes", " th", "Ġth"),
        ("sentencepiece", "Paris", "▁Paris"),
        ("sentencepiece", " Paris", "▁Paris"),
        ("sentencepiece", "ing", "ing"),
        ("wordpiece", "Paris", "Paris"),
        ("wordpiece", " Paris", "Paris"),
        ("wordpiece", "##ing", "##ing"),
        ("wordpiece", "[MASK]", "[MASK]"),
    ],
)
def test_a_target_that_is_one_token(make, text, stored):
    for codec in codecs(make):
        assert codec.one(text) == codec.tokenizer.get_vocab()[stored]


def test_a_target_of_several_tokens_shows_them():
    for codec in codecs("bytes"):
        with pytest.raises(InputError, match=r"the target 'thethe' is 2 tokens here \('the', 'the'\).* Name one of them\."):
            codec.one("thethe")
    codec = Codec(load("default").codec.tokenizer)
    with pytest.raises(InputError, match="With a leading space it is one token: ' Paris'"):
        codec.one("Paris")


@pytest.mark.parametrize("make", ["wordpiece", "sentencepiece"])
def test_a_target_that_the_tokenizer_cannot_write(make):
    with pytest.raises(InputError, match="is unknown to this tokenizer"):
        codecs(make)[1].one("Ω")
    assert codecs(make)[1].one(UNKNOWN[make]) == 0


def test_prompts_that_cannot_be_read():
    codec = Codec(byte_level(), limit=3, size=258)
    with pytest.raises(InputError, match="the prompt is empty"):
        codec.encode("")
    with pytest.raises(InputError, match="the target is empty"):
        codec.one("")
    with pytest.raises(InputError, match="there is no token -1: ids go from 0 to 257"):
        codec.check([3, -1])
    with pytest.raises(InputError, match="the prompt has 4 tokens, this model reads at most 3: shorten it by 1"):
        codec.encode("xxxx")
    with pytest.raises(
        InputError, match="token 260 is beyond the model's 258 embeddings: this tokenizer belongs to another model"
    ):
        codec.encode(" the")
    with pytest.raises(InputError, match="the prompt has no tokens"):
        codec.check([])
    codec.check([0, 257])


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), (3, "is 3, which is no text"), (None, "is None"), ("\ud800", "holds bytes that are no text")],
)
def test_texts_that_cannot_be_cut(text: object, said: str) -> None:
    for codec in codecs("bytes"):
        with pytest.raises(InputError, match=f"^the text {said}"):
            codec.pieces_of(text)
        if isinstance(text, str):
            with pytest.raises(InputError, match=f"^the target {said}"):
                codec.one(text)


def test_what_the_models_own_prompts_begin_with():
    made = byte_level()
    made.post_processor = processors.TemplateProcessing(single="a $A", special_tokens=[("a", made.token_to_id("a"))])
    codec = Codec(made)
    assert codec.encode("the") == [made.token_to_id("a"), made.token_to_id("the")]
    assert codec.encode("the", special=False) == codec.pieces_of("the") == [made.token_to_id("the")]


def test_what_prompts_are_filled_up_with():
    plain, wrapped = codecs("bytes")
    assert plain.pad == wrapped.pad == 0
    assert Codec(PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token="the")).pad == byte_level().token_to_id("the")
    assert Codec(
        PreTrainedTokenizerFast(tokenizer_object=byte_level(), eos_token="the", pad_token="th")
    ).pad == byte_level().token_to_id("th")


def real(folder: Path, text: str) -> tuple[Codec, list[int]]:
    """The tokenizer that lies with a model."""
    from transformers import AutoTokenizer

    codec = Codec(AutoTokenizer.from_pretrained(folder))
    return codec, codec.encode(text, special=False)


def test_a_real_sentence_piece_tokenizer(shared):
    text = "Once upon a time, there was a little girl."
    codec, ids = real(shared / "models" / "tinystories-656k", text)
    assert "".join(map(codec.piece, ids)) == f" {text}"
    every = torch.arange(2048).tolist()
    found = [i for i in every if codec.one(codec.piece(i)) == i]
    assert len(found) > 1900  # byte pieces and the like have no text of their own


@pytest.mark.slow
def test_a_real_byte_level_tokenizer(real_model):
    text = "The capital of France is Paris, isn't it? \n  Yes\té."
    codec, ids = real(real_model("smollm2"), text)
    assert "".join(map(codec.piece, ids)) == text
    assert codec.piece(codec.one(" Paris")) == " Paris"


@pytest.mark.slow
def test_a_real_word_piece_tokenizer(real_model):
    codec, ids = real(real_model("minilm"), "The capital of France is embeddings")
    assert [codec.piece(i) for i in ids] == ["the", "capital", "of", "france", "is", "em", "##bed", "##ding", "##s"]
    assert codec.piece(codec.one("##ding")) == "##ding"
    assert codec.piece(codec.one("[MASK]")) == "[MASK]"


def test_a_long_text_is_cut_into_pieces_that_are_prompts():
    """Each begins and ends as a prompt does, and between them nothing is lost."""
    made = MAKES["wordpiece"]()
    ends = ["[CLS]", "[SEP]"]
    made.add_special_tokens(ends)
    ids = {name: made.token_to_id(name) for name in ends}
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=list(ids.items()))
    for codec in (Codec(made), Codec(PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]"))):
        text = "the capital of France is Paris . the capital"
        pieces = codec.chunks(text, 5)
        assert [len(piece) for piece in pieces] == [5, 5, 5]
        assert all((piece[0], piece[-1]) == (ids["[CLS]"], ids["[SEP]"]) for piece in pieces)
        assert [i for piece in pieces for i in piece[1:-1]] == codec.pieces_of(text)
        assert codec.chunks("the capital", 5) == [codec.encode("the capital")]
        with pytest.raises(InputError, match="pieces of 2 tokens leave no room beside the 2 that every prompt has here"):
            codec.chunks(text, 2)
        with pytest.raises(InputError, match="a text is empty"):
            codec.chunks("", 5)


@pytest.mark.parametrize("make", ["bytes", "sentencepiece"])
def test_pieces_of_prompts_without_ends_join_to_the_text(make):
    codec = Codec(MAKES[make]())
    text = "the capital of France"
    pieces = codec.chunks(text, 3)
    assert max(map(len, pieces)) <= 3
    assert [i for piece in pieces for i in piece] == codec.encode(text)


class Counted:
    """A tokenizer that counts how much it was given."""

    def __init__(self, inner: object) -> None:
        self.inner, self.read = inner, 0

    def encode(self, text: str, **how: object) -> object:
        self.read += len(text)
        return self.inner.encode(text, **how)  # type: ignore[attr-defined]

    def get_vocab(self) -> dict[str, int]:
        return self.inner.get_vocab()  # type: ignore[attr-defined, no-any-return]


def test_what_can_be_no_prompt_is_refused_before_it_is_read():
    made = Counted(byte_level())
    codec = Codec(made, limit=3, size=400)
    most = codec.letters
    assert most == 3 * 128
    for text in ("x" * (most + 1), "\ud800" * 10**6):
        with pytest.raises(InputError, match=rf"^the prompt has {len(text):,} characters: the 3 tokens .* no more than 384"):
            codec.encode(text)
        with pytest.raises(InputError, match="^the target has"):
            codec.one(text)
        with pytest.raises(InputError, match="^the text has"):
            codec.pieces_of(text)
    assert made.read == 0
    with pytest.raises(InputError, match="tokens, this model reads at most 3"):
        codec.encode("x" * most)
    assert made.read == most


def test_where_prompts_may_have_any_length_and_texts_that_are_cut_nothing_is_refused():
    assert Codec(byte_level()).letters is None
    assert len(Codec(byte_level()).encode("x" * 10**4)) == 10**4
    assert sum(map(len, Codec(byte_level(), limit=3, size=400).chunks("x" * 10**4, 3))) == 10**4
