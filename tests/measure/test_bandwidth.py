"""Variance, the directions it fills, and who wrote it."""

import numpy as np
import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import captured, directions, leading, measure_named, principal_angles, project, span
from measure._seen import gaussian, measured


def turn(width: int, seed: int = 5) -> torch.Tensor:
    return directions(width, width, seed, torch.device("cpu"), torch.float64)


def test_covariance_is_that_of_numpy_on_a_large_mean():
    x = gaussian(300, 12) @ gaussian(12, 12) + 1e4
    measure = measure_named("bandwidth")
    state = measure.update(measure.init(12), x, torch.ones(300, dtype=torch.bool))
    want = np.cov(x.numpy(), rowvar=False, ddof=0)
    np.testing.assert_allclose(measure.covariance(state), want, rtol=1e-10, atol=1e-10)
    found, light = measure.result(state), measured("variance", x)
    np.testing.assert_allclose(found["eigenvalues"], np.linalg.eigvalsh(want)[::-1], rtol=1e-8)
    assert torch.allclose(found["variance"], light["variance"], rtol=1e-11)
    assert torch.allclose(light["mean"], x.mean(0), rtol=1e-13)
    assert float(found["total"]) == pytest.approx(float(light["total"]), rel=1e-11) == float(found["eigenvalues"].sum())


@pytest.mark.parametrize("name", ["total", "effective_rank", "participation_ratio"])
def test_bandwidth_does_not_depend_on_the_basis(name: str):
    x = gaussian(200, 16) * torch.logspace(-2, 1, 16, dtype=torch.float64)
    assert float(measured("bandwidth", x)[name]) == pytest.approx(float(measured("bandwidth", x @ turn(16))[name]), rel=1e-10)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_k_equal_directions_have_rank_k(k: int):
    x = torch.cat([torch.eye(8, dtype=torch.float64)[:k], -torch.eye(8, dtype=torch.float64)[:k]]) @ turn(8)
    found = measured("bandwidth", x)
    assert float(found["effective_rank"]) == pytest.approx(k, rel=1e-9) == float(found["participation_ratio"])


def test_tokens_that_do_not_vary_fill_no_direction():
    found = measured("bandwidth", torch.ones(5, 3))
    assert float(found["total"]) == 0 and bool(found["effective_rank"].isnan()) and bool(found["participation_ratio"].isnan())


def test_shares_of_writes_sum_to_one():
    writes = [gaussian(400, 10) @ gaussian(10, 10) + 50 for _ in range(4)]
    writes.append(-0.9 * writes[0])  # takes away what the first wrote
    point = sum(writes)
    found = [measured("variance_share", w, point) for w in writes]
    assert float(sum(f["share"] for f in found)) == pytest.approx(1, rel=1e-12)
    assert float(found[0]["size"]) == pytest.approx(float(writes[0].var(0).sum() / point.var(0).sum()), rel=1e-12)
    assert float(measured("variance_share", point, point)["share"]) == pytest.approx(1, rel=1e-13)


def test_independent_writers_add_their_variances():
    a, b = gaussian(4, 6), gaussian(5, 6)
    one, other = a.repeat_interleave(5, 0), b.repeat(4, 1)  # every pair once: exactly uncorrelated
    total = float(measured("variance", one + other)["total"])
    assert total == pytest.approx(float(measured("variance", one)["total"] + measured("variance", other)["total"]), rel=1e-12)
    found = measured("variance_share", one, one + other)
    assert float(found["share"]) == pytest.approx(float(found["size"]), rel=1e-12)


def test_projectors():
    vectors = gaussian(5, 12)
    basis = span(torch.cat([vectors, vectors[:2] @ torch.eye(12, dtype=torch.float64) * 3]))
    projector = basis @ basis.mT
    assert basis.shape == (12, 5) and float(projector.trace()) == pytest.approx(5, rel=1e-13)
    assert torch.allclose(projector @ projector, projector, atol=1e-14) and torch.equal(projector, projector.mT)
    assert torch.allclose(vectors @ projector, vectors, rtol=1e-12, atol=1e-13)
    x, v = gaussian(7, 12), gaussian(1, 12)[0]
    along = project(x, v)
    assert torch.allclose(along, x @ torch.outer(v, v) / v.dot(v), rtol=1e-11) and torch.allclose(
        project(along, v), along, rtol=1e-12
    )
    assert float(((x - along) @ v).abs().max()) < 1e-12
    assert span(torch.zeros(3, 4)).shape == (4, 0)
    with pytest.raises(InputError, match="points nowhere"):
        project(x, torch.zeros(12, dtype=torch.float64))


def test_angles_are_those_planted():
    angles = torch.tensor([0.0, 1e-9, 0.3, 1.2, np.pi / 2], dtype=torch.float64)
    frame = turn(12)
    one = frame[:, :5]
    other = one * angles.cos() + frame[:, 5:10] * angles.sin()
    mixed = one @ turn(5), other @ turn(5, 6)
    assert torch.allclose(principal_angles(*mixed), angles, rtol=1e-7, atol=1e-14)
    assert principal_angles(one, other[:, :2]).shape == (2,)


@pytest.mark.parametrize(("width", "k"), [(16, 4), (64, 10)])
def test_a_random_subspace_captures_its_share(width: int, k: int):
    c = gaussian(width, width)
    c = c @ c.mT
    shares = torch.stack([captured(c, directions(width, k, seed, torch.device("cpu"), torch.float64)) for seed in range(500)])
    assert float(shares.mean()) == pytest.approx(k / width, rel=0.03)
    assert float(captured(c, turn(width))) == pytest.approx(1, rel=1e-12)
    assert float(captured(c, leading(c, k, 1.0))) == float(shares.max().maximum(captured(c, leading(c, k, 1.0))))


def test_what_lower_layers_span_is_captured_and_the_rest_remains():
    frame = turn(20)
    low = gaussian(500, 6) @ frame[:, :6].mT
    new = gaussian(500, 3) @ frame[:, 6:9].mT
    found = measured("subspace", low, low + new)
    total, inside = ((low + new).var(0).sum(), ((low + new) @ frame[:, :6]).var(0).sum())
    assert int(found["rank_x"]) == 6 and float(found["captured"]) == pytest.approx(float(inside / total), rel=1e-9)
    assert float(found["captured"] + found["remainder"]) == 1 and float(found["random"]) == 6 / 20
    apart = measured("subspace", low, new)
    assert float(apart["captured"]) < 1e-20 and torch.allclose(apart["angles"], torch.full((3,), np.pi / 2, dtype=torch.float64))
    same = measured("subspace", low, low @ gaussian(20, 20), rank=2)
    assert int(same["rank_x"]) == int(same["rank_y"]) == 2 and same["angles"].shape == (2,)


def test_the_mean_token_counts_where_it_is_asked_for():
    x, y = gaussian(100, 5) * 1e-3, gaussian(100, 5) * 1e-3
    x[:, 0], y[:, 0] = x[:, 0] + 5, y[:, 0] + 5
    assert float(measured("subspace", x, y, rank=1, centred=False)["captured"]) > 0.999
    assert float(measured("subspace", x, y, rank=1)["captured"]) < 0.9


def test_choices_and_widths_are_checked():
    with pytest.raises(InputError, match="rank is from 1, or None, and share above 0 to 1"):
        measure_named("subspace", rank=0)
    with pytest.raises(InputError, match="the sites have 4 and 5 of them"):
        measured("subspace", gaussian(3, 4), gaussian(3, 5))
