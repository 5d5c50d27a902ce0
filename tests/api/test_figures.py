"""The four charts by layer: each panel holds what measures say, for one model or several, one data set or several."""

from functools import cache
from typing import Any

import pytest
import torch

import mainstem as ms
from mainstem.measure import measure_named
from view import _tables as make

pytest.importorskip("altair")
TEXTS = ["The capital of France is Paris.", "Once upon a time there was a girl.", "Two and two make four."]
OTHERS = ["zq 19 !! ;;; ##", "### 7 7 7 ((("]


@cache
def tiny() -> ms.Model:
    return ms.load("tiny")


def panel(chart: Any, at: int) -> list[dict[str, Any]]:
    """The points of one panel."""
    part = chart.to_dict()["concat"][at]
    return next(layer["data"]["values"] for layer in part["layer"] if "site" in layer["data"]["values"][0])


def test_panels_are_what_measures_say():
    chart = ms.figures(tiny(), TEXTS, threshold=2.5)
    outliers = measure_named("outliers", thresholds=(2.5,), sided="one")
    found = ms.measure(tiny(), TEXTS, ["kurtosis", "rotated_kurtosis", outliers, "rms"])
    sites = ["entry", "L0.resid_post", "L1.resid_post"]
    for at, (name, number) in enumerate(zip(found.names, ("kurtosis", "kurtosis", "share", "rms"), strict=True)):
        rows = panel(chart, at)
        assert [row["site"] for row in rows] == sites
        assert [row["value"] for row in rows] == [float(found.numbers(name, site)[number]) for site in sites]
    held = [row["value"] for row in make.rows_with(chart, "way", "value")]
    assert held == pytest.approx([3 * 47 / 49] * len(held))
    text = str(chart.to_dict())
    assert "values above 2.5" in text and "any vector in a random basis" in text


def test_shares_are_of_values_above_the_threshold_alone():
    trace = tiny().trace(TEXTS[:1])
    top = trace.point("L1.resid_post")[0].amax(0)
    for threshold in (1.0, 2.0, 4.0):
        rows = panel(ms.figures(tiny(), TEXTS[:1], threshold=threshold), 2)
        assert rows[-1]["value"] == pytest.approx(float((top > threshold).double().mean()))
    both = panel(ms.figures(tiny(), TEXTS[:1], threshold=2.0, sided="two"), 2)
    size = trace.point("L1.resid_post")[0].abs().amax(0)
    assert both[-1]["value"] == pytest.approx(float((size > 2.0).double().mean()))


def test_data_and_models_are_hues():
    names = lambda chart: list(dict.fromkeys(row["name"] for row in panel(chart, 3)))  # noqa: E731
    assert names(ms.figures(tiny(), {"texts": TEXTS, "others": OTHERS})) == ["texts", "others"]
    image = ms.load("default-image")
    assert names(ms.figures(tiny(), TEXTS, every=True)) == ["tiny"]
    assert len(panel(ms.figures(tiny(), TEXTS, every=True), 0)) == 5
    pictures = torch.zeros(2, 3, 32, 32)
    with pytest.raises(ms.InputError):
        ms.figures(image, pictures.numpy().tolist())
    with pytest.raises(ms.InputError, match="give a model and data"):
        ms.figures([], TEXTS)


def test_it_is_drawn_and_saved(tmp_path):
    chart = ms.figures(tiny(), TEXTS, title="Four <b>panels</b>")
    for ending in (".png", ".svg", ".html", ".json"):
        assert chart.save(tmp_path / f"figures{ending}").stat().st_size > 5000
    assert "Four &lt;b&gt;panels" in (tmp_path / "figures.svg").read_text(encoding="utf-8").replace("\u00a0", " ")
