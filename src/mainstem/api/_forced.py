"""Teacher forcing: the input that a sequence is read from, prompt and all but its last token, and the places of its tokens there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mainstem.core import InputError, error
from mainstem.models import Inputs, continued
from mainstem.score import Goal

from ._aim import Sight
from ._names import has_words
from ._target import TokenSequence

_ROUNDING = {torch.float32: 64.0, torch.float64: 64.0}  # eps


@dataclass(frozen=True, eq=False)
class Forced:
    """Prompts with a sequence behind each: tokens, the input they are predicted from, and the place the first is predicted at.

    Parameters: `tokens`, of every prompt; `inputs`, prompt and all but the last token; `first`, [batch].
    """

    tokens: tuple[tuple[int, ...], ...]
    inputs: Inputs
    first: Tensor

    def same(self, inputs: Inputs) -> bool:
        """Whether other inputs are these. Parameters: `inputs`, made for the same prompts."""
        pairs = (self.inputs.ids, inputs.ids), (self.inputs.mask, inputs.mask)
        return all(one is other or (one is not None and other is not None and torch.equal(one, other)) for one, other in pairs)

    def other(self, size: int) -> Inputs:
        """The same input with another token at the end of every prompt that has one more. Parameters: `size`, of the vocabulary."""
        assert self.inputs.ids is not None
        ids = self.inputs.ids.clone()
        last = self._index(lambda n: [n - 1][: n - 1])
        ids[last] = (ids[last] + 1) % size
        kwargs = {name: ids if value is self.inputs.ids else value for name, value in self.inputs.kwargs.items()}
        return replace(self.inputs, kwargs=kwargs, ids=ids)

    def check(self, output: Tensor, other: Tensor, dtype: torch.dtype) -> None:
        """Raises `InputError` where the output at a place is another one with another token behind it.

        Both runs are of one shape, so that rows before that token are worked out alike, to the last bit but for experts, which
        then have other rows beside them. bfloat16 leaves no room: a small model that reads both ways moves by 1 eps.

        Parameters: `output`, of the longer input; `other`, of that with another last token; `dtype`, of the run.
        """
        places = self._index(lambda n: range(n - 1))
        miss, most = error(output[places], other[places]), float(output[places].detach().abs().max())
        if not miss <= _ROUNDING.get(dtype, 0.5) * torch.finfo(dtype).eps * most:
            raise InputError(
                f"a sequence is predicted token after token, and this model's output reads later tokens: with another one behind it "
                f"moves by {miss:.2g} of {most:.2g}. Score one token at a time."
            )

    def _index(self, behind: Callable[[int], Iterable[int]]) -> tuple[Tensor, Tensor]:
        """Prompts and positions, so many behind the first place. Parameters: `behind`, of the number of a prompt's tokens."""
        starts = zip(self.first.tolist(), self.tokens, strict=True)
        pairs = [(b, start + i) for b, (start, row) in enumerate(starts) for i in behind(len(row))]
        rows, columns = torch.tensor(pairs, device=self.first.device).unbind(1)
        return rows, columns

    def goal(self, sight: Sight) -> Goal:
        """The tokens at their places, summed for each prompt. Parameters: `sight`, of the longer run."""
        device = self.first.device
        owner, columns = self._index(range)
        ids = torch.tensor([[token] for row in self.tokens for token in row], device=device)
        said = [" ".join(repr(sight.name(token)) for token in row) for row in self.tokens]
        text = said[0] if len(set(said)) == 1 else tuple(said)
        places = torch.stack([owner, columns], 1)
        ones = sight.output.new_ones(len(owner))
        return Goal(places, ids, torch.ones_like(ids, dtype=torch.bool), None, None, ones, owner, (len(self.tokens),), text)


def tokens_of(sight: Sight, target: TokenSequence) -> tuple[tuple[int, ...], ...]:
    """The tokens of a sequence behind every prompt.

    Parameters: `sight`; `target`. Raises `InputError` for a model without tokens to read or places to predict them at, a
    sequence too few or many, tokens that are not there.
    """
    _check_model(sight)
    size, count = sight.output.shape[-1], sight.output.shape[0]
    given = target.tokens.tolist() if isinstance(target.tokens, Tensor) else target.tokens
    given = [given] if isinstance(given, int) else given
    each = [given] * count if isinstance(given, str) or all(isinstance(one, int) for one in given) else list(given)
    if len(each) != count:
        raise InputError(f"{len(each)} sequences for {count} prompts: give one for all, or one for each.")
    found = tuple(_ids(sight, one, prompt) for one, prompt in zip(each, sight.prompts, strict=True))
    if wrong := [token for row in found for token in row if not 0 <= token < size]:
        raise InputError(f"there is no target {wrong[0]}: the output has {size} entries, counted from 0.")
    return found


