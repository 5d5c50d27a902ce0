"""The outlier report: planted features are found, their tokens are those of a plain loop, and so are loss and divergence without them."""

import json
import re
from functools import cache
from math import isnan

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import mainstem as ms

pytest.importorskip("altair")
TEXTS = [
    "The capital of France is Paris, and it lies on a river.",
    'Once upon a time there was <b>a girl</b> & her "dog" </script>.',
    "Two and two make four, as everyone knows.",
]
PLANTED, BURST = 5, 31


@cache
def planted() -> ms.Model:
    """The smallest embedded model with a feature that is large at every token behind block 0, and one that is massive behind block 1."""
    model = ms.load("tiny", dtype="float64")
    with torch.no_grad():
        model.module.transformer.h[0].mlp.c_proj.bias[PLANTED] += 40.0
        model.module.transformer.h[1].mlp.c_proj.bias[BURST] += 30_000.0
    return model


@cache
def report() -> ms.OutlierReport:
    return ms.outlier_report(planted(), TEXTS, draws=2, strongest=(3,), batch_tokens=200)


def of(row: dict) -> list[int]:
    return [int(word) for word in re.findall(r"\d+", row["features"])]


def logps(model: ms.Model, text: str, edit: ms.Edit | None = None) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids of one text, as a trace has them."""
    trace = model.trace(text, edits=edit)
    return trace.logits[0].double().log_softmax(-1), trace._inputs.ids[0]


def by_hand(model: ms.Model, dims: list[int]) -> dict[str, float]:
    losses, own, divergences = [], [], []
    for text in TEXTS:
        plain, ids = logps(model, text)
        edited, _ = logps(model, text, ms.zero_dims(*dims) if dims else None)
        own.append(F.nll_loss(plain[:-1], ids[1:], reduction="none"))
        losses.append(F.nll_loss(edited[:-1], ids[1:], reduction="none"))
        divergences.append(F.kl_div(edited, plain, log_target=True, reduction="none").sum(-1))
    loss, before, divergence = (torch.cat(parts) for parts in (losses, own, divergences))
    more = loss - before
    error = float(more.std() / len(more) ** 0.5)
    return {"loss": float(loss.mean()), "increase": float(more.mean()), "error": error, "divergence": float(divergence.mean())}


def test_planted_features_are_found_by_their_rules():
    rows = report().frame()
    assert set(rows.filter(rows["llm_int8"])["dimension"]) >= {PLANTED}
    assert set(rows.filter(rows["massive"])["dimension"]) == {BURST}
    here = {row["site"]: row for row in rows.filter(rows["dimension"] == PLANTED).to_dicts()}
    assert here["L0.resid_mid"]["positions"] < 0.06
    assert here["L0.resid_post"]["positions"] == here["L1.resid_post"]["positions"] == 1.0
    burst = rows.filter(rows["dimension"] == BURST).to_dicts()
    assert [row["site"] for row in burst if row["massive_here"]] == ["L1.resid_post"]
    assert not set(ms.outlier_report(ms.load("tiny"), TEXTS, draws=0, strongest=()).frame("effects")["set"]) & {"massive"}


def test_losses_are_those_of_a_plain_loop():
    effects = report().frame("effects").to_dicts()
    assert (effects[0]["set"], effects[0]["draw"]) == ("none", None)
    assert {row["set"] for row in effects} == {"none", "llm_int8", "massive", "strongest 3"}
    for row in effects:
        wanted = by_hand(planted(), of(row))
        assert {name: row[name] for name in wanted} == pytest.approx(wanted, rel=1e-8, abs=1e-10), row["set"]
        assert row["dims"] == len(of(row))
    assert max(row["divergence"] for row in effects) > 0.01


def test_random_sets_are_as_large_and_of_others_and_the_same_again():
    effects = report().effects
    for name in ("llm_int8", "massive", "strongest 3"):
        own = next(set(of(row)) for row in effects if row["set"] == name and row["draw"] is None)
        drawn = [of(row) for row in effects if row["set"] == name and row["draw"] is not None]
        assert len(drawn) == 2
        assert all(len(set(dims)) == len(own) and not own & set(dims) for dims in drawn)
    again = ms.outlier_report(planted(), TEXTS, draws=2, strongest=(3,), batch_tokens=200)
    assert again.to_dict() == report().to_dict()
    other = ms.outlier_report(planted(), TEXTS, draws=2, strongest=(3,), batch_tokens=200, seed=1)
    assert [row["features"] for row in other.effects] != [row["features"] for row in effects]


def test_exemplars_are_the_most_extreme_tokens_with_what_stands_around():
    model = planted()
    for row in report().exemplars:
        held = []
        for text in TEXTS:
            trace = model.trace(text)
            values = trace.point(row["site"])[0, :, row["dimension"]]
            held += [(abs(float(v)), float(v), trace.tokens[0], at) for at, v in enumerate(values)]
        size, value, tokens, at = sorted(held, key=lambda one: -one[0])[row["rank"]]
        assert row["value"] == pytest.approx(value, rel=1e-9)
        if sum(abs(one[0] - size) < 1e-9 * size for one in held) == 1:
            assert (row["token"], row["position"]) == (tokens[at], at)
            assert row["before"] == "".join(tokens[max(0, at - 8) : at])
            assert row["after"] == "".join(tokens[at + 1 : at + 9])
    assert len(report().exemplars) == 3 * len({row["dimension"] for row in report().dimensions})


def test_the_budget_of_effects_is_kept():
    few = ms.outlier_report(planted(), TEXTS * 8, draws=0, strongest=(1,), effect_tokens=60, batch_tokens=200)
    assert 60 <= few.about["effect_tokens"] <= 60 + 200
    assert few.about["tokens"] == 8 * report().about["tokens"]


def pictures(n: int = 6) -> list[Image.Image]:
    made = torch.Generator().manual_seed(1)
    return [Image.fromarray(torch.randint(0, 256, (32, 32, 3), generator=made, dtype=torch.uint8).numpy()) for _ in range(n)]


def test_images_have_features_by_stage_and_a_divergence():
    model, images = ms.load("default-image"), pictures()
    found = ms.outlier_report(model, images, magnitude=2.0, draws=1, strongest=(2,), batch_tokens=4)
    rows = found.frame()
    assert set(rows.filter(rows["stage"] == 1)["site"]) <= {"L2.resid_post", "L3.resid_post"}
    assert rows["example"].null_count() == 0
    plain = model.trace(images).logits.double().log_softmax(-1)
    assert found.about["kept"] == ["entry"]
    assert {row["set"] for row in found.effects} >= {"none", "llm_int8", "strongest 2"}
    stages = [["L0.resid_post", "L1.resid_post"], ["L2.resid_post", "L3.resid_post"], ["L4.resid_post"]]
    for row in found.effects:
        assert isnan(row["loss"])
        parts = [[int(i) for i in re.findall(r"\d+", part)] for part in row["features"].split("/")]
        edit = sum((ms.zero_dims(*dims, at=at) for dims, at in zip(parts, stages, strict=False) if dims), ms.Edit())
        edited = model.trace(images, edits=edit).logits.double().log_softmax(-1)
        wanted = float(F.kl_div(edited, plain, log_target=True, reduction="none").sum(-1).mean())
        assert row["divergence"] == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    text = page(found)
    assert "No next token is predicted here" in text and "every point of the stream but entry" in text.replace("\u00a0", " ")


def page(found: ms.OutlierReport) -> str:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        return found.html(Path(folder) / "page.html").read_text(encoding="utf-8")


def test_a_page_fetches_nothing_runs_nothing_and_shows_text_as_text():
    text = page(report())
    assert "<script" not in text and "http-equiv" in text and "default-src 'none'" in text
    assert not re.search(r"<(img|link|iframe|object)\b|(?<!xmlns=\")(?<!xlink=\")https?://(?!www\.w3\.org)", text)
    assert "<b>a girl</b>" not in text
    assert f"{PLANTED}" in text and "massive" in text
    assert text.count("<svg") == 3


def test_plain_data_is_json_and_says_what_it_is_of(tmp_path):
    found = report().to_dict()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["about"]["choices"] == {
        "magnitude": 6.0, "share": 0.06, "points": 0.25, "massive": 100.0, "ratio": 1000.0, "draws": 2, "seed": 0,
    }  # fmt: skip
    for ending in (".json", ".csv", ".parquet", ".html"):
        assert report().save(tmp_path / f"report{ending}").stat().st_size > 500
    assert re.search(rf"massive activations +1 features: {BURST}", repr(report()))
    with pytest.raises(ms.InputError, match="no part 'rows' of a report; there are dimensions, effects, exemplars"):
        report().frame("rows")


def test_a_norm_on_the_points_leaves_no_effects(real_model):
    found = ms.outlier_report(ms.load(real_model("minilm")), TEXTS, magnitude=1.0)
    assert found.effects == ()
    assert "read behind a norm" in found.about["without"]
    assert "Nothing was zeroed" in page(found)
    assert found.frame("effects").columns == []


def test_what_looks_ahead_has_no_loss():
    from mainstem.api._zeroed import Zeroed
    from mainstem.scan import Batch

    model = planted()
    ids = torch.tensor([model.ids(TEXTS[0])])
    places = torch.arange(ids.shape[1])[None]
    batch = Batch(ids, torch.ones_like(ids).bool(), places, (), {}, 1)
    backward = Zeroed(model, [])
    backward.add(batch)
    assert backward.causal and backward.found[0].count == ids.shape[1] - 1
    ahead = Zeroed(model, [])
    ahead._looks_back = lambda found, batch: False
    ahead.add(batch)
    assert ahead.found[0].count == 0 and isnan(ahead.found[0].numbers()["loss"])
