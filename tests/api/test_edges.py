"""Edits at their edges: what is not finite, prompts that end early, sources of other shapes, arguments of other kinds."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import mainstem as ms
from mainstem import lab

PROMPT, OTHER = "The capital of France is", "The capital of Italy is"


@pytest.fixture(scope="module")
def model() -> ms.Model:
    return ms.load("tiny")


def test_prompts_that_go_on_keep_their_own_row_of_a_patch(model: ms.Model) -> None:
    for seed in range(12):
        chance = torch.Generator().manual_seed(seed)
        prompts, sources = torch.randint(5, 630, (2, 2, 6), generator=chance)
        alone = []
        for i in range(2):
            edit = ms.patch("L0.resid_post", source=model.trace(sources[i : i + 1]))
            alone.append(model.generate(prompts[i : i + 1], tokens=6, edits=edit, stop=-1).ids[0])
        stop = alone[0][0]
        if stop not in alone[1]:
            edit = ms.patch("L0.resid_post", source=model.trace(sources))
            assert model.generate(prompts, tokens=6, edits=edit, stop=stop).ids == ((), alone[1]), seed


def test_a_patch_of_more_prompts_or_other_than_a_multiple_is_refused(model: ms.Model) -> None:
    for here, there in (([PROMPT], [OTHER, PROMPT]), ([PROMPT] * 2, [OTHER] * 3), ([PROMPT] * 3, [OTHER] * 2)):
        with pytest.raises(ms.InputError, match="prompts"):
            model.trace(here, edits=ms.patch("L0.resid_post", source=model.trace(there)))


def test_an_effect_of_numbers_that_overflow_is_none(model: ms.Model) -> None:
    with pytest.raises(ms.InputError, match=r"scale L1\.mlp by 1e\+38 makes numbers overflow"):
        ms.edit_effect(model, PROMPT, ms.scale("L1.mlp", by=1e38))
    assert float(ms.edit_effect(model, PROMPT, ms.scale("L1.mlp", by=1)).divergence) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda m: ms.steer(None, at="L1.resid_post"),  # type: ignore[arg-type]
        lambda m: ms.steer("abc", at="L1.resid_post"),  # type: ignore[arg-type]
        lambda m: ms.steer(torch.zeros(48, dtype=torch.complex64), at="L1.resid_post"),
        lambda m: ms.zero("L1.mlp") + 1,  # type: ignore[operator]
        lambda m: ms.resample("L1.attn", source=m.trace(OTHER), seed=10**30),
        lambda m: m.generate(PROMPT, tokens=1, temperature=1.0, seed=10**30),
        lambda m: m.generate(PROMPT, tokens=1, temperature=1.0, edits=ms.scale("L1.mlp", by=1e38)),
        lambda m: ms.activation_patching(m, PROMPT, OTHER, " Paris", mode="resample", seed=10**30),
        lambda m: ms.input_shift(m, [PROMPT], removed="x"),
        lambda m: ms.rotate(m, seed=10**30),
        lambda m: lab.Training(steps="abc"),  # type: ignore[arg-type]
        lambda m: lab.VariantConfig(d_model="abc"),  # type: ignore[arg-type]
        lambda m: lab.VariantConfig(n_layer=-1),
        lambda m: lab.Training(lr=float("nan")),
    ],
)
def test_arguments_of_another_kind_are_said(model: ms.Model, wrong: Callable[[ms.Model], object]) -> None:
    with pytest.raises(ms.InputError):
        wrong(model)


def test_a_stored_curve_without_its_rows_is_refused(tmp_path: Path) -> None:
    for name, held in (("none", {}), ("list", {"rows": [3]}), ("number", {"rows": 3})):
        place = tmp_path / f"{name}.json"
        place.write_text(json.dumps({"form": "ablation curve 1"} | held), encoding="utf-8")
        with pytest.raises(ms.InputError, match="no whole curve"):
            ms.AblationCurve.load(place)
