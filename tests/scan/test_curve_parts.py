"""Metrics and the bootstrap by hand."""

import math

import pytest
import torch

from mainstem import InputError
from mainstem.scan import METRICS, Tally, counted, metric_named

LOGITS = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 3.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("name", "labels", "want"),
    [
        ("top1", [0, 2, 0], [1.0, 0.25, 0.0]),
        ("accuracy", [1, 0, 3], [0.0, 0.25, 1.0]),
        ("top5", [3, 1, 2], [1.0, 1.0, 1.0]),
    ],
)
def test_hits_share_ties(name: str, labels: list[int], want: list[float]) -> None:
    found = METRICS[name].value(LOGITS, torch.tensor(labels))
    assert found.tolist() == want


def test_five_of_seven_with_ties() -> None:
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.0, 1.0, 1.0, 0.0], [9.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]])
    top5 = METRICS["top5"].value
    assert top5(logits, torch.tensor([4, 3])).tolist() == pytest.approx([0.5, 4 / 6])
    assert top5(logits, torch.tensor([6, 0])).tolist() == [0.0, 1.0]


def test_loss_is_the_negative_log_of_the_softmax() -> None:
    labels = torch.tensor([1, 3, 2])
    want = -LOGITS.softmax(-1)[torch.arange(3), labels].log()
    assert METRICS["loss"].value(LOGITS, labels).tolist() == pytest.approx(want.tolist(), abs=1e-14)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_constant_logits_is_chance_and_of_frequencies_the_floor(name: str) -> None:
    metric, labels = METRICS[name], torch.tensor([0] * 5 + [1] * 3 + [2] * 2 + [7])
    even = metric.value(torch.zeros(11, 9, dtype=torch.float64), labels).mean()
    assert float(even) == pytest.approx(metric.chance(9), abs=1e-14)
    counts = counted(labels.tolist(), 9)
    always = (counts.double() + 1e-9 * torch.arange(9).flip(0)).log().expand(11, 9)
    assert float(metric.value(always, labels).mean()) == pytest.approx(metric.floor(counts), abs=1e-6)
    assert metric.about and metric.unit in ("nats", "share")


def test_an_unknown_metric_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InputError, match="there are loss, accuracy, top1, top5"):
        metric_named("f1")


def test_means_are_over_places_and_intervals_over_examples() -> None:
    tally = Tally()
    values = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for i, value in enumerate(values.tolist()):
        tally.add(i, torch.tensor([[2 * value]], dtype=torch.float64), 1)
        tally.add(i, torch.tensor([[0.0]], dtype=torch.float64), 1)
    mean, low, high = tally.means(4000, 1)[:, 0, 0].tolist()
    spread = float(values.std()) / math.sqrt(40)
    assert mean == pytest.approx(float(values.mean()), abs=1e-14)
    assert (low, high) == pytest.approx((mean - 1.96 * spread, mean + 1.96 * spread), abs=0.25 * spread)
    assert math.isnan(of_one().means(100, 0)[1, 0, 0])


def of_one() -> Tally:
    tally = Tally()
    tally.add(0, torch.ones(1, 1, dtype=torch.float64), 1)
    return tally


def test_nothing_has_no_mean() -> None:
    with pytest.raises(InputError, match="no next token, no label"):
        Tally().means(10, 0)
