"""What is scored: a token, a difference of two, one token per prompt or position; and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.models import Inputs, Loaded
from mainstem.score import Goal
from mainstem.stream import Entries


@dataclass(frozen=True)
class Contrast:
    """The difference of two tokens' logits: their log-odds. Made by `contrast`.

    Parameters: `token` and `against`, texts or ids, or one of these for each prompt.
    """

    token: "Token"
    against: "Token"


def contrast(token: "Token", against: "Token") -> Contrast:
    """A target that is the difference of two logits, log p(token) - log p(against).

    Parameters: `token` and `against`, texts that are one token each, or ids; or a list of these, one for each prompt.
    """
    return Contrast(token, against)


Token = str | int | Sequence[str | int] | Tensor
Target = Token | Contrast | None


@dataclass(frozen=True, eq=False)
class Aim:
    """A target made concrete: ids per prompt (or per place), what they are held against, the places; in words, one a prompt if they differ."""

    ids: Tensor
    against: Tensor | None
    places: Tensor | None
    text: str | tuple[str, ...]

    def entries(self, output: Tensor) -> Entries:
        """The target as entries of the output: one for the token, one for what it is held against.

        Parameters: `output`, with all positions or with the places alone.
        """
        both = [self.ids] if self.against is None else [self.ids, self.against]
        ids = torch.stack(both, -1)
        weights = torch.ones(ids.shape, dtype=output.dtype, device=output.device)
        weights[..., 1:] = -1.0
        if output.ndim != 3 or self.places is None:
            return Entries(ids, weights)
        n = output.shape[1]
        there = torch.arange(n, device=output.device) == (self.places[:, None] if n > 1 else 0)
        every = ids[:, None].expand(-1, n, -1)
        return Entries(every, weights[:, None] * there[..., None])


def aim(loaded: Loaded, inputs: Inputs, output: Tensor, target: Target, places: Tensor | None) -> Aim:
    """Resolves a target against a model and a run.

    Parameters: `loaded`; `inputs`; `output`, the run's, at every position or at the places alone; `target`, None for what the
    model predicts; `places`, from `spots`.

    Raises `InputError` for unknown tokens, texts of several tokens.
    """
    rows = torch.arange(output.shape[0], device=output.device)
    at = output if places is None else output[rows, places if output.shape[1] > 1 else 0]
    if isinstance(target, Contrast):
        ids, against = (_tokens(loaded, t, output, at.shape[:-1]) for t in (target.token, target.against))
        if bool((same := ids[ids == against]).numel()):
            raise InputError(f"a contrast is of two different tokens; both are {name_of(loaded, int(same[0]), output)!r}.")
        return Aim(ids, against, places, _said(loaded, output, ids, against))
    if target is None:
        if loaded.codec is not None and not has_words(loaded, output):
            raise InputError(
                f"this model has no vocabulary readout: its output has {output.shape[-1]} features. Name one: target=0 (--target 0)."
            )
        ids = at.argmax(-1)
    else:
        ids = _tokens(loaded, target, output, at.shape[:-1])
    return Aim(ids, None, places, _said(loaded, output, ids))


def _said(loaded: Loaded, output: Tensor, *ids: Tensor) -> str | tuple[str, ...]:
    """The target in words: one text if it is the same everywhere, one for each prompt if there is one position of each."""
    rows = torch.stack(ids, -1).flatten(0, -2)
    if ids[0].ndim > 1 and bool((rows != rows[:1]).any()):
        return "a token at each position"
    texts = [" over ".join(repr(name_of(loaded, i, output)) for i in row) for row in rows.tolist()]
    return texts[0] if len(set(texts)) == 1 else tuple(texts)


def _tokens(loaded: Loaded, given: Token, output: Tensor, shape: torch.Size) -> Tensor:
    """The ids of a token, or of one for each prompt or place."""
    if not isinstance(given, (list, tuple, Tensor)):
        return torch.full(shape, _one(loaded, given, output), device=output.device)
    ids = given if isinstance(given, Tensor) else torch.tensor([_one(loaded, t, output) for t in given])
    if ids.shape not in ((), shape):
        raise InputError(f"target ids of shape {tuple(ids.shape)}: give one id, or a target for each of {tuple(shape)}.")
    ids = ids.to(output.device).long().expand(shape)
    if bool(((ids < 0) | (ids >= output.shape[-1])).any()):
        raise InputError(f"target ids go from 0 to {output.shape[-1] - 1}.")
    return ids


def has_words(loaded: Loaded, output: Tensor) -> bool:
    """Whether the output's last axis is the tokenizer's vocabulary. Parameters: `loaded`; `output`."""
    return loaded.codec is not None and (loaded.codec.size is None or output.shape[-1] >= loaded.codec.size)


def name_of(loaded: Loaded, index: int, output: Tensor) -> str:
    """A place on the output's last axis in words: a token, a class, else its number. Parameters: `loaded`; `index`; `output`."""
    if has_words(loaded, output) and loaded.codec is not None:
        return loaded.codec.piece(index)
    classes = getattr(getattr(loaded.module, "config", None), "id2label", None) or {}
    return str(classes.get(index, index)) if len(classes) == output.shape[-1] else str(index)


