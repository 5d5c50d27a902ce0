"""A number at every point: each in its place, under an axis that does not lie, with figures that do not cover one another."""

import itertools
import math
from importlib import import_module
from typing import Any

import pytest

from mainstem.core import InputError
from mainstem.view._numbers import Figures, Space, few
from view import _tables as make

view = import_module("mainstem.view")  # its name at the door is that of the function that opens the page

pytest.importorskip("altair")


def records(layers: int = 6, scale: float = 1.0, writes: int = 2, **more: Any) -> list[dict[str, Any]]:
    """The entry and the points of every block, with closed-form values."""
    names = ["resid_mid", "resid_post"][-writes:]
    sites = [("entry", None), *((f"L{i}.{name}", i) for i in range(layers) for name in names)]
    return [
        {"site": s, "layer": i, "value": scale * (2 + math.sin(k)), "error": 0.1 * scale, **more}
        for k, (s, i) in enumerate(sites)
    ]


def rows(chart: view.Chart) -> list[dict[str, Any]]:
    return make.rows_with(chart, "site", "value")


def axis(chart: view.Chart) -> dict[str, Any]:
    """The scale of y."""
    return next(
        layer["encoding"]["y"]["scale"] for layer in chart.to_dict()["layer"] if "scale" in layer["encoding"].get("y", {})
    )


@pytest.mark.parametrize("layers", [1, 2, 6, 30])
@pytest.mark.parametrize("writes", [1, 2])
def test_points_stand_in_order_where_their_blocks_end(layers, writes):
    data = records(layers, writes=writes)
    found = rows(view.by_point({"m": data}, "kurtosis"))
    assert [(row["site"], row["value"]) for row in found] == [(r["site"], r["value"]) for r in data]
    assert [row["x"] for row in found] == [k / writes for k in range(writes * layers + 1)]
    for row, record in zip(found, data, strict=True):
        assert (row["lower"], row["upper"]) == pytest.approx((record["value"] - 0.1, record["value"] + 0.1))


def test_what_comes_behind_the_last_block_stands_there():
    data = [*records(2), {"site": "norm", "layer": None, "value": 1.0}]
    found = rows(view.by_point({"m": data}, "rms"))
    assert [row["x"] for row in found if row["name"] == "m, points"] == [0, 0.5, 1, 1.5, 2]
    arrows = [{"site": f"L{i}.resid_post -> L{i + 1}.resid_post", "layer": i, "value": 0.5} for i in range(3)]
    assert [row["x"] for row in rows(view.by_point({"m": arrows}, "cosine"))] == [1, 2, 3]


def test_names_are_hues_and_writes_lines_of_their_own():
    writes = [{"site": f"L{i}.{kind}", "layer": i, "value": 1.0} for i in range(3) for kind in ("attn", "mlp")]
    chart = view.by_point({"one": records(3), "two": [*records(3), *writes]}, "kurtosis")
    assert list(dict.fromkeys(row["name"] for row in rows(chart))) == ["one", "two, points", "two, attn", "two, mlp"]
    colours = [layer["encoding"]["color"] for layer in chart.to_dict()["layer"] if "color" in layer["encoding"]]
    scale = next(colour["scale"] for colour in colours if "scale" in colour)
    assert len(set(scale["range"])) == len(scale["domain"]) == 4
    assert next(c["legend"] for c in colours if "legend" in c) is not None
    alone = view.by_point({"one": records(3)}, "kurtosis").to_dict()["layer"]
    assert all(
        layer["encoding"]["color"].get("legend") is None for layer in alone if "field" in layer["encoding"].get("color", {})
    )


@pytest.mark.parametrize(
    ("low", "high", "kind"), [(1.0, 100.0, "linear"), (1.0, 101.0, "log"), (0.0, 1e6, "linear"), (-1.0, 900.0, "linear")]
)
def test_more_than_two_decades_above_zero_are_logarithmic(low, high, kind):
    data = [{"site": f"L{i}.resid_post", "layer": i, "value": v, "error": 3 * v} for i, v in enumerate((low, high))]
    chart = view.by_point({"m": data}, "rms")
    scale = axis(chart)
    assert scale.get("type", "linear") == kind
    assert scale["domain"][0] <= low < high < scale["domain"][1]
    if kind == "log":
        assert all(row["lower"] >= scale["domain"][0] > 0 for row in rows(chart))


