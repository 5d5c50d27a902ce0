"""Moments against numpy in float64, on numbers where summing about zero would lose them all."""

import numpy as np
import pytest
import torch

from mainstem.measure._moments import joined, kurtosis_of, mean_of, moments, no_moments, standard_error_of, variance_of

HARD = [(0.0, 1.0), (1e4, 1.0), (-1e8, 1.0), (1e-20, 1e-24), (3.0, 1e6)]


def plain(x: np.ndarray, p: int) -> np.ndarray:
    """The mean of the p-th power about the mean, worked out in extended precision."""
    wide = x.astype(np.longdouble)
    return ((wide - wide.mean(0)) ** p).mean(0).astype(np.float64)


@pytest.mark.parametrize(("mean", "std"), HARD)
@pytest.mark.parametrize("parts", [1, 2, 7, 50])
def test_moments_are_those_of_numpy(mean: float, std: float, parts: int):
    x = torch.randn(500, 6, dtype=torch.float64).exp() * std + mean
    state = no_moments((6,), "cpu", order=4)
    for some in x.tensor_split(parts):
        state = joined(state, moments(some, torch.ones(len(some), dtype=torch.float64), order=4))
    lost = 1e-13 + 3e-15 * abs(mean) / std  # the numbers themselves are rounded at eps of the mean
    np.testing.assert_allclose(mean_of(state), x.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(variance_of(state), plain(x.numpy(), 2), rtol=lost)
    np.testing.assert_allclose(state["m3"] / 500, plain(x.numpy(), 3), rtol=10 * lost)
    np.testing.assert_allclose(kurtosis_of(state), plain(x.numpy(), 4) / plain(x.numpy(), 2) ** 2, rtol=10 * lost)
    np.testing.assert_allclose(standard_error_of(state), x.numpy().std(0, ddof=1) / 500**0.5, rtol=1e-6)


def test_summing_about_zero_would_fail_there():
    x = torch.randn(500, 6, dtype=torch.float64) + 1e8
    naive = x.square().mean(0) - x.mean(0).square()
    assert float((naive / x.var(0, correction=0) - 1).abs().max()) > 0.1


def test_weights_leave_rows_out():
    x, kept = torch.randn(40, 3, dtype=torch.float64), torch.rand(40) < 0.5
    found, alone = (moments(r, w.double(), 4) for r, w in [(x, kept), (x[kept], kept[kept])])
    assert all(torch.allclose(found[k], alone[k], rtol=1e-13) for k in found)


def test_nothing_has_no_moments():
    state = no_moments((2,), "cpu", order=4)
    assert all(bool(f(state).isnan().all()) for f in (mean_of, variance_of, standard_error_of, kurtosis_of))


def test_what_does_not_vary_has_no_kurtosis():
    state = moments(torch.full((30, 2), 0.1, dtype=torch.float64), torch.ones(30, dtype=torch.float64), order=4)
    assert bool(kurtosis_of(state).isnan().all()) and bool((variance_of(state) < 1e-30).all())
