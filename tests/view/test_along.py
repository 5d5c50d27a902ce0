"""Curves along the stream: marks that stand for the numbers of the frames, and nothing left out unsaid."""

import polars as pl
import pytest

import mainstem as ms
from mainstem.core import InputError

pytest.importorskip("altair")
from mainstem.view import gradients, growth, persistence

POINTS = ["entry", "L0.resid_mid", "L0.resid_post", "L1.resid_post"]


def marks(chart) -> dict[tuple[str, str], float]:
    """Values by series and point, as they are drawn."""
    data = max(chart.to_dict()["datasets"].values() if "datasets" in chart.to_dict() else found(chart.to_dict()), key=len)
    return {(row["series"], row["point"]): row["value"] for row in data}


def found(spec) -> list[list[dict[str, object]]]:
    """All rows inside a chart's own record."""
    if isinstance(spec, list):
        return [rows for part in spec for rows in found(part)]
    if not isinstance(spec, dict):
        return []
    own = [spec["values"]] if isinstance(spec.get("values"), list) and all(isinstance(r, dict) for r in spec["values"]) else []
    return own + [rows for part in spec.values() for rows in found(part)]


def test_what_is_kept_of_a_write_is_drawn_at_every_point():
    frame = pl.DataFrame(
        {"component": "L0.mlp", "point": POINTS, "kept": [1.0, 0.5, 0.0, -0.5], "overlap": [1.0, 2.0, 0.25, 0.0]}
    )
    seen = marks(persistence(frame))
    for name in ("kept", "overlap"):
        said = {point: value for (series, point), value in seen.items() if series.startswith(name)}
        assert said == dict(zip(POINTS, frame[name], strict=True))
    both = pl.concat([frame, frame.with_columns(component=pl.lit("L0.attn"))])
    assert len(marks(persistence(both))) == 4 * 4


def test_gradients_are_summed_over_places_and_zeros_left_out():
    frame = pl.DataFrame({"prompt": 0, "point": POINTS * 2, "skip": [3.0] * 4 + [4.0] * 4, "blocks": [0.0, 1.0, 1.0, 1.0] * 2})
    seen = marks(gradients(frame))
    assert [seen["through skips and blocks", point] for point in POINTS] == [5.0] * 4
    assert ("through blocks alone", "entry") not in seen
    assert seen["through blocks alone", "L1.resid_post"] == pytest.approx(2**0.5)
    with pytest.raises(InputError, match="one prompt; here are 2"):
        gradients(pl.concat([frame, frame.with_columns(prompt=pl.lit(1, pl.Int32))]))
    with pytest.raises(InputError, match="every number is zero"):
        gradients(frame.with_columns(skip=0.0, blocks=0.0))


def test_frames_of_a_trace_are_drawn_and_saved(tmp_path):
    trace = ms.load("tiny").trace("The capital of France is")
    grown = trace.perturbed("entry")
    seen = marks(growth(grown))
    assert len(seen) == len(grown) and seen["norms live", "entry"] == 1.0
    for chart in (growth(grown), persistence(trace.persistence("L0.mlp")), gradients(trace.gradients(" Paris"))):
        assert chart.save(tmp_path / "chart.svg").read_text().startswith("<svg")
        assert "tiny" in str(chart.to_dict()["title"])
    with pytest.raises(InputError, match="has the columns growth, point, norms; missing: growth"):
        growth(grown.drop("growth"))