def test_an_axis_begins_at_zero_but_where_all_is_far_from_it():
    near = [{"site": f"L{i}.resid_post", "layer": i, "value": v} for i, v in enumerate((1.0, 3.0))]
    far = [{"site": f"L{i}.resid_post", "layer": i, "value": v} for i, v in enumerate((2.9, 3.0))]
    assert axis(view.by_point({"m": near}, "kurtosis"))["domain"][0] == 0
    assert 2.5 < axis(view.by_point({"m": far}, "kurtosis"))["domain"][0] < 2.9


def test_a_reference_is_a_line_with_its_text():
    chart = view.by_point({"m": records(4, reference=2.97)}, "kurtosis", reference="any vector")
    assert any(row.get("text") == "any vector = 2.97" for table in make.drawn(chart) for row in table)
    steps = [r | {"reference": 2.5 if i < 3 else 2.9} for i, r in enumerate(records(4, writes=1))]
    chart = view.by_point({"m": steps}, "kurtosis", reference="any vector")
    line = make.rows_with(chart, "way", "value")
    assert [row["value"] for row in line] == [2.5, 2.5, 2.5, 2.9, 2.9]
    assert any(row.get("text") == "any vector" for table in make.drawn(chart) for row in table)


def test_stages_are_where_the_width_changes():
    data = [r | {"width": 16 if i < 2 else 32} for i, r in enumerate(records(4, writes=1))]
    lines = make.rows_with(view.by_point({"m": data}, "rms"), "stage")
    assert [line["x"] for line in lines if line["stage"]] == [1.0]
    assert sorted(line["x"] for line in lines) == [0, 1, 2, 3, 4]


def test_what_is_not_finite_is_left_out_and_nothing_is_refused():
    data = records(3)
    data[2]["value"], data[3]["error"] = math.nan, math.inf
    found = rows(view.by_point({"m": data}, "rms"))
    assert len(found) == len(data) - 1
    assert found[2]["upper"] is None
    with pytest.raises(InputError, match="nothing to draw"):
        view.by_point({"m": [{"site": "entry", "layer": None, "value": math.inf}]}, "rms")
    with pytest.raises(InputError, match="nothing to draw"):
        view.by_point({}, "rms")


@pytest.mark.parametrize("layers", [3, 12, 60])
def test_figures_do_not_meet(layers):
    series = {}
    for name, scale in (("a", 1.0), ("b", 1.1), ("c", 1.5)):
        series[name] = [
            {"x": float(k), "value": r["value"], "lower": None, "upper": None} for k, r in enumerate(records(layers, scale))
        ]
    space = Space(700, 280, -1, 2 * layers + 1, 0, 5, False)
    found = Figures(series, space).beside()
    assert len(found) >= 3
    boxes = []
    for row in found:
        (x, y), wide = space.at(row["x"], row["value"]), 5.8 * len(row["text"])
        top = y - 16 if row["up"] else y + 5
        boxes.append((x - wide / 2, top, x + wide / 2, top + 11))
    for one, other in itertools.combinations(boxes, 2):
        assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.00"),
        (2.778, "2.78"),
        (22.31, "22.3"),
        (208.7, "209"),
        (0.0994, "0.099"),
        (-0.5, "\u22120.50"),
        (2.4e7, "2.4e7"),
        (3e-5, "3.0e\u22125"),
    ],
)
def test_figures_are_short(value, text):
    assert few(value) == text


def test_panels_stand_side_by_side_and_need_one():
    one = view.by_point({"m": records(3)}, "rms", title="First")
    found = view.panels([one, one, one], "All", "of them").to_dict()
    assert len(found["concat"]) == 3 and found["columns"] == 2
    assert found["title"]["text"] == ["All"]
    assert found["concat"][0]["title"]["fontSize"] == 13
    assert one.to_dict()["title"]["text"] == ["First"]
    assert "fontSize" not in one.to_dict()["title"]
    with pytest.raises(InputError, match="nothing to put together"):
        view.panels([], "All")
