"""How large tokens are, how they grow, how they are distributed."""

import numpy as np
import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import first_apart, measure_named
from measure._seen import gaussian, measured


def test_rms_and_norm_of_known_tokens():
    x = torch.tensor([[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])
    found = measured("rms", x)
    assert float(found["norm"]) == pytest.approx(5, rel=1e-14) and float(found["rms"]) == pytest.approx(5 / 2**0.5, rel=1e-14)
    assert float(found["rms_pooled"]) == pytest.approx((125 / 6) ** 0.5, rel=1e-14)
    assert float(found["rms_spread"]) == pytest.approx(np.std([0, 5, 10]) / 2**0.5, rel=1e-14)
    assert float(found["norm_standard_error"]) == pytest.approx(5 / 3**0.5, rel=1e-14)


def test_the_first_position_is_apart_whatever_side_is_padded():
    mask = torch.tensor([[1, 1, 1, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]], dtype=torch.bool)
    first, rest = first_apart(mask)
    assert first.nonzero().tolist() == [[0, 0], [1, 2], [3, 1]] and torch.equal(first | rest, mask) and not (first & rest).any()
    x, measure = torch.randn(4, 4, 8), measure_named("rms")
    states = [measure.update(measure.init(8), x.flatten(0, 1), m.flatten()) for m in (first, rest, mask)]
    both, whole = measure.result(measure.merge(*states[:2])), measure.result(states[2])
    assert all(torch.allclose(both[key], whole[key], rtol=1e-13) for key in whole)


@pytest.mark.parametrize("writes", [1, 2, 5])
def test_growth_keeps_to_its_bound(writes: int):
    x, w = gaussian(200, 16), gaussian(200, 16 * writes) * torch.logspace(-3, 3, 200, dtype=torch.float64)[:, None]
    found = measured("growth", x, w)
    after = x + w.unflatten(1, (writes, 16)).sum(1)
    assert float(found["growth"]) == pytest.approx(float((after.norm(dim=1) / x.norm(dim=1)).mean()), rel=1e-12)
    assert float(found["slack"]) >= -1e-12 and float(found["used"]) < 1 and int(found["zero"]) == 0


def test_growth_along_the_token_uses_its_whole_bound():
    x = gaussian(50, 8)
    x[3] = 0
    found = measured("growth", x, torch.cat([0.5 * x, 0.25 * x], 1))
    assert float(found["growth"]) == pytest.approx(1.75, rel=1e-13) and float(found["bound"]) == pytest.approx(0.75, rel=1e-13)
    assert float(found["used"]) == pytest.approx(1, rel=1e-12) and int(found["zero"]) == 1
    assert abs(float(found["slack"])) < 1e-13
    with pytest.raises(InputError, match="some times 8 features, not 12"):
        measured("growth", x, gaussian(50, 12))


def test_sorted_activations_are_those_of_a_sort():
    x = gaussian(70, 30) * 5
    found, want = measured("sorted_activations", x), x.abs().sort(1, descending=True).values
    assert torch.allclose(found["magnitude"], want.mean(0), rtol=1e-13)
    assert torch.allclose(found["energy"], want.square().sum(0) / x.square().sum(), rtol=1e-12)
    assert float(found["energy"].sum()) == pytest.approx(1, rel=1e-13)


@pytest.mark.parametrize("bits", [1, 5, 10])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_quantiles_are_those_of_numpy_within_a_bin(bits: int, scale: float):
    x = (gaussian(400, 20) ** 3 + 0.3) * scale
    found = measured("histogram", x, bits=bits)
    at = found["at"].numpy()
    want, low, high = (torch.from_numpy(np.quantile(x.numpy(), at, method=m)) for m in ("linear", "lower", "higher"))
    wide = torch.maximum(low.abs(), high.abs()) * 2.0**-bits  # of the bins of the two values that a quantile lies between
    assert bool(((found["quantile"] - want).abs() <= wide).all())
    assert torch.equal(measured("histogram", x, at=(0.0, 1.0))["quantile"], torch.stack([x.min(), x.max()]))
    assert float(found["least"]) == float(x.min()) and float(found["most"]) == float(x.max())


def test_every_value_is_in_its_bin():
    x = torch.cat(
        [gaussian(50, 9).exp(), -gaussian(50, 9).exp(), torch.zeros(3, 9), torch.tensor([[2.0**k for k in range(-4, 5)]])]
    )
    found = measured("histogram", x)
    edges, count = found["edges"].numpy(), found["count"]
    assert float(count.sum()) == x.numel() and count[0] > 0 and count[-1] > 0
    above = (
        x[x > 0].float().double().numpy()
    )  # bins are those of float32: closed below for positive values, above for negative ones
    under = -x[x < 0].float().double().numpy()
    want = np.histogram(above, edges[edges >= 0])[0]
    assert count[-len(want) :].tolist()[1:] == want.tolist()[1:] and float(count[-len(want)]) == want[0] + 27
    want = np.histogram(under, -edges[edges <= 0][::-1])[0][::-1]
    assert count[: len(want)].tolist() == want.tolist()


def test_beyond_float32_values_are_in_the_outermost_bins():
    found = measured("histogram", torch.tensor([[1e300, -1e300, 3.4e38, 0.0]], dtype=torch.float64), at=(0.0, 1.0))
    assert float(found["count"].sum()) == 4 and float(found["count"][-1]) == 1 + 1 and float(found["edges"][-1]) == 2.0**128
    assert (float(found["least"]), float(found["most"])) == (-1e300, 1e300)


def test_choices_are_checked():
    with pytest.raises(InputError, match="bits are 1 to 10"):
        measure_named("histogram", bits=0)
    with pytest.raises(InputError, match="at holds shares from 0 to 1"):
        measure_named("histogram", at=(0.5, 95.0))
