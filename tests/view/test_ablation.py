"""Curves without blocks: every value in its place, with chance, floor, the whole model's value and stages beside it."""

from importlib import import_module
from typing import Any

import pytest

from mainstem.core import InputError
from view import _tables as make

view = import_module("mainstem.view")  # its name at the door is that of the function that opens the page

pytest.importorskip("altair")


def records(blocks: int = 6, side: str = "tail", band: bool = True, scale: float = 1.0) -> list[dict[str, Any]]:
    """A curve that falls, of stages of two blocks each."""
    rows = []
    for k in range(blocks + 1):
        block = None if k == 0 else (blocks - k if side == "tail" else k - 1)
        value = scale * 0.9 / (1 + k)
        ends = (value - 0.01, value + 0.02) if band else (float("nan"), float("nan"))
        rows.append({
            "model": "m", "side": side, "removed": min(k, 1) if side in ("single", "skip") else k, "block": None if block is None else f"L{block}",
            "stage": None if block is None else block // 2, "metric": "accuracy", "value": value, "low": ends[0], "high": ends[1],
            "chance": 0.1, "floor": 0.2, "n": 50,
        })  # fmt: skip
    return rows


def lines(chart: view.Chart, field: str) -> list[dict[str, Any]]:
    """The rows of layers whose rows have a field, each once."""
    held = [row for layer in chart.to_dict()["layer"] for row in layer.get("data", {}).get("values", []) if field in row]
    return list({tuple(sorted(row.items(), key=str)): row for row in held}.values())


@pytest.mark.parametrize("side", ["tail", "head", "single", "skip"])
def test_values_stand_where_their_blocks_do(side: str) -> None:
    data = records(side=side)
    found = make.rows_with(view.ablation_curve({"m": data}), "removed", "value")
    alone = side in ("single", "skip")
    assert [(row["x"], row["value"]) for row in found] == [(k - alone, row["value"]) for k, row in enumerate(data)][alone:]


@pytest.mark.parametrize(("side", "between"), [("tail", [2.5, 4.5]), ("head", [2.5, 4.5]), ("single", [1.5, 3.5])])
def test_stages_begin_between_their_blocks(side: str, between: list[float]) -> None:
    chart = view.ablation_curve({"m": records(side=side)})
    found = [row["x"] for row in lines(chart, "said") if row["said"] == "a stage begins"]
    assert found == between


def test_chance_floor_and_the_whole_model_are_drawn_and_named() -> None:
    chart = view.ablation_curve({"m": records(), "other": records(scale=0.5)})
    texts = {row["text"]: row["value"] for row in lines(chart, "text")}
    assert texts == {"always the same 0.2": 0.2, "chance 0.1": 0.1, "m 0.9": 0.9, "other 0.45": 0.45}
    near = view.ablation_curve({"m": [row | {"chance": 0.19} for row in records()]})
    assert {row["text"] for row in lines(near, "text")} == {"always the same 0.2, chance 0.19", "", "whole model 0.9"}


def test_a_band_is_drawn_where_there_is_an_interval() -> None:
    def areas(chart: view.Chart) -> int:
        return sum(layer["mark"]["type"] == "area" for layer in chart.to_dict()["layer"])

    assert areas(view.ablation_curve({"m": records()})) == 1
    assert areas(view.ablation_curve({"m": records(band=False)})) == 0


@pytest.mark.parametrize("ending", [".png", ".svg", ".html"])
def test_it_is_saved(ending: str, tmp_path: Any) -> None:
    path = view.ablation_curve({"m": records()}, "share").save(tmp_path / f"c{ending}")
    assert path.stat().st_size > 4000
    assert ending == ".png" or "top-1" not in path.read_text()


def test_nothing_to_draw_is_refused() -> None:
    for data in ({}, {"m": [records()[0] | {"value": float("nan")}]}):
        with pytest.raises(InputError, match="nothing to draw"):
            view.ablation_curve(data)
