"""Charts of a few numbers: every number is where it belongs, names do not overlap, nothing runs out of the picture."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from mainstem.core import InputError
from mainstem.view import grid, lines

MINUS = "\u2212"
SVG = "{http://www.w3.org/2000/svg}"
STEPS = ["entry", "L0.mid", "L0.post"]
SERIES = {"capital": [0.0, 0.25, 1.0], "prose": [0.5, 0.75, 1.0]}


def circles(svg: str) -> list[list[tuple[float, float]]]:
    """Where each line's points are."""
    groups = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.find(f"{SVG}circle") is not None]
    return [[(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in g.iter(f"{SVG}circle")] for g in groups]


def named(svg: str) -> dict[str, float]:
    """The height of each line's name."""
    return {t.text or "": float(t.attrib["y"]) for t in ET.fromstring(svg).iter(f"{SVG}text") if "named" in t.attrib["class"]}


def test_points_stand_as_high_as_their_values():
    drawn = circles(lines(SERIES, STEPS, "Shares"))
    floor, top = drawn[0][0][1], drawn[0][2][1]
    for places, values in zip(drawn, SERIES.values(), strict=True):
        assert [(floor - y) / (floor - top) for _, y in places] == pytest.approx(values, abs=1e-3)
        assert [x for x, _ in places] == [x for x, _ in drawn[0]]


def test_a_wrong_value_would_be_seen():
    assert circles(lines(SERIES, STEPS, "Shares")) != circles(lines(SERIES | {"prose": [0.5, 0.7, 1.0]}, STEPS, "Shares"))


@pytest.mark.parametrize("end", [0.0, 0.5, 1.0])
def test_names_of_lines_that_end_together_are_apart_and_inside(end: float):
    svg = lines({f"line {i}": [i / 8, end] for i in range(8)}, STEPS[:2], "Shares")
    heights = sorted(named(svg).values())
    assert len(heights) == 8
    assert min(b - a for a, b in pairwise(heights)) >= 14.99
    ys = [y for line in circles(svg) for _, y in line]
    assert min(ys) - 5 <= heights[0] and heights[-1] <= max(max(ys), heights[0] + 8 * 15) + 5


def test_of_lines_that_end_together_the_one_that_was_higher_is_named_higher():
    heights = named(lines(SERIES, STEPS, "Shares"))
    assert heights["prose"] < heights["capital"]


def test_every_cell_has_its_number_and_colour():
    values = [[0.5, -1.0, 0.0], [0.25, -0.004, 2.0]]
    root = ET.fromstring(grid(values, ["one", "two"], ["a", "b", "c"], "Cells"))
    cells = [g for g in root.iter(f"{SVG}g") if g.find(f"{SVG}rect") is not None]
    shown = [(g.findtext(f"{SVG}text"), g.find(f"{SVG}rect").attrib["class"]) for g in cells]
    assert shown == [
        ("0.50", "water"), (f"{MINUS}1.00", "ebb"), ("0.00", "water"), ("0.25", "water"), ("0.00", "ebb"), ("2.00", "water"),
    ]  # fmt: skip
    shares = [float(g.find(f"{SVG}rect").attrib["fill-opacity"]) for g in cells]
    assert shares == pytest.approx([abs(v) / 2 * 0.85 for row in values for v in row], abs=1e-3)
    assert [g.findtext(f"{SVG}title") for g in cells][3] == "two a: 0.2500"


def test_cells_stay_inside_the_picture():
    root = ET.fromstring(grid([[0.0] * 24] * 2, ["a long name of a row"] * 2, [f"column {i}" for i in range(24)], "Cells"))
    right = [float(r.attrib["x"]) + float(r.attrib["width"]) for r in root.iter(f"{SVG}rect") if "x" in r.attrib]
    assert max(right) <= float(root.attrib["width"])


def test_what_does_not_fit_is_refused():
    for values in ([0.0, 1.0], [], [0.0, float("nan"), 1.0], [0.0, -0.1, 1.0]):
        with pytest.raises(InputError, match=r"capital: lines\(\) takes a value for each of 3 steps, none below zero"):
            lines({"capital": values}, STEPS, "Shares")
    with pytest.raises(InputError, match=r"for each of 1 rows by 2 columns, not rows of \[1\]"):
        grid([[1.0]], ["one"], ["a", "b"], "Cells")


def test_nothing_is_drawn_of_nothing():
    for drawn in (lines({}, [], "Nothing"), grid([], [], [], "Nothing")):
        assert "Nothing" in "".join(ET.fromstring(drawn).itertext())
    assert "flat <&>" in "".join(ET.fromstring(lines({"flat <&>": [0.0]}, ["<&>"], "<&>")).itertext())


def test_a_notebook_draws_a_picture():
    drawn = lines(SERIES, STEPS, "Shares")
    assert drawn._repr_svg_() == drawn and drawn.startswith("<svg")
