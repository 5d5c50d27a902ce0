"""Distances from a curve, planted; shares of parameters, published."""

import math

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from mainstem.core import InputError
from mainstem.lab import Findings, Plan, Setup, Variant, VariantConfig, parameter_shares
from mainstem.lab._curve import interpolated
from mainstem.lab._store import Record


def findings(losses: dict[str, tuple[float, list[float]]], curve: tuple[str, ...]) -> Findings:
    """Runs of variants with so many parameters and these losses, by seed."""
    setups = {name: Setup("text", {"name": name}) for name in losses}
    records = []
    for name, (count, values) in losses.items():
        for seed, loss in enumerate(values):
            about = {"recipe": "toy", "size": "small", "variant": name, "seed": seed, "status": "done", "fault": ""}
            records.append(Record(f"{name}{seed}", about, {"eval_loss": loss, "parameters": count}, (), {}))
    return Findings(Plan("toy", "?", "", "small", setups, 5, curve=curve), tuple(records))


NOISE = [0.0, 0.02, -0.01, 0.03, -0.02]
VANILLA = {"a": (100.0, [3 + e for e in NOISE]), "b": (400.0, [2 + e for e in NOISE]), "c": (1600.0, [1.5 + e for e in NOISE])}


def test_between_points_the_curve_is_straight_in_the_logarithm():
    xs, ys = (100, 400, 1600), (3.0, 2.0, 1.5)
    assert interpolated(200, xs, ys) == pytest.approx(2.5)
    assert interpolated(800, xs[::-1], ys[::-1]) == pytest.approx(1.75)
    assert [interpolated(x, xs, ys) for x in xs] == list(ys)
    assert math.isnan(interpolated(99, xs, ys)) and math.isnan(interpolated(1601, xs, ys))


@pytest.mark.parametrize(("shift", "verdict"), [(0.3, "higher"), (-0.3, "lower"), (0.0, "no difference shown")])
def test_a_planted_distance_is_found_and_noise_is_not(shift, verdict):
    other = [2.5 + shift + e + f for e, f in zip(NOISE, [0.01, -0.01, 0.005, -0.005, 0.002], strict=True)]
    frame = findings({**VANILLA, "lane": (200.0, other)}, ("a", "b", "c")).distances()
    assert frame["variant"].to_list() == ["lane"]
    assert frame["distance"][0] == pytest.approx(shift, abs=0.001)
    assert frame["verdict"][0] == verdict


def test_beyond_the_curve_there_is_no_distance():
    assert len(findings({**VANILLA, "huge": (9999.0, [1.0] * 5)}, ("a", "b", "c")).distances()) == 0


def test_a_plan_without_a_curve_is_refused():
    with pytest.raises(InputError, match="no vanilla variants to make a curve of"):
        findings(VANILLA, ()).distances()
    with pytest.raises(InputError, match="against is 'luck'"):
        findings(VANILLA, ("a",)).distances("luck")


def test_shares_of_gpt2_small_sum_to_its_parameters():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config())
    found = parameter_shares(model)
    assert sum(found.values()) == 124_439_808
    assert found["embedding"] == (50257 + 1024) * 768
    assert found["attention"] == 12 * (4 * 768 * 768 + 4 * 768)
    assert found["MLP"] == 12 * (8 * 768 * 768 + 5 * 768)
    assert found["norm"] == 25 * 2 * 768 and found["other"] == 0


def test_shares_of_a_variant_sum_to_its_parameters():
    with torch.device("meta"):
        model = Variant(VariantConfig(vocab_size=50257, d_model=768, d_embedding=96, n_layer=4, n_head=16))
    found = parameter_shares(model)
    assert sum(found.values()) == 34_741_344 and found["embedding"] == 50257 * 96 + 2048 * 768
