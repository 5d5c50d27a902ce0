"""Erasers of a model over data: weights once, attention of every batch."""

from collections.abc import Callable
from dataclasses import replace
from math import isnan, nan
from typing import Any

from mainstem.core import InputError
from mainstem.models import Loaded
from mainstem.scan import Example, Reader, batches, source, survey
from mainstem.score import Eraser

from ._batching import batching, prompts_of
from ._erasers import ErasersResult


def erasers_over(
    loaded: Loaded, traced: Callable[[Any], Any], data: Any, column: str | None, batch_tokens: int, length: int | None
) -> ErasersResult:
    """As `Model.erasers`, with heads' attention to the present token averaged over all tokens of the data.

    Parameters: `loaded`, the model; `traced`, makes a trace of prompts; `data`, `column`, `batch_tokens` and `length`, as of `measure`. Raises `InputError` for what cannot be read.
    """
    look = survey(source(data, column), unreadable=None)
    reader, how = Reader(look), batching(loaded, batch_tokens, length, False)
    first: ErasersResult | None = None
    sums, count = dict[str, float](), 0
    for piece in look.pieces:
        for batch in batches(reader.examples(piece), how, _refused):
            trace = traced(prompts_of(batch))
            first = first or trace.erasers()
            present, tokens = trace._presence([one.component for one in first.found if one.kind == "head"])
            if tokens:
                sums = {label: sums.get(label, 0.0) + tokens * value for label, value in present.items()}
                count += tokens
    if first is None:
        raise InputError("there is nothing in these data that the model can be run on.")
    found = sorted((_present(one, sums, count) for one in first.found), key=lambda one: (isnan(one.score), one.score))
    return ErasersResult(tuple(found), first.model, first.weights)


def _present(one: Eraser, sums: dict[str, float], count: int) -> Eraser:
    if one.eigenvalues is None:
        return one
    present = sums[one.component] / count if count else nan
    return replace(one, present=present, score=one.eigenvalues * present)


def _refused(example: Example, why: str) -> None:
    raise InputError(f"{example.place}: {why}.")
