"""Heat maps of components by tokens: every cell its row, the strongest kept in the order of the stream."""

from importlib import import_module

import pytest

from mainstem.core import InputError
from view import _tables as make

view = import_module("mainstem.view")  # its name at the door is that of the function that opens the page

pytest.importorskip("altair")
SIZES = [(1, 2), (4, 3), (30, 5), (200, 2)]


def rows(n: int, length: int) -> list[dict[str, object]]:
    """n components at every token, signs alternating, the sizes rising with the component and falling with the token."""
    return [
        {"component": f"L{i}.mlp", "position": t, "token": f" t{t}", "value": (-1) ** (i + t) * (i + 1) / (t + 1)}
        for i in range(n)
        for t in range(length)
    ]


def test_the_unit_stands_below_the_measure_in_the_legend():
    chart = view.token_map(rows(4, 3), measure="recovery (share of the difference)")
    legend = chart.to_dict()["layer"][0]["encoding"]["color"]["legend"]
    assert legend["title"] == ["recovery", "(share of the difference)"]


@pytest.mark.parametrize(("n", "length"), SIZES)
def test_cells_are_rows_and_the_strongest_are_kept(n, length):
    data = rows(n, length)
    chart = view.token_map(data, k=20)
    cells = make.rows_with(chart, "label", "source")
    kept = {f"L{i}.mlp" for i in range(max(0, n - 20), n)}
    want = {
        (row["component"], f"{row['position']} ·t{row['position']}"): row["value"] for row in data if row["component"] in kept
    }
    assert {(cell["label"], cell["source"]): cell["value"] for cell in cells} == want
    spec = chart.to_dict()["layer"][0]["encoding"]
    assert spec["y"]["scale"]["domain"] == [f"L{i}.mlp" for i in range(n - 1, max(0, n - 20) - 1, -1)]
    domain = spec["color"]["scale"]["domain"]
    assert domain[0] == -domain[-1] and domain[2] == 0 and spec["color"]["legend"]["values"][1] == 0


@pytest.mark.parametrize(
    ("data", "k", "said"),
    [
        ([], 3, "no rows"),
        (rows(2, 2), 0, "1 component or more"),
        ([{"component": "L0.mlp", "position": None, "value": 1.0}], 3, "no positions"),
        ([{"component": "L0.mlp", "position": 0, "value": float("nan")}], 3, "not finite"),
    ],
)
def test_what_cannot_be_drawn(data, k, said):
    with pytest.raises(InputError, match=said):
        view.token_map(data, k)
