"""Small tokenizers of three makes, each by itself and as transformers wraps it."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from mainstem.models import Codec

WORDS = ["the", "capital", "of", "France", "is", "Paris", "ing", "London"]


def word_piece() -> Tokenizer:
    vocab = {w: i for i, w in enumerate(["[UNK]", "[MASK]", *WORDS, "##ing", "##s", "."])}
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    return made


def byte_level() -> Tokenizer:
    vocab = {t: i for i, t in enumerate([*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the", "Ġt", "Ġth", "Ġthe"])}
    made = Tokenizer(models.BPE(vocab, [("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e"), ("t", "h"), ("th", "e")]))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return made


def sentence_piece() -> Tokenizer:
    """As Llama's: words begin with a lower bar, and decoding drops the first."""
    pieces = ["<unk>", "▁", *[f"▁{w}" for w in WORDS if w != "ing"], *"abcdefghijklmnopqrstuvwxyz", "ing", "."]
    made = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Strip(content=" ", left=1)])
    return made


MAKES = {"wordpiece": word_piece, "bytes": byte_level, "sentencepiece": sentence_piece}
UNKNOWN = {"wordpiece": "[UNK]", "sentencepiece": "<unk>"}


def codecs(make: str) -> list[Codec]:
    """The same tokenizer by itself, and as transformers wraps it."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=MAKES[make](), unk_token=UNKNOWN.get(make))
    return [Codec(MAKES[make]()), Codec(wrapped)]
