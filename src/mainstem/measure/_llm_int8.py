"""LLM.int8's rule over the points of a model."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def outlier_dimensions(
    positions: Float[Tensor, "point width"], share: float = 0.06, points: float = 0.25
) -> Bool[Tensor, " width"]:
    """Features that have outliers in enough positions at enough points.

    Source: Dettmers et al. 2022, arXiv 2208.07339, section 4: the same feature in a quarter of the layers and 6 % of the positions.

    Parameters: `positions`, the share of positions with an outlier, that `llm_int8` gives for each point; `share`, of positions;
    `points`, of points.
    """
    return (positions >= share).double().mean(0) >= points - torch.finfo(torch.float64).eps
