"""Shapley values: the axioms, a linear model in closed form, and the shap library beside the enumeration."""

import pytest
import torch

import mainstem as ms
from mainstem.core import InputError
from mainstem.lab import shapley
from mainstem.lab._mlp import TableNet

N = 5
X, BACKGROUND = torch.randn(4, N, dtype=torch.float64), torch.randn(7, N, dtype=torch.float64)
COEFFICIENTS = torch.tensor([1.0, -2.0, 0.5, 0.0, 3.0], dtype=torch.float64)


def bent(x: torch.Tensor) -> torch.Tensor:
    """Symmetric in features 0 and 1, blind to feature 3."""
    return (x[:, 0] * x[:, 1]).tanh() + x[:, 2].square() * x[:, 4] + x[:, 0] + x[:, 1]


def test_they_sum_to_what_the_prediction_adds():
    found = shapley(bent, X, BACKGROUND, "exact")
    assert torch.allclose(found.sum(1), bent(X) - bent(BACKGROUND).mean(), atol=1e-12)
    assert found.abs().max() > 0.1


def test_a_feature_that_nothing_reads_has_none():
    assert torch.equal(shapley(bent, X, BACKGROUND, "exact")[:, 3], torch.zeros(4, dtype=torch.float64))


def test_features_that_play_the_same_part_have_equal_values():
    x, background = X.clone(), BACKGROUND.clone()
    x[:, 1], background[:, 1] = x[:, 0], background[:, 0]
    found = shapley(bent, x, background, "exact")
    assert torch.allclose(found[:, 0], found[:, 1], atol=1e-12)
    assert not torch.allclose(found[:, 0], found[:, 2], atol=1e-3)


def test_a_linear_model_in_closed_form():
    found = shapley(lambda x: x @ COEFFICIENTS + 7, X, BACKGROUND, "exact")
    assert torch.allclose(found, COEFFICIENTS * (X - BACKGROUND.mean(0)), atol=1e-12)


def test_two_features_by_hand():
    """f = x0 x1, background 0: both orders give half of the product to each."""
    found = shapley(lambda x: x[:, 0] * x[:, 1], torch.tensor([[2.0, 3.0]]), torch.zeros(1, 2), "exact")
    assert found.tolist() == [[3.0, 3.0]]


@pytest.mark.parametrize("n", [3, 10])
def test_the_library_says_what_the_enumeration_does(n):
    pytest.importorskip("shap", reason="the extra lab is not installed")
    model = TableNet(n, width=8, hidden=16, blocks=2).double().eval()
    x, background = torch.randn(3, n, dtype=torch.float64), torch.randn(6, n, dtype=torch.float64)
    exact, library = (shapley(model, x, background, method) for method in ("exact", "shap"))
    assert torch.allclose(library, exact, atol=1e-9)


def test_a_table_is_explained():
    pytest.importorskip("sklearn", reason="the extra lab is not installed")
    setup = ms.lab.recipe("residual-table").setups["diabetes, residual"].with_({"training.steps": 20})
    found = ms.lab.explained(rows=6, background=4, method="exact", setup=setup)
    assert found.error < 1e-9
    bar, swarm, order = found.bar(), found.beeswarm(), found.by_similarity()
    assert bar["mean_abs"].is_sorted(descending=True) and set(bar["feature"]) == set(found.names)
    assert len(swarm) == 6 * len(found.names) and swarm["feature"][0] == bar["feature"][0]
    assert sorted(order["row"].to_list()) == list(range(6))
    assert (order["up"] + order["down"] + found.base - order["prediction"]).abs().max() < 1e-9


def test_alike_explanations_are_neighbours():
    values = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.1, 0.0], [-1.1, 0.0]], dtype=torch.float64)
    found = ms.lab.Explained(("a", "b"), values, values, values.sum(1), 0.0)
    signs = [row > 0 for row in found.by_similarity()["prediction"]]
    assert signs in ([True, True, False, False], [False, False, True, True])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: shapley(bent, torch.zeros(1, 13), torch.zeros(1, 13), "exact"), "13 features have 8,192 coalitions"),
        (lambda: shapley(bent, X, BACKGROUND, "guess"), "method is 'guess'"),
        (lambda: ms.lab.explained(rows=1), "at least two rows"),
    ],
)
def test_what_cannot_be_explained_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
