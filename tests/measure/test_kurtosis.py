"""Kurtosis of tokens against closed forms."""

import numpy as np
import pytest
import torch
from torch import Tensor

from measure._seen import measured


def kurtosis(x: Tensor) -> dict[str, float]:
    return {key: float(value) for key, value in measured("kurtosis", x).items()}


@pytest.mark.parametrize("n", [2, 3, 16, 768, 5000])
def test_one_hot_tokens(n: int):
    x = torch.eye(n, dtype=torch.float64)[:5] * 3 + 1
    assert kurtosis(x)["kurtosis"] == pytest.approx(n - 2 + 1 / (n - 1), rel=1e-11)


def test_signs_and_a_uniform_grid():
    signs = torch.tensor([[1.0, -1.0] * 8, [-5.0, 5.0] * 8], dtype=torch.float64)
    assert kurtosis(signs)["kurtosis"] == pytest.approx(1.0, rel=1e-14)
    n = 4096  # n points in equal steps have 1.8 (n^2 - 7/3) / (n^2 - 1)
    grid = torch.arange(n, dtype=torch.float64)[None] + 1e4
    assert kurtosis(grid)["kurtosis"] == pytest.approx(1.8 * (n**2 - 7 / 3) / (n**2 - 1), rel=1e-12)


@pytest.mark.parametrize("n", [8, 64, 768])
def test_gaussian_tokens_have_the_closed_form_of_a_random_basis(n: int):
    found = kurtosis(torch.randn(2**21 // n, n))
    assert found["rotated"] == pytest.approx(3 * (n - 1) / (n + 1), rel=1e-15)
    assert abs(found["kurtosis"] - found["rotated"]) < 4 * found["standard_error"] < 0.05


@pytest.mark.parametrize("n", [8, 64, 768])
def test_one_token_scatters_as_said(n: int):
    found = kurtosis(torch.randn(4000, n))
    assert found["standard_error"] * 4000**0.5 == pytest.approx(found["scatter"], rel=0.05)
    assert n < 768 or found["scatter"] == pytest.approx((24 / n) ** 0.5, rel=0.02)


def test_flat_tokens_have_none():
    x = torch.cat([torch.full((3, 64), 0.1), torch.zeros(2, 64), torch.randn(7, 64)])
    found = kurtosis(x)
    assert (found["flat"], found["tokens"]) == (5, 12)
    assert found["kurtosis"] == pytest.approx(kurtosis(x[5:])["kurtosis"], rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_mean_costs_nothing(dtype: type):
    x = (np.random.default_rng(0).standard_normal((50, 768)) + 1e4).astype(dtype)
    off = x.astype(np.longdouble) - x.astype(np.longdouble).mean(1, keepdims=True)
    want = float(((off**4).mean(1) / (off**2).mean(1) ** 2).mean())
    assert kurtosis(torch.from_numpy(x))["kurtosis"] == pytest.approx(want, rel=1e-11)