def _one(loaded: Loaded, target: Token, output: Tensor) -> int:
    if isinstance(target, str):
        target = _named(loaded, target, output)
    if not isinstance(target, int) or isinstance(target, bool):
        raise InputError(f"a target is a token's text or id, a contrast of two, or a list or tensor of these, not {target!r}.")
    if not 0 <= target < output.shape[-1]:
        raise InputError(f"there is no target {target}: the output has {output.shape[-1]} entries, counted from 0.")
    return target


def _named(loaded: Loaded, text: str, output: Tensor) -> int:
    if loaded.codec is not None and has_words(loaded, output):
        return loaded.codec.one(text)
    classes = getattr(getattr(loaded.module, "config", None), "id2label", None) or {}
    found = [i for i, name in classes.items() if text.lower() in (str(name).lower(), *str(name).lower().split(", "))]
    if not found and text.isdecimal():
        return int(text)
    if len(found) != 1:
        some = ", ".join(repr(str(name)) for name in list(classes.values())[:4])
        known = f"{some}, ..." if len(classes) > 4 else some or "not named"
        raise InputError(f"no class {text!r} in this model: its {output.shape[-1]} are {known}; a number from 0 will do too.")
    return int(found[0])


def spots(loaded: Loaded, inputs: Inputs, shape: tuple[int, ...], positions: int | str | None) -> Tensor | None:
    """The place of every prompt that is meant, None for all of them, or where the output has none.

    Parameters: `loaded`; `inputs`; `shape`, of the output with all its positions; `positions`, a place counted from either
    end of the real tokens, "all", or None for the mask token or else the last real token. Raises `InputError` for a place
    outside of a prompt.
    """
    if len(shape) != 3 and isinstance(positions, int):
        raise InputError("this model's output has no positions to choose from: leave the position out.")
    if len(shape) != 3 or positions == "all":
        return None
    lengths = _lengths(inputs, shape)
    if positions is None:
        return _default_places(loaded, inputs, lengths)
    if not isinstance(positions, int):
        raise InputError(f"positions is a number, None or 'all', not {positions!r}.")
    first = torch.zeros_like(lengths) if inputs.mask is None else inputs.mask.argmax(1)
    found = first + positions + (lengths if positions < 0 else 0)
    if bool(((found < first) | (found >= first + lengths)).any()):
        raise InputError(
            f"there is no position {positions}: the shortest prompt has {int(lengths.min())} tokens, counted from 0 (or back from -1)."
        )
    return found


def _default_places(loaded: Loaded, inputs: Inputs, lengths: Tensor) -> Tensor:
    last = inputs.last if inputs.last is not None else lengths - 1
    mask = getattr(getattr(loaded.codec, "tokenizer", None), "mask_token_id", None)
    if mask is None or inputs.ids is None:
        return last
    found = inputs.ids == mask
    return torch.where(found.any(1), found.int().argmax(1), last)


def _lengths(inputs: Inputs, shape: tuple[int, ...]) -> Tensor:
    if inputs.mask is not None:
        return inputs.mask.sum(1)
    device = None if inputs.ids is None else inputs.ids.device
    return torch.full(shape[:1], shape[1], device=device)


def goal_of(found: Aim, output: Tensor, mask: Tensor | None) -> Goal:
    """A target as what is scored at the places of an output. Parameters: `found`; `output`; `mask`, one at real tokens."""
    shape = found.ids.shape
    grid = torch.cartesian_prod(*(torch.arange(n) for n in shape)).reshape(-1, len(shape)).to(output.device)
    places = grid if found.places is None else torch.stack([grid[:, 0], found.places], 1)
    real = mask.flatten().to(output.dtype) if mask is not None and len(shape) == 2 else output.new_ones(len(places))
    ids = found.ids.flatten()[:, None]
    against = None if found.against is None else found.against.flatten()[:, None]
    every = torch.ones_like(ids, dtype=torch.bool)
    owner = torch.arange(len(places), device=output.device)
    return Goal(places, ids, every, against, None if against is None else every, real, owner, tuple(shape), found.text)
