"""Planted outliers: shares, LLM.int8's rule, massive activations and their exemplars."""

import pytest
import torch

from mainstem.core import InputError
from mainstem.measure import measure_named, outlier_dimensions
from measure._seen import gaussian, measured


def test_planted_outliers_are_counted_and_the_sweep_falls():
    x = gaussian(100, 50).clamp(-3, 3)
    x[7, 3], x[8, 4], x[9, 5], x[9, 6] = 5.0, -7.0, 11.0, 6.0
    both = measured("outliers", x)
    one = measured("outliers", x, sided="one", thresholds=(3.5, 6.0, 10.0, 12.0))
    assert both["thresholds"].tolist() == [4, 6, 10] and both["share"].tolist() == [4 / 50, 2 / 50, 1 / 50]
    assert one["share"].tolist() == [3 / 50, 1 / 50, 1 / 50, 0]
    assert float(both["highest"][5]) == 11 and float(both["lowest"][4]) == -7
    sweep = measured("outliers", gaussian(300, 200), thresholds=tuple(t / 10 for t in range(1, 60)))["share"]
    assert bool((sweep.diff() <= 0).all()) and float(sweep[0]) == 1 and float(sweep[-1]) == 0


def test_the_rule_of_llm_int8():
    points = torch.stack([gaussian(200, 10).clamp(-3, 3) for _ in range(8)])
    points[:2, :12, 4] = -6.0  # 6 % of the positions at a quarter of the points: at the edge
    points[0, :, 5] = 9.0  # everywhere, but at one point
    points[:, :11, 6] = 9.0  # at all points, but too seldom
    found = [measured("llm_int8", x) for x in points]
    assert float(found[0]["positions"][4]) == 0.06 and [int(f["features"]) for f in found] == [2, 1, 0, 0, 0, 0, 0, 0]
    assert float(found[0]["values"]) == (12 + 200 + 11) / 2000
    assert outlier_dimensions(torch.stack([f["positions"] for f in found])).nonzero().flatten().tolist() == [4]


def test_massive_activations_are_found_with_their_places():
    x = gaussian(300, 64) * 0.1
    x[0, 9], x[0, 30], x[150, 9], x[299, 1] = 500.0, -300.0, 200.0, 90.0
    found = measured("massive", x, ids=torch.arange(300) + 1000, k=5)
    assert (int(found["massive"]), int(found["massive_tokens"]), float(found["cut"])) == (3, 2, 100)
    assert found["massive_dimensions"].nonzero().flatten().tolist() == [9, 30]
    assert found["value"][:4].tolist() == [500, -300, 200, 90] and found["id"][:4].tolist() == [1000, 1000, 1150, 1299]
    assert found["dimension"][:4].tolist() == [9, 30, 9, 1] and abs(float(found["value"][4])) < 1
    median = float(x.abs().quantile(0.5))
    assert float(found["median"]) == pytest.approx(median, rel=2**-7)
    assert float(found["times_median"][0]) == pytest.approx(500 / median, rel=2**-6)


def test_the_ratio_counts_where_all_values_are_large():
    x = gaussian(200, 32) * 10
    x[3, 4], x[5, 6] = 2e4, 5e3  # about 3000 and 740 medians
    found = measured("massive", x)
    assert (int(found["massive"]), int(found["massive_tokens"])) == (1, 1) and float(found["cut"]) > 5e3
    assert found["massive_dimensions"].nonzero().flatten().tolist() == [4]
    assert int(measured("massive", x, ratio=500.0)["massive"]) == 2


def test_a_token_that_is_large_all_over_still_has_its_massive_value():
    x = gaussian(100, 32)
    x[0] = x[0] * 50
    x[0, 7] = 2e4  # 600 times the median of its own token
    found = measured("massive", x)
    assert int(found["massive"]) == 1 and float(found["times_median"][0]) > 1e4


@pytest.mark.parametrize("k", [1, 4, 50])
@pytest.mark.parametrize("parts", [1, 3, 40])
def test_exemplars_are_those_of_a_full_sort(k: int, parts: int):
    x, ids = (gaussian(40, 6) * 2).round(), torch.randperm(40) * 10  # many ties
    rows = [(-abs(v), int(i), d, v) for i, token in zip(ids, x.tolist(), strict=True) for d, v in enumerate(token)]
    measure, mask = measure_named("massive", k=k), torch.ones(40, dtype=torch.bool)
    state = measure.init(6)
    for at in torch.arange(40).tensor_split(parts):
        state = measure.update(state, x[at], mask[at], ids[at])
    found = measure.result(state)
    assert list(zip(found["id"].tolist(), found["dimension"].tolist(), found["value"].tolist(), strict=True)) == [
        row[1:] for row in sorted(rows)[:k]
    ]


@pytest.mark.parametrize("side", ["magnitude", "highest", "lowest"])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_top_tokens_are_those_of_a_full_sort(side: str, k: int):
    x, ids = (gaussian(40, 6) * 2).round(), torch.randperm(40)
    found = measured("top_tokens", x, ids=ids, k=k, side=side)
    key = {"magnitude": lambda v: -abs(v), "highest": lambda v: -v, "lowest": lambda v: v}[side]
    for d in range(6):
        rows = sorted((key(v), i, v) for i, v in zip(ids.tolist(), x[:, d].tolist(), strict=True))[:k]
        assert list(zip(found["id"][:, d].tolist(), found["value"][:, d].tolist(), strict=True)) == [r[1:] for r in rows]


@pytest.mark.parametrize(
    ("name", "choices", "says"),
    [
        ("outliers", {"thresholds": (0.0, 6.0)}, "thresholds are above 0"),
        ("outliers", {"thresholds": ()}, "thresholds are above 0"),
        ("llm_int8", {"magnitude": 0.0}, "magnitude is above 0"),
        ("llm_int8", {"share": 1.5}, "share from 0 to 1"),
        ("massive", {"k": 0}, "ratio and k are from 1"),
        ("top_tokens", {"k": 0}, "k is from 1"),
    ],
)
def test_choices_are_checked(name, choices, says):
    with pytest.raises(InputError, match=says):
        measure_named(name, **choices)
