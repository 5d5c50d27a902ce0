"""What a network on a table looks at: Shapley values of each feature, as the three usual charts show them."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError

from ._extras import needed
from ._setup import Setup
from ._shapley import shapley
from ._tables import table
from ._train_table import train_table
from .recipes import recipe


@dataclass(frozen=True, eq=False)
class Explained:
    """Shapley values of rows of a table. Made by `explained`.

    Parameters: `names`, of the features; `values` [row, feature]; `features` [row, feature], standardised; `predictions` [row]; `base`, the mean
    prediction of the background: base + the row's sum of values is its prediction.
    """

    names: tuple[str, ...]
    values: Float[Tensor, "row feature"]
    features: Float[Tensor, "row feature"]
    predictions: Float[Tensor, " row"]
    base: float

    @property
    def error(self) -> float:
        """The largest difference between a prediction and base + the sum of its values."""
        return float((self.base + self.values.sum(1) - self.predictions).abs().max())

    def bar(self) -> Any:
        """Mean absolute value of each feature, the largest first, as a polars frame."""
        import polars

        frame = polars.DataFrame({"feature": self.names, "mean_abs": self.values.abs().mean(0).tolist()})
        return frame.sort("mean_abs", descending=True)

    def beeswarm(self) -> Any:
        """A row for each row and feature: its Shapley value and the feature's own, features in the order of `bar`, as a polars frame."""
        import polars

        order = self.bar()["feature"].to_list()
        rows = [
            {"feature": name, "row": r, "shap": float(self.values[r, i]), "value": float(self.features[r, i])}
            for name in order
            for i in [self.names.index(name)]
            for r in range(len(self.values))
        ]
        return polars.DataFrame(rows)

    def by_similarity(self) -> Any:
        """Rows in an order in which alike explanations are neighbours: prediction, and the sums of what pushes it up and down.

        A polars frame with place, row, prediction, up and down, base + up + down = prediction. The order is that of the leaves of a complete linkage of
        the rows' values, as in shap's stacked force plot.
        """
        import polars

        hierarchy = needed("scipy.cluster.hierarchy")
        linked = hierarchy.linkage(self.values.numpy(), "complete", optimal_ordering=True)
        order = [int(i) for i in hierarchy.leaves_list(linked)]
        up, down = self.values.clamp_min(0).sum(1), self.values.clamp_max(0).sum(1)
        rows = [
            {"place": k, "row": r, "prediction": float(self.predictions[r]), "up": float(up[r]), "down": float(down[r])}
            for k, r in enumerate(order)
        ]
        return polars.DataFrame(rows)


def explained(
    data: str = "diabetes",
    residual: bool = True,
    seed: int = 0,
    rows: int = 100,
    background: int = 50,
    method: str = "shap",
    setup: Setup | None = None,
) -> Explained:
    """Trains a network on a table, and explains its predictions on rows that were kept back.

    Parameters: `data`, the table; `residual`, with a residual stream or without one; `seed`; `rows`, how many to explain; `background`, how many training
    rows stand for what is not known; `method`, as of `shapley`; `setup`, of another network, that of the recipe residual-table where None.

    Raises `InputError` for a table that there is not, and as `shapley` does.
    """
    if rows < 2 or background < 1:
        raise InputError("explain at least two rows, before a background of at least one.")
    plan = recipe("residual-table").setups
    chosen = setup or next(iter(plan.values())).with_({"data.name": data, "model.residual": residual})
    held = table(**{"split": seed, **chosen.data})
    model = train_table(chosen, seed).model.double().eval()
    x, known = held.test_x[:rows].double(), held.x[:background].double()
    with torch.no_grad():
        predictions, base = model(x), float(model(known).mean())
    return Explained(held.names, shapley(model, x, known, method), x, predictions, base)
