"""From the examples of a piece to batches that fit a budget of tokens: padded, or packed into rows of one length."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mainstem.core import InputError

from ._rows import Example

POSITION = 24  # bits of a token's index that are its position in its example
Tokenize = Callable[[str], Sequence[Sequence[int]]]


@dataclass(frozen=True)
class Batching:
    """How examples become batches.

    Parameters: `batch_tokens`, the most tokens of a batch, pads counted; of images, the most images; `tokenize`, from a text
    to its windows, each a list of ids that the model can take at once, None for images; `pack`, None to pad windows to the
    longest of their batch, or the length of rows that windows are laid into one after the other (nothing keeps a model from
    looking from one into the one before, unless it is run with `Batch.index`); `pad`, the id at places that do not count; `textless`, what is said of texts where there
    is no tokenizer; `longest`, the most tokens of a window that is a batch by itself where it is longer than `batch_tokens`.
    """

    batch_tokens: int
    tokenize: Tokenize | None = None
    pack: int | None = None
    pad: int = 0
    textless: str = "texts need a tokenizer: give tokenize."
    longest: int = 0

    def __post_init__(self) -> None:
        for name in ("batch_tokens", "pack"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InputError(f"{name} is a whole number from 1, not {value!r}.")
        if self.pack is not None and self.pack > self.batch_tokens:
            raise InputError(f"a row of pack={self.pack} tokens does not fit batch_tokens={self.batch_tokens}.")


@dataclass(frozen=True)
class Batch:
    """What a model is run on at once.

    Parameters: `ids`, None for images; `mask`, True at places that count; `index`, of every token, its example's number times
    2^24 plus its position in the example, -1 at pads (of images one column, the position being left to the run); `images`, as
    PIL images; `examples`, those that have tokens in it, by number; `finished`, how many of them have no tokens in later ones.
    """

    ids: Int[Tensor, "batch pos"] | None
    mask: Bool[Tensor, "batch pos"]
    index: Int[Tensor, "batch pos"]
    images: tuple[Any, ...]
    examples: dict[int, Example]
    finished: int

    @property
    def tokens(self) -> int:
        """How many places count."""
        return int(self.mask.sum())


class _Window(NamedTuple):
    example: Example
    ids: Tensor
    places: Tensor


def token_at(index: int) -> tuple[int, int]:
    """The example's number and the position in it, of a token's index. Parameters: `index`."""
    return index >> POSITION, index & ((1 << POSITION) - 1)


def batches(examples: Sequence[Example], how: Batching, fault: Callable[[Example, str], None]) -> Iterator[Batch]:
    """Batches in an order that only the examples decide: by content id, and padded ones by length before that, longest first.

    Parameters: `examples`; `how`; `fault`, told of examples that no batch can be made of, and why.
    """
    ordered = sorted(examples, key=lambda e: (e.content, e.number))
    if any(not isinstance(e.value, str) for e in ordered):
        yield from _images(ordered, how, fault)
        return
    windows = [w for e in ordered for w in _windows(e, how, fault)]
    if windows:
        yield from _padded(windows, how) if how.pack is None else _packed(windows, how, how.pack)


def _windows(example: Example, how: Batching, fault: Callable[[Example, str], None]) -> list[_Window]:
    if how.tokenize is None:
        raise InputError(how.textless)
    try:
        cut = how.tokenize(example.value)
    except (InputError, UnicodeError, ValueError) as error:
        fault(example, f"cannot be tokenised: {error}")
        return []
    found, start = [], example.number << POSITION
    for ids in (torch.tensor(w) for w in cut if len(w)):
        found.append(_Window(example, ids, torch.arange(start, start + len(ids))))
        start += len(ids)
    total, most = start - (example.number << POSITION), max((len(w.ids) for w in found), default=0)
    why = "" if found else "no tokens"
    if total > 1 << POSITION:
        why = f"{total} tokens, more than {1 << POSITION}"
    if how.pack is None and most > max(how.batch_tokens, how.longest):
        why = f"a window of {most} tokens, more than batch_tokens={how.batch_tokens}"
    if why:
        fault(example, why)
        return []
    return found


def _padded(windows: list[_Window], how: Batching) -> Iterator[Batch]:
    left = Counter(w.example.number for w in windows)
    windows = sorted(windows, key=lambda w: -len(w.ids))
    at = 0
    while at < len(windows):
        taken = windows[at : at + max(1, how.batch_tokens // len(windows[at].ids))]
        at += len(taken)
        held = {w.example.number: w.example for w in taken}
        left.subtract(w.example.number for w in taken)
        ids = pad_sequence([w.ids for w in taken], batch_first=True, padding_value=how.pad)
        index = pad_sequence([w.places for w in taken], batch_first=True, padding_value=-1)
        yield Batch(ids, index >= 0, index, (), held, sum(not left[n] for n in held))


def _packed(windows: list[_Window], how: Batching, length: int) -> Iterator[Batch]:
    most = how.batch_tokens // length * length
    by_number = {w.example.number: w.example for w in windows}
    ends = torch.stack([w.places[-1] for w in {w.example.number: w for w in windows}.values()])
    flat = zip(*(torch.cat(parts).split(most) for parts in ([w.ids for w in windows], [w.places for w in windows])), strict=True)
    for ids, index in flat:
        numbers = (index >> POSITION).unique_consecutive().tolist()
        rows = [pad_sequence(x.split(length), batch_first=True, padding_value=pad) for x, pad in ((ids, how.pad), (index, -1))]
        finished = int(torch.isin(index, ends).sum())
        yield Batch(rows[0], rows[1] >= 0, rows[1], (), {n: by_number[n] for n in numbers}, finished)


def _images(examples: list[Example], how: Batching, fault: Callable[[Example, str], None]) -> Iterator[Batch]:
    for start in range(0, len(examples), how.batch_tokens):
        read = {e.number: (e, _picture(e, fault)) for e in examples[start : start + how.batch_tokens]}
        read = {number: pair for number, pair in read.items() if pair[1] is not None}
        if read:
            index = torch.tensor([[number << POSITION] for number in read])
            held = {number: e for number, (e, _) in read.items()}
            yield Batch(None, index >= 0, index, tuple(picture for _, picture in read.values()), held, len(held))


def _why(error: Exception) -> str:
    """What PIL says, but for the address of what it was given in memory."""
    return "in no format that is known" if "cannot identify image file" in str(error) else str(error)


def _picture(example: Example, fault: Callable[[Example, str], None]) -> Any:
    from PIL import Image

    if isinstance(example.value, str):
        fault(example, "a text among images")
        return None
    if not isinstance(example.value, bytes):
        return example.value
    try:
        picture = Image.open(BytesIO(example.value))
        picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        fault(example, f"no image: {_why(error)}")
        return None
    return picture
