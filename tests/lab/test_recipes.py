"""What holds of every recipe: a new one needs no new test."""

import json
from dataclasses import asdict

import pytest
import torch

import mainstem as ms
from mainstem.core import InputError
from mainstem.lab import Variant, VariantConfig, recipe, recipes
from mainstem.lab._mlp import TableNet
from mainstem.lab._resnet import SmallResNet
from mainstem.lab._tables import tables
from mainstem.lab.recipes import SIZES, sizes

pytest.importorskip("sklearn", reason="the extra lab is not installed")
QUICK = {
    "text": {
        "training.steps": 2,
        "training.watch": 1,
        "data.tokens": 4000,
        "data.kept": 1000,
        "data.length": 32,
        "data.tokenizer": "tiny",
    },
    "table": {"training.steps": 2, "training.watch": 1},
    "images": {"training.steps": 2, "training.watch": 1, "model.widths": [4, 6], "model.blocks": 1},
}


def built(setup) -> torch.nn.Module:
    """The model of a setup, of any size, with no memory."""
    with torch.device("meta"):
        if setup.task == "text":
            return Variant(VariantConfig(**{"vocab_size": 640, **setup.model, "basis": "none"}))
        return TableNet(8, **setup.model) if setup.task == "table" else SmallResNet(3, 10, **setup.model)


@pytest.mark.parametrize(("name", "size"), [(name, size) for name in recipes() for size in sizes(name)])
def test_a_recipe_is_a_whole_plan(name, size):
    plan = recipe(name, size)
    assert (plan.name, plan.size) == (name, size)
    assert plan.about.endswith("?") and plan.source and plan.better in ("lower", "higher")
    assert plan.seeds >= 5
    assert plan.pairs and all(a != b for a, b in plan.pairs)
    assert json.loads(json.dumps(asdict(plan)))["name"] == name
    for setup in plan.setups.values():
        assert built(setup).parameters()
        assert setup.task != "table" or setup.data["name"] in tables()
    keys = {setup.key(0) for setup in plan.setups.values()}
    assert len(keys) == len(plan.setups)


@pytest.mark.slow
@pytest.mark.parametrize("name", recipes())
def test_every_variant_of_a_small_recipe_runs(name):
    plan = recipe(name, "small")
    task = next(iter(plan.setups.values())).task
    found = ms.lab.run(name, seeds=2, choices=QUICK[task], only=tuple(plan.setups)[:4])
    assert not found.failed, found.failed[0].about["fault"]
    assert set(found.numbers()) == set(list(plan.setups)[:4])
    names = set(found.frame()["name"])
    assert names >= {plan.outcome, "parameters", "hours", "kurtosis", "rms", "gradient_norm"}
    assert found.frame()["value"].is_finite().all()


@pytest.mark.parametrize("name", recipes())
def test_variants_that_are_compared_have_what_the_question_says_in_common(name):
    plan = recipe(name, "small")
    for a, b in plan.pairs:
        one, other = plan.setups[a], plan.setups[b]
        assert one.task == other.task and one.data == other.data
        assert (one.training.steps, one.training.batch) == (other.training.steps, other.training.batch)


@pytest.mark.parametrize("name", [name for name in recipes() if name.startswith("residual")])
def test_with_and_without_residual_have_the_same_parameters(name):
    plan = recipe(name, "small")
    for a, b in plan.pairs:
        counts = {sum(p.numel() for p in built(plan.setups[v]).parameters()) for v in (a, b)}
        assert len(counts) == 1


def test_the_data_lane_of_the_paper_has_its_sizes():
    plan = recipe("data-lane", "paper")
    counts = {name: built(setup).num_parameters() for name, setup in plan.setups.items()}
    assert counts["NoDL-96-96"] == 5_467_680 and counts["DL-768-96"] == 34_741_344
    assert counts["SwDL-768-192"] == counts["DL-768-192"] == counts["CopyDL-768-192"] == 39_566_016


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match="no recipe 'lane'; there are data-lane, "):
        recipe("lane")


def test_a_size_that_a_recipe_has_not_is_refused():
    assert sizes("resnet-norm") == ("small", "medium", "paper") and sizes("data-lane") == SIZES
    with pytest.raises(InputError, match="data-lane has no size 'medium': choose 'small' or 'paper'"):
        recipe("data-lane", "medium")
