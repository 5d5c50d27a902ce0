"""Which places of the prompts are meant: counted from either end of the real tokens, the mask token, or the last."""

import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import StreamMap
from mainstem.models import Inputs, Loaded
from mainstem.stream import Tokens


def spots(
    loaded: Loaded, inputs: Inputs, shape: tuple[int, ...], positions: int | str | None, prompt: int | None = None
) -> Tensor | None:
    """The place of every prompt that is meant, None for all of them, or where the output has none.

    Parameters: `loaded`; `inputs`; `shape`, of the output with all its positions; `positions`, a place counted from either
    end of the real tokens, "all", or None for the mask token or else the last real token; `prompt`, the only one that the place
    has to be in, None for all: shorter ones take their last token. Raises `InputError` for a place outside of a prompt.
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
    inside = (found >= first) & (found < first + lengths)
    if not bool(inside.all() if prompt is None else inside[prompt : prompt + 1].all()):
        which, most = ("the shortest prompt", lengths.min()) if prompt is None else (f"prompt {prompt}", lengths[prompt])
        raise InputError(f"there is no position {positions}: {which} has {int(most)} tokens, counted from 0 (or back from -1).")
    return torch.where(inside, found, first + lengths - 1)


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


def tokens_of(found: StreamMap, inputs: Inputs) -> dict[str, Tokens]:
    """Which places of every stream are tokens of the prompts. Parameters: `found`, the map; `inputs`, of the run."""
    ids, decoded = inputs.ids, inputs.kwargs.get("decoder_input_ids")
    mask = None if ids is None else torch.ones_like(ids, dtype=torch.bool) if inputs.mask is None else inputs.mask.bool()
    said = None if decoded is None else torch.ones_like(decoded, dtype=torch.bool)
    return {s.name: Tokens(said if said is not None and s is found.main else mask) for s in found.streams}
