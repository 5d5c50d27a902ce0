"""Charts of experiments: what they draw is what they were given."""

import pytest
import torch

import mainstem as ms
from mainstem.core import InputError
from mainstem.view import against, intervals

pytest.importorskip("altair")
ROWS = [
    {"variant": "one", "mean": 2.0, "low": 1.5, "high": 2.5, "values": [1.8, 2.2]},
    {"variant": "two", "mean": None, "low": None, "high": None, "values": []},
    {"variant": "three", "mean": 1.0, "low": 0.9, "high": 1.1, "values": [0.95, 1.05]},
]
RUNS = [{"variant": v, "x": x, "y": y} for v, x, y in (("a", 10, 3.0), ("a", 10, 3.2), ("b", 100, 2.0), ("lane", 50, 2.6))]


def test_each_variant_has_its_interval_and_its_seeds():
    spec = intervals(ROWS, "loss", "Is it?", "about").to_dict()
    dots, rule, means = spec["layer"]
    assert [row["value"] for row in dots["data"]["values"]] == [1.8, 2.2, 0.95, 1.05]
    assert [(row["low"], row["high"]) for row in rule["data"]["values"]] == [(1.5, 2.5), (0.9, 1.1)]
    assert means["encoding"]["x"]["field"] == "mean"
    assert rule["encoding"]["y"]["sort"] == ["one", "three"]


def test_vanilla_runs_are_joined_through_their_means():
    spec = against(RUNS, ["a", "b"], "parameters", "loss", "Is it?").to_dict()
    line, points = spec["layer"]
    assert [(row["x"], row["y"]) for row in line["data"]["values"]] == [(10, pytest.approx(3.1)), (100, 2.0)]
    assert [row["kind"] for row in points["data"]["values"]] == ["vanilla"] * 3 + ["lane"]
    assert points["encoding"]["x"]["scale"]["type"] == "log"


def test_they_are_drawn(tmp_path):
    pytest.importorskip("vl_convert")
    svg = intervals(ROWS, "loss", "Is it?").save(tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "one" in svg and "three" in svg and "NaN" not in svg
    svg = against(RUNS, ["a", "b"], "parameters", "loss", "Is it?").save(tmp_path / "b.svg").read_text(encoding="utf-8")
    assert "vanilla" in svg and "lane" in svg and "NaN" not in svg


def explained() -> ms.lab.Explained:
    values = torch.tensor([[0.5, -0.2], [-0.4, 0.1], [0.6, -0.1]], dtype=torch.float64)
    return ms.lab.Explained(("age", "bmi"), values, 10 * values, 1 + values.sum(1), 1.0)


def test_the_three_charts_of_shapley_values(tmp_path):
    pytest.importorskip("scipy")
    bar, swarm, force = (ms.shap_chart(explained(), kind).to_dict() for kind in ("bar", "beeswarm", "force"))
    assert [row["feature"] for row in bar["data"]["values"]] == ["age", "bmi"]
    assert sorted(row["shap"] for row in swarm["data"]["values"]) == [-0.4, -0.2, -0.1, 0.1, 0.5, 0.6]
    assert len({(row["shap"], row["lane"]) for row in swarm["data"]["values"]}) == 6
    for row in force["layer"][0]["data"]["values"]:
        assert row["low"] <= row["prediction"] <= row["high"]
        assert row["low"] + row["high"] - row["prediction"] == pytest.approx(1.0)  # the base
    for kind in ("bar", "beeswarm", "force"):
        svg = ms.shap_chart(explained(), kind).save(tmp_path / f"{kind}.svg").read_text(encoding="utf-8")
        assert "NaN" not in svg and (kind == "force" or "bmi" in svg)
    with pytest.raises(InputError, match="kind is 'pie'"):
        ms.shap_chart(explained(), "pie")


@pytest.mark.parametrize("call", [lambda: intervals(ROWS[1:2], "loss", "t"), lambda: against([], [], "hours", "loss", "t")])
def test_nothing_to_draw_is_refused(call):
    with pytest.raises(InputError, match="there is nothing to draw"):
        call()
