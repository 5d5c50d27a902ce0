"""The distance between two runs at one site: nothing for equal ones, closed forms for planted ones, the same in pieces."""

import pytest
import torch
from torch import Tensor

from mainstem.core import InputError
from mainstem.measure import Shift, bures, shift_by

BOTH = ["diagonal", "full"]


def vectors(tokens: int = 400, width: int = 7, seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    mixed = torch.randn(width, width, generator=source, dtype=torch.float64)
    return torch.randn(tokens, width, generator=source, dtype=torch.float64) @ mixed + 3


def numbers(x: Tensor, y: Tensor, measure: Shift) -> dict[str, float]:
    state = measure.init(x.shape[1], y.shape[1])
    mask = torch.ones(len(x), dtype=torch.bool)
    return {name: float(v) for name, v in measure.result(measure.update(state, x, y, mask)).items()}


@pytest.mark.parametrize("covariance", BOTH)
@pytest.mark.parametrize(("tokens", "width"), [(400, 7), (5, 7), (300, 64)])
def test_a_run_and_itself_are_nothing_apart(covariance: str, tokens: int, width: int) -> None:
    x = vectors(tokens, width)
    found = numbers(x, x.clone(), shift_by(covariance))
    assert found["frechet"] == found["mean_shift"] == found["shift"] == 0
    assert found["norm_ratio"] == 1 and found["cosine"] == pytest.approx(1, abs=1e-14)
    assert found["kurtosis"] == found["kurtosis_y"]


@pytest.mark.parametrize("covariance", BOTH)
@pytest.mark.parametrize("times", [0.25, 1.0, 3.0])
def test_moved_and_stretched_vectors_have_the_closed_form(covariance: str, times: float) -> None:
    x, by = vectors(), torch.arange(7, dtype=torch.float64)
    mean = x.mean(0)
    found = numbers(x, times * (x - mean) + mean + by, shift_by(covariance))
    spread = float((x - mean).square().sum(1).mean().sqrt())
    assert found["mean_shift"] == pytest.approx(float(by.norm()), rel=1e-12)
    assert found["spread"] == pytest.approx(spread, rel=1e-12)
    assert found["frechet"] == pytest.approx((float(by.norm()) ** 2 + ((times - 1) * spread) ** 2) ** 0.5, rel=1e-10)
    assert found["shift"] == pytest.approx(found["frechet"] / spread, rel=1e-12)


def test_whole_covariances_that_do_not_commute_have_the_textbook_distance() -> None:
    x, y = vectors(seed=1), vectors(seed=2)
    a, b = torch.cov(x.T, correction=0), torch.cov(y.T, correction=0)
    cross = torch.linalg.eigvals(a @ b).real.clamp_min(0).sqrt().sum()
    apart = (x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * cross
    assert numbers(x, y, shift_by("full"))["frechet"] == pytest.approx(float(apart.sqrt()), rel=1e-9)


def test_a_rotation_shows_in_whole_covariances_only_by_what_it_turns() -> None:
    x = torch.randn(2000, 2, dtype=torch.float64) * torch.tensor([4.0, 1.0])
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T, correction=0))).T * torch.tensor([4.0, 1.0])
    quarter = torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=torch.float64)
    for covariance in BOTH:
        found = numbers(x, x @ quarter.T, shift_by(covariance))
        assert found["frechet"] == pytest.approx(
            18**0.5, rel=1e-9
        )  # (4 - 1)^2 twice: axes of the two ellipses stand on each other
    eighth = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / 2**0.5
    whole, diagonal = (numbers(x, x @ eighth.T, shift_by(c))["frechet"] for c in ("full", "diagonal"))
    assert whole > diagonal > 0


@pytest.mark.parametrize("covariance", BOTH)
def test_pieces_come_to_the_whole(covariance: str) -> None:
    measure, x, y = shift_by(covariance), vectors(seed=3), vectors(seed=4)
    mask = torch.rand(len(x)) > 0.2
    y[7] = torch.nan
    state = measure.init(7, 7)
    for at in (slice(0, 3), slice(3, 4), slice(4, 250), slice(250, 400)):
        state = measure.merge(state, measure.update(measure.init(7, 7), x[at], y[at], mask[at]))
    kept = mask.clone()
    kept[7] = False
    want, found = numbers(x[kept], y[kept], measure), {k: float(v) for k, v in measure.result(state).items()}
    assert found["tokens"] == kept.sum()
    for name in ("frechet", "mean_shift", "spread", "norm_ratio", "cosine", "kurtosis", "kurtosis_y"):
        assert found[name] == pytest.approx(want[name], rel=1e-10)


def test_of_no_tokens_there_is_no_distance() -> None:
    for covariance in BOTH:
        measure = shift_by(covariance)
        assert measure.result(measure.init(4, 4))["frechet"].isnan()


def test_equal_singular_covariances_are_nothing_apart() -> None:
    x = torch.randn(3, 50, dtype=torch.float64)
    a = torch.cov(x.T, correction=0)
    assert bures(a, a.clone()) == 0
    assert float(bures(a, 4 * a)) == pytest.approx(float(a.trace()), rel=1e-9)


def test_another_word_for_covariance_is_refused() -> None:
    with pytest.raises(InputError, match="diagonal or full"):
        shift_by("none")
