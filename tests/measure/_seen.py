"""Measuring some tokens in one line."""

from typing import Any

import torch
from torch import Tensor

from mainstem.measure import measure_named


def measured(name: str, *sites: Tensor, ids: Tensor | None = None, **choices: Any) -> dict[str, Tensor]:
    """The numbers of a measure over all tokens of its sites."""
    measure = measure_named(name, **choices)
    mask = torch.ones(len(sites[0]), dtype=torch.bool)
    return measure.result(measure.update(measure.init(*[x.shape[1] for x in sites]), *sites, mask, ids))


def gaussian(tokens: int, width: int) -> Tensor:
    return torch.randn(tokens, width, dtype=torch.float64)
