"""Real models and real text: on text that was kept aside, a tuned lens is nearer to the model than the logit lens."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mainstem as ms

# At least so many of the points before the last come nearer, and their mean divergence falls to at most so large a share.
REAL: dict[str, tuple[dict[str, Any], float, float]] = {
    "tinystories-656k": ({"steps": 20}, 1.0, 0.25),
    "default": ({"steps": 20}, 1.0, 0.25),
    "smollm2": ({"steps": 2, "batch": 64, "held": 0.02}, 0.9, 0.25),
}


def stories(shared: Path) -> list[str]:
    with gzip.open(shared / "text" / "tinystories_1000_cased.json.gz", "rt", encoding="utf-8") as held:
        return [story if isinstance(story, str) else story["text"] for story in json.load(held)]


def encyclopedia(shared: Path) -> str:
    with gzip.open(shared / "text" / "wikitext2_valid.txt.gz", "rt", encoding="utf-8") as held:
        return held.read()


@pytest.mark.parametrize("name", ["tinystories-656k", *(pytest.param(n, marks=pytest.mark.slow) for n in ("default", "smollm2"))])
def test_on_text_that_was_kept_aside(name: str, shared: Path, real_model: Callable[[str], Path]) -> None:
    folders = {"tinystories-656k": shared / "models" / name, "default": name}
    choices, nearer, share = REAL[name]
    model = ms.load(folders[name] if name in folders else real_model(name))
    lens = ms.TunedLens.fit(model, encyclopedia(shared) if name == "smollm2" else stories(shared), **choices)
    assert lens.held is not None
    logit, tuned = lens.held[:, :-1].double()
    assert float((tuned < logit).double().mean()) >= nearer
    assert float(tuned.mean()) < share * float(logit.mean())
    assert float(lens.held[:, -1].abs().max()) == 0


@pytest.mark.slow
def test_what_a_tuned_lens_shows_of_a_fact_is_nearer_too(shared: Path) -> None:
    """On prompts of another kind than it learned from."""
    model = ms.load("default")
    facts = [fact.prompt for fact in ms.facts()[:40]]
    lens = ms.TunedLens.fit(model, [*stories(shared)[:200], *(f.prompt + f.answer for f in ms.facts()[40:])], steps=20)
    trace = model.trace(facts)
    before, after = trace.lens().frame(), trace.lens(tuned=lens).frame()
    means = [frame.group_by("point", maintain_order=True).mean()["kl"] for frame in (before, after)]
    assert (means[1] < means[0])[:-1].sum() >= 11  # of the twelve points before the last
