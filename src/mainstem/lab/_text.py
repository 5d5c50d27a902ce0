"""Text to train on: what the default model was taught, told in a random order, or a file that the user names."""

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, whole
from mainstem.models import Codec, embedded, facts

FACTS, TOLD = "facts", 4  # facts of a document
HELD_OUT = 0.05


@dataclass(frozen=True)
class Text:
    """Rows of token ids [row, pos] to train on and kept back, and the size of the vocabulary."""

    train: Tensor
    held_out: Tensor
    vocabulary: int

    @property
    def unigram_loss(self) -> float:
        """Nats a token of the best predictor that reads nothing: frequencies of the training rows, one added to each count."""
        counts = torch.bincount(self.train.flatten(), minlength=self.vocabulary).double() + 1
        return float(-(counts / counts.sum()).log()[self.held_out[:, 1:]].mean())


def fact_documents(count: int, seed: int) -> Iterator[str]:
    """Documents of a few facts each, told twice in different orders: what is rote, and what can be copied from above.

    Parameters: `count`; `seed`.
    """
    draw, known = Random(seed), facts()
    for _ in range(count):
        told = draw.sample(known, TOLD)
        again = draw.sample(told, TOLD)
        yield " ".join(f"{fact.prompt}{fact.answer}." for fact in [*told, *again])


@lru_cache(maxsize=2)
def text(
    text: str = FACTS, tokenizer: str = "default", length: int = 64, tokens: int = 200_000, kept: int = 20_000, seed: int = 0
) -> Text:
    """Rows of text to train on and rows that were kept back.

    Parameters: `text`, "facts" or a file (.txt or .txt.gz), whose last twentieth is kept back; `tokenizer`, that of an embedded model, or
    a hub id; `length`, tokens of a row; `tokens`, to train on, at most; `kept`, tokens to measure on, at most; `seed`, of the facts.

    Raises `InputError` for a file that is not there, or too short.
    """
    for name, value in {"length": length, "tokens": tokens, "kept": kept}.items():
        whole(f"data.{name}", value, 1)
    codec = _codec(tokenizer)
    train, held_out = _facts(tokens + kept, seed) if text == FACTS else _file(Path(text))
    vocabulary = len(codec.tokenizer.get_vocab())
    told, kept_rows = _rows(codec, train, length, tokens), _rows(codec, held_out, length, kept)
    if not len(told) or not len(kept_rows):
        raise InputError(f"{text} is too short for rows of {length} tokens: name a longer text, or take data.length=16.")
    return Text(told, kept_rows, vocabulary)


def _facts(tokens: int, seed: int) -> tuple[str, str]:
    documents = list(fact_documents(tokens // 40, seed))  # a document has 70 tokens and more
    kept = list(fact_documents(max(20, tokens // 400), seed + 1_000_000))
    return "\n".join(documents), "\n".join(kept)


def check_text(name: str) -> None:
    """Whether a text can be read. Parameters: `name`, "facts" or a file. Raises `InputError` where it cannot."""
    if name != FACTS:
        _file(Path(name))


def _file(path: Path) -> tuple[str, str]:
    if not path.is_file():
        raise InputError(f"no text {path}: name 'facts' or a file of plain text.")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no plain text in UTF-8: name another file.") from error
    cut = int(len(whole) * (1 - HELD_OUT))
    return whole[:cut], whole[cut:]


def _codec(tokenizer: str) -> Codec:
    if tokenizer in embedded():
        return Codec.from_file(embedded(tokenizer)[tokenizer].folder / "tokenizer.json", None, None)
    from transformers import AutoTokenizer

    try:
        found: Any = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ValueError) as error:
        raise InputError(f"no tokenizer {tokenizer!r} can be had ({error}): name 'default', 'tiny' or a folder.") from error
    return Codec(found)


def save_tokenizer(tokenizer: str, folder: Path) -> None:
    """Puts a tokenizer beside a model. Parameters: `tokenizer`, as of `text`; `folder`."""
    if tokenizer in embedded():
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(embedded(tokenizer)[tokenizer].folder / name, folder)
    else:
        _codec(tokenizer).tokenizer.save_pretrained(folder)


def _rows(codec: Codec, text: str, length: int, most: int) -> Tensor:
    """Rows of the whole text laid end to end; a part of it is enough where it is longer than asked for."""
    ids = codec.cut(text[: 12 * most] or " ")[:most]
    return torch.tensor(ids[: len(ids) // length * length]).view(-1, length)
