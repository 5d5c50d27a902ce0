"""Cosines, CKA and coherence against closed forms."""

from importlib import import_module

import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import coherence_of, directions
from measure._seen import gaussian, measured


def turn(width: int) -> torch.Tensor:
    return directions(width, width, 5, torch.device("cpu"), torch.float64)


def test_cosines_of_known_tokens():
    x = torch.tensor([[1.0, 0.0], [1.0, 1.0], [2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    y = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    found = measured("cosine", x, y)
    assert float(found["cosine"]) == pytest.approx(0.5**0.5 / 3, rel=1e-14) and int(found["zero"]) == 1
    assert (float(found["least"]), float(found["most"])) == (-1, 1)


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_cosines_of_very_small_and_very_large_tokens(scale: float):
    x, y = gaussian(30, 8), gaussian(30, 8)
    found = measured("cosine", x * scale, y * scale)
    assert float(found["cosine"]) == pytest.approx(float(torch.cosine_similarity(x, y).mean()), rel=1e-11)


def test_cka_of_a_point_and_itself_turned_and_scaled_is_one():
    x = gaussian(100, 12) @ gaussian(12, 12) + 100
    assert float(measured("cka", x, x)["cka"]) == pytest.approx(1, rel=1e-13)
    assert float(measured("cka", x, 7 * x @ turn(12) - 3)["cka"]) == pytest.approx(1, rel=1e-10)
    assert bool(measured("cka", x, torch.ones(100, 4, dtype=torch.float64))["cka"].isnan())


def test_cka_is_that_of_the_kernels():
    x, y = gaussian(40, 9) + 3, gaussian(40, 5)
    y = y + x[:, :5]
    centre = torch.eye(40, dtype=torch.float64) - 1 / 40
    k, m = (centre @ (z @ z.mT) @ centre for z in (x, y))
    want = (k * m).sum() / (k.norm() * m.norm())
    assert float(measured("cka", x, y)["cka"]) == pytest.approx(float(want), rel=1e-12)


@pytest.mark.parametrize(("tokens", "width"), [(50, 200), (400, 100)])
def test_unrelated_points_have_the_cka_that_few_tokens_give(tokens: int, width: int):
    found = float(measured("cka", gaussian(tokens, width), gaussian(tokens, width))["cka"])
    assert found == pytest.approx(1 / (1 + tokens / width), rel=0.05)


def test_writers_in_directions_of_their_own_have_no_coherence():
    frame = turn(16)
    found = measured("coherence", gaussian(60, 8) @ frame[:8], gaussian(60, 8) @ frame[8:])
    assert float(found["largest"]) < 1e-14 and float(found["random_root"]) == 0.25
    vectors = coherence_of(torch.cat([frame * 3, torch.zeros(2, 16, dtype=torch.float64)]))
    assert vectors.largest < 1e-14 and vectors.root < 1e-14 and (vectors.vectors, vectors.zero) == (16, 2)


@pytest.mark.parametrize("width", [4, 64, 400])
def test_random_writers_have_the_level_of_chance(width: int):
    found = measured("coherence", gaussian(20_000, width), gaussian(20_000, width))
    assert float(found["root"]) == pytest.approx(float(found["random_root"]), rel=0.03)
    assert float(found["size"]) == pytest.approx(float(found["random_size"]), rel=0.03)
    assert abs(float(found["mean"])) < 4 * width**-0.5 / 20_000**0.5
    assert float(found["largest"]) == pytest.approx(float(found["random_largest"]), rel=0.2)
    vectors = coherence_of(gaussian(600, width))
    assert vectors.root == pytest.approx(vectors.random_root, rel=0.03) == width**-0.5
    assert vectors.size == pytest.approx(vectors.random_size, rel=0.03)
    assert vectors.largest == pytest.approx(vectors.random_largest, rel=0.2)


def test_coherence_of_a_set_is_that_of_all_its_pairs(monkeypatch):
    monkeypatch.setattr(import_module("mainstem.measure._coherence"), "_BLOCK", 100)
    x = gaussian(37, 6)
    unit = x / x.norm(dim=1, keepdim=True)
    pairs = (unit @ unit.mT)[~torch.eye(37, dtype=torch.bool)]
    found = coherence_of(x)
    assert found.mean == pytest.approx(float(pairs.mean()), rel=1e-11) and found.largest == pytest.approx(
        float(pairs.abs().max())
    )
    assert found.root == pytest.approx(float(pairs.square().mean().sqrt())) and found.size == pytest.approx(
        float(pairs.abs().mean())
    )
    assert coherence_of(torch.cat([x, -2 * x[:1]])).largest == pytest.approx(1, abs=1e-15)


def test_coherence_needs_pairs_of_finite_vectors():
    with pytest.raises(InputError, match="at least two vectors that are not zero, not 1"):
        coherence_of(torch.eye(3)[:1])
    with pytest.raises(InputError, match="a vector holds NaN or Inf"):
        coherence_of(torch.tensor([[1.0, torch.nan], [1.0, 0.0]]))
