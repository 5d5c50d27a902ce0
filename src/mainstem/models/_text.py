"""Text to token ids and back, over whatever tokenizer a model came with."""

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from mainstem.core import InputError

_LETTERS = 128  # of the longest word that is one token without being a piece: WordPiece takes up to 100 letters for one unknown
_SPACES = ("\u2581", "\u0120")  # how stored pieces write the space they begin with
# Byte-level tokenizers write these bytes as the letters of their numbers, and the others as letters from 256 on.
_PRINTED = (*range(33, 127), *range(161, 173), *range(174, 256))
_BYTES = {chr(b): b for b in _PRINTED} | {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in _PRINTED)}
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # how tokenizers of SentencePiece's kind write one


class Codec:
    """A tokenizer seen from one side: encode, decode, show the pieces.

    Parameters: `tokenizer`, one of the tokenizers library or of transformers; `limit`, the longest prompt in tokens;
    `size`, rows of the model's embedding.
    """

    def __init__(self, tokenizer: Any, limit: int | None = None, size: int | None = None) -> None:
        self.tokenizer, self.limit, self.size = tokenizer, limit, size
        self._plain = not hasattr(tokenizer, "convert_ids_to_tokens")

    @cached_property
    def spaced(self) -> bool:
        """Whether pieces tell where spaces are, as those of byte-level tokenizers and of SentencePiece do, and WordPiece's do not."""
        return any(" " in self.piece(i) for i in self.cut("a a"))

    @classmethod
    def from_file(cls, path: Path, limit: int | None, size: int | None) -> "Codec":
        """A codec from a `tokenizer.json`. Parameters: `path`; `limit` and `size`, as of the class."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_file(str(path)), limit, size)

    def encode(self, text: str, special: bool = True) -> list[int]:
        """The ids of a text.

        Parameters: `text`; `special`, add what the model's own prompts begin and end with. Raises `InputError` for an empty
        text, one that is too long, and ids that the model has no embedding for.
        """
        if not text:
            raise InputError("the prompt is empty: give at least one token of text.")
        self._check_size(text, "the prompt")
        _check_letters(text, "the prompt")
        ids = self.tokenizer.encode(text, add_special_tokens=special)
        ids = list(ids.ids if self._plain else ids)
        self.check(ids)
        return ids

    def chunks(self, text: str, length: int) -> list[list[int]]:
        """The ids of a text in pieces, each of which begins and ends as a prompt of the model's does.

        Parameters: `text`; `length`, the most tokens of a piece. Raises `InputError` as `encode` does, but not for long texts.
        """
        if not text:
            raise InputError("a text is empty: give at least one token of text.")
        _check_letters(text, "the text")
        ids = self._bare(text)
        before, after = self._frame()
        room = length - len(before) - len(after)
        if room < 1:
            raise InputError(f"pieces of {length} tokens leave no room beside the {length - room} that every prompt has here.")
        found = [[*before, *ids[i : i + room], *after] for i in range(0, len(ids), room)]
        for piece in found:
            self.check(piece)
        return found

    def _frame(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and behind a text."""
        with_all: Any = self.tokenizer.encode("a", add_special_tokens=True)
        framed, bare = list(with_all.ids if self._plain else with_all), self.cut("a", "the text")
        at = next((i for i in range(len(framed)) if framed[i : i + len(bare)] == bare), 0)
        return framed[:at], framed[at + len(bare) :]

    def check(self, ids: Sequence[int]) -> None:
        """Raises `InputError` for no ids, too many, or ids the model does not know. Parameters: `ids`."""
        if not ids:
            raise InputError("the prompt has no tokens: give at least one.")
        if self.limit is not None and len(ids) > self.limit:
            raise InputError(
                f"the prompt has {len(ids)} tokens, this model reads at most {self.limit}: shorten it by {len(ids) - self.limit}."
            )
        if min(ids) < 0:
            above = "" if self.size is None else f" to {self.size - 1}"
            raise InputError(f"there is no token {min(ids)}: ids go from 0{above}.")
        if self.size is not None and max(ids) >= self.size:
            raise InputError(
                f"token {max(ids)} is beyond the model's {self.size} embeddings: this tokenizer belongs to another model."
            )

    def piece(self, token: int) -> str:
        """The text of one token, with its leading space, which decoders drop; the stored piece tells.

        Bytes that are no character by themselves, parts of an emoji say, are written as `\\xf0`. Parameters: `token`, an id.
        """
        return self.joined([token])

    def joined(self, tokens: Iterable[int]) -> str:
        """The text of tokens side by side, in which bytes of several make a character. Parameters: `tokens`, ids."""
        return b"".join(map(self._spelled, tokens)).decode("utf-8", "backslashreplace")

    def _spelled(self, token: int) -> bytes:
        stored = self.tokenizer.id_to_token(token) if self._plain else self.tokenizer.convert_ids_to_tokens(token)
        options = {} if self._plain else {"clean_up_tokenization_spaces": False}
        text = str(self.tokenizer.decode([token], skip_special_tokens=False, **options))
        if "\ufffd" in text and isinstance(stored, str) and (raw := _bytes(stored)) is not None:
            return raw
        leading = isinstance(stored, str) and stored[:1] in _SPACES
        return (f" {text}" if leading and not text.startswith(" ") else text).encode("utf-8", "replace")

    def one(self, text: str) -> int:
        """The id of a text that is one token. Parameters: `text`. Raises `InputError` with the pieces where it is several."""
        return self.single(text, self.cut(text, "the target"), " " + text)

    def single(self, text: str, ids: list[int], spaced: str) -> int:
        """The one id that a text was cut into, or that of the piece it spells.

        Parameters: `text`; `ids`, what it was cut into; `spaced`, the text with a space before it. Raises `InputError` with
        the pieces where there are several, and for a text that the tokenizer cannot write.
        """
        if len(ids) == 1 and self.known(text, ids):
            return ids[0]
        if (stored := self._stored(text)) is not None:
            return stored
        if not self.known(text, ids):
            raise InputError(_unknown("the target", text))
        one = not text.startswith(" ") and len(self.pieces_of(spaced, "the target")) == 1
        hint = f" With a leading space it is one token: {spaced!r}." if one else f" Name one of them. {_all_of(text)}"
        shown = self.shown(ids)
        raise InputError(f"the target {text!r} is {len(ids)} tokens here ({shown}), and this score is of one token.{hint}")

    def shown(self, ids: Sequence[int]) -> str:
        """Tokens in words, for a message. Parameters: `ids`."""
        return ", ".join(repr(self.piece(i)) for i in ids)

    def _stored(self, text: str) -> int | None:
        """The id of a piece that is written just so, though a text would not be cut there: the middle or end of a word, or bytes."""
        vocabulary = self.tokenizer.get_vocab()
        if "\\x" in text:
            return next((i for i in vocabulary.values() if self.piece(i) == text), None)
        return next((vocabulary[form] for s in (" ", *_SPACES) if (form := text.replace(" ", s)) in vocabulary), None)

    def pieces_of(self, text: Any, what: str = "the text") -> list[int]:
        """The ids of a bare text, nothing added.

        Parameters: `text`; `what` it is called in errors. Raises `InputError` for what is no text, or none that the tokenizer
        can write.
        """
        ids = self.cut(text, what)
        if not self.known(text, ids):
            raise InputError(_unknown(what, text))
        return ids

    def cut(self, text: Any, what: str = "the text") -> list[int]:
        """The ids of a bare text, also where some of them stand for what the tokenizer does not know.

        Parameters: `text`; `what` it is called in errors. Raises `InputError` for what is no text, or longer than any prompt.
        """
        if not isinstance(text, str):
            raise InputError(f"{what} is {text!r}, which is no text: give a str, such as ' Paris'.")
        if not text:
            raise InputError(f"{what} is empty: name a token, such as ' Paris' with its leading space.")
        self._check_size(text, what)
        _check_letters(text, what)
        return self._bare(text)

    def _bare(self, text: str) -> list[int]:
        found: Any = self.tokenizer.encode(text, add_special_tokens=False)
        return list(found.ids if self._plain else found)

    @cached_property
    def letters(self) -> int | None:
        """The most characters that the longest prompt can have; None where prompts may have any length."""
        if self.limit is None:
            return None
        return self.limit * max(_LETTERS, *map(len, self.tokenizer.get_vocab()))

    def _check_size(self, text: str, what: str) -> None:
        """Refuses what can be no prompt before it is made tokens: of megabytes that would take a minute."""
        if self.letters is not None and len(text) > self.letters:
            raise InputError(
                f"{what} has {len(text):,} characters: the {self.limit:,} tokens that this model reads at most have no more than "
                f"{self.letters:,}. Shorten it."
            )

    def known(self, text: str, ids: Sequence[int]) -> bool:
        """Whether a text could be written. Parameters: `text`; `ids`, what it was cut into."""
        unknown = getattr(self.tokenizer, "unk_token_id", None)
        return bool(ids) and (unknown is None or unknown not in ids or text == self.piece(unknown))

    @property
    def pad(self) -> int:
        """An id to fill up with; it is masked, so any will do."""
        found = getattr(self.tokenizer, "pad_token_id", None)
        found = getattr(self.tokenizer, "eos_token_id", None) if found is None else found
        return 0 if found is None else int(found)


def _bytes(stored: str) -> bytes | None:
    """The bytes that a stored piece stands for, None where it is of another kind."""
    if one := _BYTE.fullmatch(stored):
        return bytes([int(one[1], 16)])
    return bytes(_BYTES[letter] for letter in stored) if all(letter in _BYTES for letter in stored) else None


def _check_letters(text: str, what: str) -> None:
    """Bytes that were no UTF-8 come as surrogates, which no tokenizer takes."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InputError(f"{what} holds bytes that are no text: type it in UTF-8, for example under LC_ALL=C.UTF-8.")


def _unknown(what: str, text: str) -> str:
    return f"{what} {text!r} is unknown to this tokenizer: name a token of its vocabulary, or an id."


def _all_of(text: str) -> str:
    return f"All of them are a sequence: ms.sequence({text!r}), or --sequence on the command line."
