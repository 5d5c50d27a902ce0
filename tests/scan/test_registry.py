"""Every measure there is goes through the store: many pieces come to what one piece comes to."""

import pytest
import torch

from mainstem.measure import measure_named, measures, pairs
from mainstem.scan import merge, scan, source, survey
from scan import toy


@pytest.mark.parametrize("name", [*measures(), *pairs()])
def test_pieces_come_to_what_the_whole_comes_to(tmp_path, name):
    measure, data = measure_named(name), toy.texts(60)
    single = (
        {"measures": [measure], "pairs": []} if name in measures() else {"measures": [], "pairs": [(measure, [("entry", "L0")])]}
    )
    for size in (300, 10**6):
        scan(toy.job(**single), survey(source(data), size), tmp_path / str(size))
    pieces, whole = merge(tmp_path / "300"), merge(tmp_path / "1000000")
    assert pieces.counts["pieces"] > 4 > whole.counts["pieces"]
    one, other = pieces.numbers(), whole.numbers()
    assert one.keys() == other.keys() and one
    for key in one:
        for number, value in one[key].items():
            torch.testing.assert_close(
                value, other[key][number], rtol=1e-9, atol=1e-12, equal_nan=True, msg=lambda m: f"{key} {number}: {m}"
            )
