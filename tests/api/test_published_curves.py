"""Our ResNet-50 beside published curves of another release of its weights: what of their shape is in both, and what is not."""

import json
from pathlib import Path

import pytest
import torch

import mainstem as ms
import real

REFERENCE = Path(__file__).resolve().parents[3] / "shared" / "reference" / "ogden_residual_streams.json"
IMAGES = 50
STAGE_3, STAGE_4 = 7, 13  # blocks that the last two stages begin with


def rank_correlation(one: list[float], other: list[float]) -> float:
    """Spearman's, of lists without ties. Parameters: `one`; `other`."""
    ranks = torch.stack([torch.tensor(x).argsort().argsort().double() for x in (one, other)])
    return float(torch.corrcoef(ranks)[0, 1])


def test_a_rank_correlation_tells_orders_apart():
    assert rank_correlation([1.0, 2.0, 9.0], [3.0, 5.0, 6.0]) == pytest.approx(1)
    assert rank_correlation([1.0, 2.0, 9.0], [6.0, 5.0, 3.0]) == pytest.approx(-1)


@pytest.mark.slow
def test_resnet50_has_the_shape_of_published_curves_where_releases_agree(real_model, shared):
    """There vectors are means over places of blocks' outputs, here every place counts; both after the ReLU, outliers one-sided above 6."""
    if not REFERENCE.is_file():
        pytest.skip(f"no published curves at {REFERENCE}")
    files = sorted((shared / "images" / "imagenet_1000").glob("*.jpg"))
    choices = {"outliers": {"thresholds": (6.0,), "sided": "one"}}
    model, some = real.model(real_model("resnet50")), files[:: len(files) // IMAGES][:IMAGES]
    found = ms.measure(model, some, ["kurtosis", "outliers", "rms"], points=["L*.resid_post"], choices=choices, batch_tokens=10)
    published = json.loads(REFERENCE.read_text(encoding="utf-8"))["results"]["resnet50"]["imagenet"]
    ours = {
        name.partition("(")[0]: [float(numbers[number].flatten()[0]) for numbers in found[name].values()]
        for name, number in zip(found.names, ("kurtosis", "share", "rms"), strict=True)
    }
    assert all(len(ours[name]) == len(published[name]) == 16 for name in ours)
    for curve in (ours["kurtosis"], published["kurtosis"]):
        assert max(curve) == curve[-1] > 10 * curve[0]
        assert sorted(curve)[-3:] == curve[STAGE_4:]  # the last stage has the highest three, rising
    assert rank_correlation(ours["kurtosis"], published["kurtosis"]) > 0.55  # 0.594
    assert rank_correlation(ours["kurtosis"][STAGE_3:], published["kurtosis"][STAGE_3:]) > 0.95
    for curve in (ours["outliers"], published["outliers"]):
        assert min(curve[STAGE_4:]) > max(curve[:STAGE_4])
    assert rank_correlation(ours["rms"][:STAGE_4], published["rms"][:STAGE_4]) > 0.85  # 0.896
    # In the last stage releases part: there RMS falls, here it rises. Nor has kurtosis the fall that is published at a stage's start.
    assert published["rms"][-1] < published["rms"][STAGE_4 - 1] and ours["rms"][-1] > ours["rms"][STAGE_4 - 1]
    assert published["kurtosis"][STAGE_3] < published["kurtosis"][STAGE_3 - 1]
    assert ours["kurtosis"][STAGE_3] > ours["kurtosis"][STAGE_3 - 1]
