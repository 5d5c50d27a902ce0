"""Rotated kurtosis is a theorem about any vector; alignment tells a privileged basis from another."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import directions, measure_named, rotated_mean, rotated_scatter
from measure._seen import gaussian, measured

CPU = torch.device("cpu")


@pytest.mark.parametrize(("width", "count"), [(1, 1), (5, 5), (64, 64), (64, 7), (3, 9)])
def test_directions_are_orthonormal_and_those_of_their_seed(width: int, count: int):
    found = directions(width, count, 3, CPU, torch.float64)
    assert found.shape == (width, min(width, count))
    assert torch.allclose(found.mT @ found, torch.eye(found.shape[1], dtype=torch.float64), atol=1e-13)
    directions.cache_clear()
    assert torch.equal(found, directions(width, count, 3, CPU, torch.float64))
    assert width == 1 or not torch.equal(found, directions(width, count, 4, CPU, torch.float64))


def test_directions_are_uniform():
    """Without the signs of R's diagonal Q's own would always be negative: the trace would not have mean 0 and variance 1."""
    traces = torch.stack([directions(3, 3, seed, CPU, torch.float64).trace() for seed in range(4000)])
    assert abs(float(traces.mean())) < 4 / 4000**0.5 and float(traces.var()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("n", [4, 16, 64])
@pytest.mark.parametrize("kind", ["one-hot", "gaussian", "signs"])
def test_one_vector_rotated_many_times_has_the_closed_form(n: int, kind: str):
    x = {"one-hot": torch.eye(n)[:1], "gaussian": torch.randn(1, n), "signs": torch.randn(1, n).sign()}[kind].double()
    seeds = 200
    each = torch.stack([measured("rotated_kurtosis", x, seed=seed)["kurtosis"] for seed in range(seeds)])
    width = torch.tensor(float(n), dtype=torch.float64)
    scatter = float(rotated_scatter(width))
    assert float(each.mean()) == pytest.approx(float(rotated_mean(width)), abs=4 * scatter / seeds**0.5)
    assert float(each.std()) == pytest.approx(scatter, rel=0.3)


def test_a_rotation_is_that_of_its_seed_and_changes_no_gaussian():
    x = gaussian(3000, 64)
    one, other = (measured("rotated_kurtosis", x, seed=seed) for seed in (0, 1))
    turned = x @ directions(64, 64, 0, CPU, torch.float64)
    assert float(one["kurtosis"]) == pytest.approx(float(measured("kurtosis", turned)["kurtosis"]), rel=1e-12)
    assert float(one["kurtosis"]) != float(other["kurtosis"])
    assert abs(float(one["kurtosis"] - one["rotated"])) < 4 * float(one["standard_error"])


def test_a_planted_basis_is_found_and_its_rotation_is_not():
    heavy = gaussian(20_000, 32) ** 3  # kurtosis over tokens: E z^12 / (E z^6)^2 = 10395 / 225
    turned = heavy @ directions(32, 32, 9, CPU, torch.float64)
    found, other = measured("alignment", heavy, directions=32), measured("alignment", turned, directions=32)
    assert float(found["auc"]) == 1.0 and float(found["basis_mean"]) > 20 > 10 > float(found["random_mean"])
    assert abs(float(other["auc"]) - 0.5) < 0.2
    assert found["basis"].shape == found["random"].shape == (32,)


def test_a_gaussian_stream_privileges_no_basis():
    found = measured("alignment", gaussian(20_000, 64) * torch.logspace(-1, 1, 64, dtype=torch.float64))
    assert float(found["basis_mean"]) == pytest.approx(3, abs=0.05) == float(found["random_mean"])
    assert abs(float(found["auc"]) - 0.5) < 0.15


def test_kurtosis_over_tokens_is_that_of_numpy_and_a_dead_feature_has_none():
    x = gaussian(500, 6).exp() + 1e4
    x[:, 2] = 0.1
    off = (x - x.mean(0)).numpy()
    found = measured("alignment", x, directions=2)["basis"]
    want = torch.from_numpy((off**4).mean(0) / (off**2).mean(0) ** 2)
    assert bool(found[2].isnan())
    assert torch.allclose(found[[0, 1, 3, 4, 5]], want[[0, 1, 3, 4, 5]], rtol=1e-9)


def test_choices_are_checked():
    with pytest.raises(InputError, match="directions is how many random ones to take, from 1, not 0"):
        measure_named("alignment", directions=0)
