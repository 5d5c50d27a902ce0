"""Real models and real text: on text that was kept aside, a tuned lens is nearer to the model than the logit lens."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms

# At least so many of the points before the last come nearer, and their mean divergence falls to at most so large a share.
REAL: dict[str, tuple[dict[str, Any], float, float]] = {
    "tinystories-656k": ({"steps": 20}, 1.0, 0.25),
    "default": ({"steps": 20}, 1.0, 0.25),
}


def stories(shared: Path) -> list[str]:
    with gzip.open(shared / "text" / "tinystories_1000_cased.json.gz", "rt", encoding="utf-8") as held:
        return [story if isinstance(story, str) else story["text"] for story in json.load(held)]


@pytest.mark.parametrize("name", ["tinystories-656k", pytest.param("default", marks=pytest.mark.slow)])
def test_on_text_that_was_kept_aside(name: str, shared: Path) -> None:
    choices, nearer, share = REAL[name]
    model = ms.load("default" if name == "default" else shared / "models" / name)
    lens = ms.TunedLens.fit(model, stories(shared), **choices)
    assert lens.held is not None
    logit, tuned = lens.held[:, :-1].double()
    assert float((tuned < logit).double().mean()) >= nearer
    assert float(tuned.mean()) < share * float(logit.mean())
    assert float(lens.held[:, -1].abs().max()) == 0
