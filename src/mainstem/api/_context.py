"""Tokens and images by their index in the data: what they are, and what stands around them."""

from collections.abc import Collection
from typing import Any

import torch

from mainstem.models import Loaded
from mainstem.scan import Batch, token_at

AROUND = 8


def contexts(loaded: Loaded, batch: Batch, wanted: Collection[int]) -> dict[int, dict[str, Any]]:
    """What is to be told of those of the wanted tokens that are in a batch: example, position, token, before, after.

    Parameters: `loaded`; `batch`; `wanted`, indices of tokens. Of images there is no token, and the position is a place of the image.
    """
    if batch.ids is None:
        numbers = {number: example.place for number, example in batch.examples.items()}
        known = {index: token_at(index) for index in wanted}
        return {i: _image(numbers[number], place) for i, (number, place) in known.items() if number in numbers}
    assert loaded.codec is not None
    found = {}
    for row, column in torch.isin(batch.index, torch.tensor(sorted(wanted))).nonzero().tolist():
        index = int(batch.index[row, column])
        if index >= 0:
            real = batch.ids[row][batch.mask[row]].tolist()
            cut = real[max(0, column - AROUND) : column + AROUND + 1]
            said = loaded.codec.joined
            at = min(column, AROUND)
            number, position = token_at(index)
            about = {"example": batch.examples[number].place, "position": position}
            text = {"token": said(cut[at : at + 1]), "before": said(cut[:at]), "after": said(cut[at + 1 :])}
            found[index] = about | text
    return found


def told(context: dict[int, dict[str, Any]], index: int) -> dict[str, Any]:
    """What is known of a token. Parameters: `context`; `index`, -1 for none."""
    nothing = {"example": None, "position": None, "token": None, "before": None, "after": None}
    return context.get(index, nothing)


def _image(place: str, position: int) -> dict[str, Any]:
    return {"example": place, "position": position, "token": None, "before": None, "after": None}
