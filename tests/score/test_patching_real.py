"""Patching of a trained model: every patch shown is the edit, and what attribution finds is held against it."""

import pytest

import mainstem as ms

pytestmark = pytest.mark.slow
CLEAN, CORRUPT = "The capital of France is", "The capital of Italy is"


def test_patches_of_a_trained_model(real_model):
    made = ms.load(real_model("smollm2"))
    found = ms.activation_patching(made, CLEAN, CORRUPT, ms.contrast(" Paris", " Rome"))
    clean, corrupt = float(found.clean[0]), float(found.corrupt[0])
    assert clean > 0 > corrupt
    source, base = made.trace(CLEAN), made.trace(CORRUPT)
    one, two = (base.index(word) for word in (" Paris", " Rome"))
    for label, at, effect in [*found.top(3), ("L12.attn", 3, None)]:
        row = made.trace(CORRUPT, edits=ms.patch(label, source=source, positions=at)).logits[0, -1].double()
        want = float(row[one] - row[two]) - corrupt
        got = found.frame().filter(component=label, position=at)["effect"][0]
        assert got == pytest.approx(want, abs=2e-3) and effect in (None, got)
    best = found.frame().sort("effect", descending=True).row(0, named=True)
    assert best["token"] == " Italy" and best["recovery"] > 0.5  # the fact hangs on the country
    quick = ms.attribution_patching(made, CLEAN, CORRUPT, ms.contrast(" Paris", " Rome"), level="head", recheck=30)
    assert quick.agreement is not None and quick.agreement > 0.5
