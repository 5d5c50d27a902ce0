"""Statistics of a model with an edit: those of the edited traces, in memory and in a folder, and never taken for those without it."""

import pytest
import torch

import mainstem as ms

TEXTS = ["The capital of France is Paris.", "Tom gave Anna", "Once upon a time"]


def by_hand(made: ms.Model, edit: ms.Edit) -> torch.Tensor:
    """The mean RMS of the stream behind the last block, over all tokens of the edited traces."""
    rows = [made.trace(text, edits=edit).point("L1.resid_post", "sum")[0] for text in TEXTS]
    return torch.cat(rows).double().square().mean(1).sqrt().mean()


def rms(found: ms.Measurements) -> torch.Tensor:
    """The one number looked at."""
    return found["rms"]["L1.resid_post"]["rms"]


@pytest.mark.parametrize("label", ["L0.mlp", "L1.attn.H1", "L0.resid_post"])
def test_what_is_measured_is_the_edited_model(label, tmp_path):
    made, edit = ms.load("tiny"), ms.scale(label, by=3)
    found = ms.measure(made, TEXTS, ["rms"], edits=edit)
    torch.testing.assert_close(rms(found), by_hand(made, edit), rtol=1e-4, atol=0)
    assert rms(found) != rms(ms.measure(made, TEXTS, ["rms"]))
    with made.edited(edit):
        assert rms(ms.measure(made, TEXTS, ["rms"])) == rms(found)
    assert rms(ms.scan(made, TEXTS, ["rms"], out=tmp_path / "run", edits=edit)) == rms(found)


def test_a_run_with_another_edit_is_another_run(tmp_path):
    made = ms.load("tiny")
    one, two = (ms.steer(torch.eye(made.map.main.width)[i], at="L0.resid_post") for i in (0, 1))
    assert str(one) == str(two) and one.digest() != two.digest()
    ms.scan(made, TEXTS, ["rms"], out=tmp_path / "run", edits=one)
    for other in (two, None):
        with pytest.raises(ms.InputError, match="edits"):
            ms.scan(made, TEXTS, ["rms"], out=tmp_path / "run", edits=other)


def test_rows_of_scores_are_of_the_edited_model(tmp_path):
    made, edit = ms.load("tiny"), ms.zero("L1.mlp")
    rows = ms.scan(made, TEXTS[:1], [], out=tmp_path / "run", scores=["dla"], edits=edit).rows().collect()
    assert rows.filter(rows["component"] == "L1.mlp")["value"].to_list() == [0.0]
