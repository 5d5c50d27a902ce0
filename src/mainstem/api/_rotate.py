"""A model in another basis."""

from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.core import InputError, whole
from mainstem.measure import directions
from mainstem.models import example
from mainstem.stream import rotated

from ._model import Model
from ._readable import readable


def rotate(
    model: Model,
    R: Float[Tensor, "row column"] | Int[Tensor, "row column"] | None = None,
    *args: Any,
    seed: int = 0,
    stream: str | None = None,
    **kwargs: Any,
) -> Model:
    """The same model with its residual stream in another basis: R x stands where x stood, and every output stays.

    A weight W that reads the stream becomes W diag(g) R^T, where g is the gain of the norm before it, one that writes to it becomes
    R W; a norm's shift b becomes W b in the bias behind it, tied embeddings are untied. An RMS norm then needs no basis:
    |R x| = |x|. LayerNorm also takes the mean out, which is no rotation's business: with C x = x - mean x, what writes becomes R C W, the norm an
    RMS norm with the same eps, and the stream R C x. The module given is not touched. The new one is run beside it in float64 before it is returned.

    Parameters: `model`; `R`, an orthogonal matrix of the stream's width, None for a random one; `args` and `kwargs`, what the module is
    called with, an example of the model's form where there are none; `seed`, of the random one; `stream`, which of several by name.

    Returns the model around the new module, of the given one's class; its provenance says which rotation. Raises `InputError` for a
    matrix that is not square, of another width or not orthogonal to the bound of its dtype, and for a stream that reads or writes feature by feature: a norm's
    result that is the stream itself, an activation on it, gains that no weights behind can take up. `NoStreamError` where there is none.

    Source: Ashkboos et al. 2024, "SliceGPT", arXiv 2401.15024, and "QuaRot", arXiv 2404.00456: what they do by the name of every architecture's parts, this
    does for what the forward pass shows to be read and written.
    """
    if not isinstance(model, Model) or not isinstance(R, Tensor | None):
        raise InputError(f"rotate takes a model of load and a matrix, not {type(model).__name__} and {type(R).__name__}.")
    whole("seed", seed)
    loaded = model.loaded
    if args or kwargs:
        module = rotated(loaded.module, R, args, kwargs, stream, partial(_random, seed))
    else:
        ready = example(loaded)
        with readable(loaded, ready):
            module = rotated(loaded.module, R, ready.args, ready.kwargs, stream, partial(_random, seed))
    how = f"seed {seed}" if R is None else f"R of sha256 {_digest(R)}"
    said = f"{loaded.source or loaded.name}, rotated by {how}"
    return Model(replace(loaded, module=module, name=f"{loaded.name} rotated", origin="rotated", source=said))


def _random(seed: int, width: int) -> Tensor:
    return directions(width, width, seed, torch.device("cpu"), torch.float64)


def _digest(R: Tensor) -> str:
    return sha256(R.detach().double().cpu().contiguous().numpy().tobytes()).hexdigest()
