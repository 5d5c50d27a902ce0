"""Principal directions against closed forms."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import principal, signed


@pytest.mark.parametrize(("rows", "width"), [(2, 5), (7, 3), (40, 8), (9, 30), (200, 16)])
@pytest.mark.parametrize("standardised", [False, True])
def test_they_are_the_eigenvectors_of_the_covariance(rows: int, width: int, standardised: bool):
    x = (
        torch.randn(rows, width, dtype=torch.float64, generator=torch.Generator().manual_seed(rows)) * torch.arange(1, width + 1)
        + 5
    )
    found = principal(x, 4, standardised)
    deviation = x.std(0, correction=0) if standardised else torch.ones(width, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(torch.cov((x / deviation).T, correction=0))
    shares = (values / values.sum()).flip(0)
    assert len(found.directions) == min(4, rows - 1, width)
    torch.testing.assert_close(found.shares, shares[: len(found.shares)])
    expected = torch.nn.functional.normalize(vectors.T.flip(0)[: len(found.directions)] / deviation, dim=1)
    torch.testing.assert_close((found.directions * expected).sum(1).abs(), torch.ones(len(expected), dtype=torch.float64))


def test_a_planted_direction_is_found():
    made = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(64, dtype=torch.float64, generator=made), dim=0)
    x = 10 * torch.randn(500, 1, dtype=torch.float64, generator=made) * u + 0.1 * torch.randn(
        500, 64, dtype=torch.float64, generator=made
    )
    assert float(principal(x, 1).directions[0] @ u) ** 2 > 0.999
    x[:, 3] *= 1e4
    assert float(principal(x, 1).directions[0, 3]) > 0.999
    assert float(principal(x, 1, standardised=True).directions[0, 3]) < 0.01


def test_a_coordinate_that_never_changes_is_left_alone():
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(1))
    x[:, 2] = 3.1
    found = principal(x, 4, standardised=True)
    assert len(found.directions) == 3 and not found.directions[:, 2].any()


def test_signs_are_fixed():
    assert signed(torch.tensor([[1.0, -3.0], [2.0, -1.0]])).tolist() == [[-1.0, 3.0], [2.0, -1.0]]


@pytest.mark.parametrize("rows", [torch.zeros(1, 3), torch.ones(5, 3), torch.tensor([[1.0], [float("nan")]])])
def test_rows_without_directions_are_refused(rows: torch.Tensor):
    with pytest.raises(InputError):
        principal(rows)
