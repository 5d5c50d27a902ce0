"""Shapley values: by enumeration of all coalitions where features are few, by the shap library else."""

from collections.abc import Callable
from math import comb

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._extras import needed

Predict = Callable[[Tensor], Tensor]
MOST = 12  # features that are enumerated


def shapley(
    predict: Predict, x: Float[Tensor, "row feature"], background: Float[Tensor, "other feature"], method: str = "shap"
) -> Float[Tensor, "row feature"]:
    """What each feature adds to a prediction, averaged over all orders in which features become known.

    phi_i(x) = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S)), v(S) the mean prediction over background rows in which the features
    of S are those of x. They sum to the prediction less the mean prediction of the background.

    Parameters: `predict`, from rows to numbers; `x`, rows to explain; `background`; `method`, "shap", the shap library (its exact explainer up to
    12 features, permutations beyond), or "exact", our own enumeration in float64, up to 12 features.

    Raises `InputError` for another method, too many features to enumerate, and where shap is not installed.
    Source: Shapley 1953; Lundberg and Lee 2017, arXiv 1705.07874.
    """
    if method == "shap":
        return _by_library(predict, x, background)
    if method != "exact":
        raise InputError(f"method is {method!r}: choose 'shap' or 'exact'.")
    if x.shape[1] > MOST:
        raise InputError(
            f"{x.shape[1]} features have {2 ** x.shape[1]:,} coalitions: take method='shap', or at most {MOST} features."
        )
    return torch.stack([_enumerated(predict, row, background) for row in x])


@torch.no_grad()
def _enumerated(predict: Predict, row: Tensor, background: Tensor) -> Tensor:
    """Bit i of a coalition's number says whether it has feature i."""
    n = len(row)
    numbers = torch.arange(2**n)
    known = (numbers[:, None] >> torch.arange(n)) & 1 == 1
    rows = torch.where(known[:, None], row, background)
    worth = predict(rows.flatten(0, 1)).double().view(2**n, -1).mean(1)
    sizes = known.sum(1)
    weights = torch.tensor([1 / (n * comb(n - 1, k)) for k in range(n)], dtype=torch.float64)
    found = []
    for i in range(n):
        without = numbers[~known[:, i]]
        found.append((weights[sizes[without]] * (worth[without + 2**i] - worth[without])).sum())
    return torch.stack(found)


def _by_library(predict: Predict, x: Tensor, background: Tensor) -> Tensor:
    shap = needed("shap")

    @torch.no_grad()
    def call(rows: object) -> object:
        return predict(torch.as_tensor(rows).to(x)).double().cpu().numpy()

    masker = shap.maskers.Independent(background.cpu().numpy(), max_samples=len(background))
    few = x.shape[1] <= MOST
    explainer = shap.explainers.Exact(call, masker) if few else shap.explainers.Permutation(call, masker, seed=0)
    given = x.cpu().numpy()
    found = explainer(given) if few else explainer(given, silent=True)
    return torch.tensor(found.values, dtype=torch.float64)
