"""Curves without blocks: known models, plain arithmetic, labels in every form, and what is refused."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import mainstem as ms
import zoo
from mainstem.api import Model

TEXTS = [
    "The capital of France is Paris.",
    "Once upon a time there was a girl.",
    "Hot is the opposite of cold.",
    "The sky is blue.",
]
SIDES = ("tail", "head", "single", "skip")


class Bits(nn.Module):
    """Block b writes feature b of the input, doubled, so that class c wins where the block that knows it is there.

    The input is one-hot in the class; the stream starts as a faint vote for class 0.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.start = nn.Linear(classes, 2 * classes)
        self.blocks = nn.ModuleList(Bit(classes, b) for b in range(classes))
        self.end = nn.Linear(2 * classes, classes, bias=False)
        with torch.no_grad():
            self.start.weight.copy_(torch.cat([torch.eye(classes), torch.zeros(classes, classes)]))
            self.start.bias.zero_()[classes] = 0.5
            self.end.weight.copy_(torch.cat([torch.zeros(classes, classes), torch.eye(classes)], 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = block(x)
        return self.end(x)


class Bit(nn.Module):
    def __init__(self, classes: int, b: int) -> None:
        super().__init__()
        self.inner = nn.Linear(2 * classes, 2 * classes, bias=False)
        with torch.no_grad():
            self.inner.weight.zero_()[classes + b, b] = 2.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


@cache
def bits() -> tuple[Model, torch.Tensor, torch.Tensor]:
    """The planted model, 12 inputs of classes 0 to 3 (of class 3 six), and their classes."""
    truth = torch.tensor([0, 1, 2, 3, 3, 3, 3, 3, 3, 0, 1, 2])
    x = torch.eye(4, dtype=torch.float64)[truth]
    model = ms.load(Bits(4).double())
    model.map_with(x)
    return model, x, truth


def test_what_each_block_knows_is_lost_with_it_and_no_more() -> None:
    model, x, truth = bits()
    share = [float((truth == c).double().mean()) for c in range(4)]
    want = {  # class 0 is said where nothing else is
        "tail": [1.0, 1 - share[3], share[0] + share[1], share[0], share[0]],
        "head": [1.0, 1.0, 1 - share[1], share[0] + share[3], share[0]],
        "single": [1.0, 1.0, 1 - share[1], 1 - share[2], 1 - share[3]],
    }
    for side, values in want.items():
        for together in (True, False):
            found = ms.ablation_curve(model, x, side, "accuracy", labels=truth, resamples=0, together=together)
            assert found.values() == pytest.approx(values, abs=1e-12), (side, together)
            assert found.about["together"] == together
    row = found.rows[1]
    assert (row["chance"], row["floor"], row["n"], row["block"], row["removed"]) == (0.25, 0.5, 12, "L0", 1)


def test_chance_floor_and_ties_are_what_arithmetic_says() -> None:
    model, x, truth = bits()
    found = ms.ablation_curve(model, x, "tail", ["loss", "top1", "top5"], labels=truth.tolist())
    assert [row["chance"] for row in found.rows[::5]] == pytest.approx([np.log(4), 0.25, 1.0])
    counts = torch.tensor([2, 2, 2, 6]) / 12
    assert [row["floor"] for row in found.rows[::5]] == pytest.approx([float(-(counts * counts.log()).sum()), 0.5, 1.0])
    with torch.no_grad():
        model.module.start.bias.zero_()
    try:  # without a single block all four are equal: each is said a quarter of the time
        assert ms.ablation_curve(model, x, "tail", "accuracy", labels=truth).values()[-1] == pytest.approx(0.25, abs=1e-15)
    finally:
        with torch.no_grad():
            model.module.start.bias[4] = 0.5


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("side", SIDES)
def test_next_tokens_are_those_of_a_plain_loop(side: str, together: bool) -> None:
    model = ms.load("tiny")
    found = ms.ablation_curve(model, TEXTS, side, batch_tokens=64, together=together)
    rows = [model.trace(text)._inputs.ids[0].tolist() for text in TEXTS]
    losses, hits = [], []
    for ids in rows:
        logits = model.trace([ids]).logits[0, :-1]
        losses += cross_entropy(logits, torch.tensor(ids[1:]), reduction="none").tolist()
        hits += (logits.argmax(-1) == torch.tensor(ids[1:])).tolist()
    assert found.values("loss")[0] == pytest.approx(np.mean(losses), rel=1e-5)
    assert found.values("accuracy")[0] == pytest.approx(np.mean(hits), abs=1e-6)
    gone = {"tail": ["L1"], "head": ["L0"], "single": ["L0"]}.get(side)
    if gone:
        edit = sum((ms.zero(f"{b}.attn", f"{b}.mlp") for b in gone), ms.zero(f"{gone[0]}.attn"))
        total = sum(
            float(cross_entropy(model.trace([ids], edits=edit).logits[0, :-1], torch.tensor(ids[1:]), reduction="sum"))
            for ids in rows
        )
        assert found.values("loss")[1] == pytest.approx(total / len(losses), rel=1e-5)
    assert found.about["places"] == len(losses) and found.about["examples"] == len(TEXTS)


def test_the_last_token_alone() -> None:
    model = ms.load("tiny")
    rows = [model.trace(text)._inputs.ids[0].tolist() for text in TEXTS]
    want = [float(cross_entropy(model.trace([ids[:-1]]).logits[0, -1:], torch.tensor(ids[-1:]))) for ids in rows]
    for side in SIDES:
        for together in (True, False):
            found = ms.ablation_curve(model, TEXTS, side, "loss", places="last", together=together)
            assert found.values()[0] == pytest.approx(np.mean(want), rel=1e-5)
            assert found.about["places"] == len(TEXTS)
    slow = ms.ablation_curve(model, TEXTS, "head", "loss", places="last", together=False)
    assert ms.ablation_curve(model, TEXTS, "head", "loss", places="last").values() == pytest.approx(slow.values(), rel=1e-5)


def test_the_interval_is_the_bootstrap_over_examples() -> None:
    model, x, truth = bits()
    found = ms.ablation_curve(model, x, "tail", "accuracy", labels=truth, resamples=4000, seed=3)
    again = ms.ablation_curve(model, x, "tail", "accuracy", labels=truth, resamples=4000, seed=3)
    assert found.rows == again.rows
    other = ms.ablation_curve(model, x, "tail", "accuracy", labels=truth, resamples=4000, seed=4)
    row, p = found.rows[1], 0.5
    draws = np.random.default_rng(0).binomial(12, p, 100_000) / 12
    assert (row["low"], row["high"]) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=1 / 12)
    assert (found.rows[0]["low"], found.rows[0]["high"]) == (1.0, 1.0)
    assert other.values() == found.values()


@pytest.mark.parametrize("side", SIDES)
def test_an_encoder_that_classifies_is_the_same_both_ways(side: str) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    module = BertForSequenceClassification(BertConfig(**zoo.SMALL, num_labels=3))
    model = ms.load(zoo.liven(module).eval().double())
    ids, truth = zoo.ids(6, 7), [0, 1, 2, 0, 0, 1]
    fast = ms.ablation_curve(model, ids, side, labels=truth)
    slow = ms.ablation_curve(model, ids, side, labels=truth, together=False)
    assert fast.metrics == ("accuracy", "loss") and fast.about["together"] and not slow.about["together"]
    for metric in fast.metrics:
        assert fast.values(metric) == pytest.approx(slow.values(metric), rel=1e-10, abs=1e-12)
    assert fast.about["classes"] == 3 and fast.rows[0]["floor"] == 0.5


def test_images_take_their_class_from_their_names(tmp_path: Path) -> None:
    from PIL import Image

    model = ms.load("default-image")
    colours = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    for i, pixels in enumerate(colours):
        (tmp_path / f"f{i % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / f"f{i % 2}" / f"{i % 3}_n0{i}_thing.png")
    found = ms.ablation_curve(model, tmp_path, "head")
    listed = [int(p.name[0]) for p in sorted(tmp_path.rglob("*.png"), key=lambda p: p.relative_to(tmp_path).as_posix())]
    assert found.metrics == ("top1", "top5", "loss")
    assert ms.ablation_curve(model, tmp_path, "head", labels=listed).values("loss") == found.values("loss")
    for path in list(tmp_path.rglob("*.png")):
        path.rename(path.with_name("x" + path.name))
    folders = [int(p.parent.name == "f1") for p in sorted(tmp_path.rglob("*.png"))]
    by_folder = ms.ablation_curve(model, tmp_path, "head", "loss")
    assert by_folder.values() == ms.ablation_curve(model, tmp_path, "head", "loss", labels=folders).values()
    assert {row["stage"] for row in found.rows} > {0}


def labelled(folder: Path) -> dict[str, Any]:
    """The same texts and labels as JSON lines, Parquet and dictionaries."""
    rows = [{"text": text, "is": i % 2} for i, text in enumerate(TEXTS)]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pl.DataFrame(rows).write_parquet(folder / "d.parquet")
    return {"json": folder / "d.jsonl", "parquet": folder / "d.parquet", "rows": rows}


def test_a_column_holds_the_labels_of_every_form_of_data(tmp_path: Path) -> None:
    from mainstem.scan import labels_of, source, survey

    for data in labelled(tmp_path).values():
        assert labels_of(survey(source(data)), "is") == {0: 0, 1: 1, 2: 0, 3: 1}
        with pytest.raises(ms.InputError, match="no column 'was'"):
            labels_of(survey(source(data)), "was")
    held = survey(source([{"text": "a", "is": "Maybe"}, {"text": "b", "is": "no"}]))
    assert labels_of(held, "is", {"no": 0, "maybe": 1}) == {0: 1, 1: 0}


def test_a_curve_is_stored_and_read_again(tmp_path: Path) -> None:
    model, x, truth = bits()
    found = ms.ablation_curve(model, x, "single", ["accuracy", "loss"], labels=truth, resamples=0)
    back = ms.AblationCurve.load(found.save(tmp_path / "c.json"))
    assert back.frame().equals(found.frame()) and back.about == json.loads(json.dumps(found.about)) and repr(back) == repr(found)
    assert pl.read_parquet(found.save(tmp_path / "c.parquet")).equals(found.frame())
    assert len(pl.read_csv(found.save(tmp_path / "c.csv"))) == 10
    assert "L2" in repr(found) and "chance" in repr(found)
    with pytest.raises(ms.InputError, match="no curve"):
        (tmp_path / "other.json").write_text("{}")
        ms.AblationCurve.load(tmp_path / "other.json")


def test_a_floor_of_one_class_is_nothing_less() -> None:
    model, x, _ = bits()
    found = ms.ablation_curve(model, x, "tail", ["loss"], labels=[1] * len(x), resamples=0)
    assert str(found.of("loss")[0]["floor"]) == "0.0" and "-0.0000" not in repr(found)


def _with(**more: Any) -> Callable[[], object]:
    def asked() -> object:
        model, x, truth = bits()
        return ms.ablation_curve(model, **{"data": x, "labels": truth, **more})

    return asked


NAN = torch.full((2, 4), torch.nan, dtype=torch.float64)
REFUSED = {
    "many resamples": (_with(resamples=10**9), "resamples is a whole number up to 100,000"),
    "side": (_with(side="left"), "there are tail, head, single, skip"),
    "metric": (_with(metric="f1"), "there are loss, accuracy, top1, top5"),
    "no metric": (_with(metric=()), "name some of loss"),
    "norm": (_with(norm="none"), "there are own, final"),
    "places": (_with(places="first"), "there are all, last"),
    "resamples": (_with(resamples=-1), "a whole number"),
    "few labels": (_with(labels=[0, 1]), "2 labels for 12 examples"),
    "no class": (_with(labels=[7] * 12), "no class 7: the model has 4"),
    "no number": (_with(labels=[0.5] * 12), "a class's number"),
    "no rows": (_with(data=torch.empty(0, 4)), "at least one"),
    "nan": (_with(data=NAN, labels=[0, 1]), "not finite"),
    "no labels": (_with(labels=None), "labels are needed"),
    "no model": (lambda: ms.ablation_curve("tiny", TEXTS), "mainstem.load"),
    "no data": (lambda: ms.ablation_curve(ms.load("tiny"), []), "nothing to scan"),
    "labels of a language model": (lambda: ms.ablation_curve(ms.load("tiny"), TEXTS, labels=[0] * 4), "a class of each example"),
    "no stream": (lambda: ms.ablation_curve(ms.load("tiny"), TEXTS, stream="other"), "no stream 'other'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    asked, said = REFUSED[name]
    with pytest.raises(ms.InputError, match=said):
        asked()


def test_a_model_that_looks_ahead_predicts_no_next_token() -> None:
    module, args, _ = zoo.ZOO["bert"]()
    with pytest.raises(ms.InputError, match="looks at later tokens"):
        ms.ablation_curve(ms.load(module), args[0])


def test_outputs_that_are_not_finite_are_named() -> None:
    module = Bits(4).double()
    model, (_, x, truth) = ms.load(module), bits()
    model.map_with(x)
    with torch.no_grad():
        module.blocks[2].inner.weight[0, 0] = torch.inf
    with pytest.raises(ms.InputError, match="not finite"):
        ms.ablation_curve(model, x, "tail", labels=truth)


def test_few_examples_come_with_a_caution_and_enough_with_none() -> None:
    model, x, truth = bits()
    found = ms.ablation_curve(model, x, "tail", "accuracy", labels=truth)
    wide = max((row["high"] - row["low"]) / 2 for row in found.of())
    caution = found.about["caution"]
    assert (
        caution.startswith("12 examples are few")
        and f"accuracy is off by up to {wide:.2g}" in caution
        and "30 or more" in caution
    )
    assert f"caution: {caution}" in " ".join(repr(found).split())
    assert max(map(len, repr(found).splitlines())) <= 80
    enough = ms.ablation_curve(model, torch.cat([x] * 3), "tail", "accuracy", labels=[*truth] * 3)
    assert "caution" not in enough.about and "caution" not in repr(enough)
    one = ms.ablation_curve(model, x[:1], "tail", "accuracy", labels=truth[:1]).about["caution"]
    assert one == "1 example has no interval, which is drawn over examples: give 30 or more."
    points = ms.ablation_curve(model, x, "tail", "accuracy", labels=truth, resamples=0).about["caution"]
    assert points == "12 predictions are few to tell blocks apart by: give 30 or more."
    many = ms.ablation_curve(ms.load("tiny"), TEXTS[:2] * 4, "tail", "loss", resamples=0)
    assert many.about["places"] >= 30 and "caution" not in many.about


@pytest.mark.parametrize("side", ["tail", "head"])
def test_how_large_a_batch_is_changes_no_number(side: str) -> None:
    whole, *others = (ms.ablation_curve(ms.load("tiny"), TEXTS, side, batch_tokens=n) for n in (1024, 5, 1))
    for one in others:
        assert one.about["places"] == whole.about["places"]
        assert one.values("loss") == pytest.approx(whole.values("loss"), rel=1e-5)