def _check_model(sight: Sight) -> None:
    if sight.output.ndim != 3 or sight.inputs.ids is None:
        raise InputError("a sequence is predicted token after token: this model's output has no positions of tokens it reads.")
    if sight.loaded.codec is not None and not has_words(sight.loaded, sight.output):
        raise InputError("a sequence is predicted token after token: this model has no vocabulary readout.")
    if sight.places is None:
        raise InputError("a sequence is scored where it begins, one place of each prompt: give positions=-1, or another place.")


def _ids(sight: Sight, given: Any, prompt: str | None) -> tuple[int, ...]:
    if isinstance(given, str):
        codec, what = sight.loaded.codec, "the sequence"
        if codec is None:
            raise InputError(f"text needs a tokenizer: give {given!r} as ids, or pass tokenizer=... to load.")
        ids = continued(codec, prompt, given, what)
        if not codec.known(given, ids):
            raise InputError(f"{what} {given!r} is unknown to this tokenizer: name tokens of its vocabulary, or ids.")
        return tuple(ids)
    if not isinstance(given, Sequence) or not all(isinstance(one, int) and not isinstance(one, bool) for one in given):
        raise InputError(f"a sequence is a text or ids, or one of these for each prompt, not {given!r}.")
    return tuple(given)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where rows of the longer input come from: a span of each old row, and something new behind; padding on one side."""

    spans: tuple[slice, ...]
    sizes: tuple[int, ...]
    left: bool

    def lay(self, old: Tensor, new: Sequence[Sequence[int]], fill: int) -> Tensor:
        width = max(self.sizes)
        rows = []
        for row, span, behind in zip(old, self.spans, new, strict=True):
            own = [*row[span].tolist(), *behind]
            padding = [fill] * (width - len(own))
            rows.append(padding + own if self.left else own + padding)
        return torch.tensor(rows).to(old)

    def first(self) -> list[int]:
        """Where the last token of every span comes to stand."""
        width = max(self.sizes)
        ends = [span.stop - span.start - 1 for span in self.spans]
        return [end + (width - size) * self.left for end, size in zip(ends, self.sizes, strict=True)]


def forced(sight: Sight, tokens: tuple[tuple[int, ...], ...], kwargs: dict[str, Any]) -> Forced:
    """The longer input.

    What stood behind a prompt's place is left away, since the sequence stands there. Padding stays on its side. Without a mask,
    sequences of different lengths are filled up behind, where no token reads.

    Parameters: `sight`, of the run so far; `tokens`, of every prompt; `kwargs`, the run's. Raises `InputError` where more than
    ids, mask and positions goes along with the tokens, and where they become too many.
    """
    ids, places, mask = sight.inputs.ids, sight.places, sight.inputs.mask
    assert ids is not None and places is not None
    mask = torch.ones_like(ids) if mask is None else mask
    starts, behind = mask.argmax(1), [row[:-1] for row in tokens]
    spans = tuple(slice(start, end + 1) for start, end in zip(starts.tolist(), places.tolist(), strict=True))
    sizes = tuple(span.stop - span.start + len(row) for span, row in zip(spans, behind, strict=True))
    layout = _Layout(spans, sizes, bool((starts > 0).any()))
    codec, ones = sight.loaded.codec, [[1] * len(row) for row in behind]
    longer, real = layout.lay(ids, behind, codec.pad if codec else 0), layout.lay(mask, ones, 0)
    for row, kept in zip(longer, real.bool(), strict=True):
        if codec is not None:
            codec.check(row[kept].tolist())
    changed = _along(ids, kwargs, layout, ones) | {name: longer for name, value in kwargs.items() if value is ids}
    inputs = replace(sight.inputs, kwargs=kwargs | changed, ids=longer, mask=None if bool(real.all()) else real)
    return Forced(tokens, inputs, torch.tensor(layout.first(), device=ids.device))


def _along(ids: Tensor, kwargs: dict[str, Any], layout: _Layout, ones: list[list[int]]) -> dict[str, Tensor]:
    """Mask and positions made longer with the ids, where the run had them."""
    name = next((name for name, value in kwargs.items() if value is ids), "")
    side = "decoder_" if name.startswith("decoder_") else ""
    found = {}
    for other, value in kwargs.items():
        if other == name or not isinstance(value, Tensor) or not other.startswith(side):
            continue
        if other == f"{side}attention_mask" and value.shape == ids.shape:
            found[other] = layout.lay(value, ones, 0)
        elif other == f"{side}position_ids" and value.shape == ids.shape:
            last = [int(row[span.stop - 1]) for row, span in zip(value, layout.spans, strict=True)]
            found[other] = layout.lay(value, [range(n + 1, n + 1 + len(row)) for n, row in zip(last, ones, strict=True)], 0)
        elif other == f"{side}attention_mask" or value.shape[:2] == ids.shape:
            raise InputError(f"{other} goes along with the tokens, which a sequence makes more: trace without it.")
    return found
