"""Shifts of later layers' inputs and outputs, and type change: nothing for nothing removed, planted nets, sums that close."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mainstem as ms
import real
from zoo import ZOO

TEXTS = ["The capital of France is Paris.", "Water is wet, and fire is hot.", "Once upon a time there was a small fox."]


@cache
def default() -> ms.Model:
    return real.model("default")


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_an_edit_that_changes_nothing_shifts_nothing(covariance: str) -> None:
    found = ms.input_shift(default(), TEXTS, ms.zero("L5.mlp"), covariance)
    before = [row for row in found.rows if row["layer"] < 5]
    assert before and all(row["frechet"] == row["mean_shift"] == 0 and row["norm_ratio"] == 1 for row in before)
    assert {row["write"] for row in found.rows} == {w.label for w in default().map.main.writes} - {"L5.mlp"}


def test_numbers_are_those_of_two_traces() -> None:
    edit = ms.zero("L0.attn", "L0.mlp", "L1.attn", "L1.mlp")
    found = ms.input_shift(default(), TEXTS[:1], 2)
    plain, other = default().trace(TEXTS[0]), default().trace(TEXTS[0], edits=edit)
    assert {row["layer"] for row in found.rows} == {2, 3, 4, 5}
    for row in found.rows:
        x, y = (t[row["site"]][0].double() for t in (plain, other))
        apart = float((y.mean(0) - x.mean(0)).norm())
        deviations = float((x.std(0, correction=0) - y.std(0, correction=0)).square().sum())
        assert row["mean_shift"] == pytest.approx(apart, rel=1e-5)
        assert row["frechet"] == pytest.approx((apart**2 + deviations) ** 0.5, rel=1e-5)
        assert row["cosine"] == pytest.approx(float(nn.functional.cosine_similarity(x, y).mean()), abs=1e-5)


def test_batches_do_not_matter() -> None:
    whole, *others = (ms.input_shift(default(), TEXTS, 1, batch_tokens=n) for n in (1024, 12, 1))
    for small in others:
        for a, b in zip(whole.rows, small.rows, strict=True):
            assert (a["tokens"], a["shift"]) == (b["tokens"], pytest.approx(b["shift"], rel=1e-4))


class Line(nn.Module):
    """Two blocks: the first adds ones, the second adds twice what it reads."""

    def __init__(self, vocab: int, width: int = 4) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(vocab, width), nn.Linear(width, vocab)
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.one.weight.mul_(0), self.one.bias.fill_(1)
            self.two.weight.copy_(2 * torch.eye(width))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        x = self.embed(input_ids)
        x = x + self.one(x)
        x = x + self.two(x)
        return self.head(x)


@cache
def line() -> ms.Model:
    tokenizer = default().loaded.codec.tokenizer  # type: ignore[union-attr]
    return ms.load(Line(tokenizer.get_vocab_size()).eval(), tokenizer=tokenizer)


def test_a_planted_shift_has_the_closed_form() -> None:
    first, second = (write.label for write in line().map.main.writes)
    found = ms.input_shift(line(), TEXTS, ms.zero(first))
    row = next(r for r in found.ratios if r["write"] == second)
    sides = {r["side"]: r for r in found.rows if r["write"] == second}
    assert sides["input"]["mean_shift"] == pytest.approx(2, rel=1e-5)  # ones in four features
    assert sides["output"]["mean_shift"] == pytest.approx(4, rel=1e-5)
    assert sides["output"]["frechet"] == pytest.approx(4, rel=1e-5)
    assert row["ratio"] == pytest.approx(1, rel=1e-5)  # twice the shift, in units of twice the spread


def test_it_is_stored_and_drawn(tmp_path: Path) -> None:
    found = ms.input_shift(default(), TEXTS[:1], [1, ms.zero("L2.mlp")])
    frame, ratios = found.frame(), found.frame("ratios")
    assert frame["side"].unique().sort().to_list() == ["input", "output"] and ratios["removed"].n_unique() == 2
    assert found.save(tmp_path / "shift.parquet").exists() and found.chart().save(tmp_path / "shift.svg").exists()
    assert "without block 0" in repr(found)
    with pytest.raises(ms.InputError, match="sites, ratios"):
        found.frame("other")


def test_inputs_are_drawn_where_they_are_read() -> None:
    found = ms.input_shift(default(), TEXTS[:1], 1)
    drawn = {row["site"]: row["x"] for row in _drawn(found.chart().to_dict()) if row["name"] == "input"}
    assert drawn == {f"L{b - (k == 0)}.resid_{'mid' if k else 'post'}": b + k / 2 for b in range(1, 6) for k in (0, 1)}


def _drawn(spec: Any) -> list[dict[str, Any]]:
    """The rows that stand anywhere in a chart's specification."""
    if isinstance(spec, list):
        return [row for one in spec for row in _drawn(one)]
    if not isinstance(spec, dict):
        return []
    return [spec] if {"site", "x", "name"} <= spec.keys() else [row for one in spec.values() for row in _drawn(one)]


@pytest.mark.parametrize("removed", [0, 6, -1, True])
def test_blocks_that_cannot_be_removed_are_named(removed: Any) -> None:
    with pytest.raises(ms.InputError, match="of 6 blocks the first 1 to 5"):
        ms.input_shift(default(), TEXTS, removed)


@pytest.mark.parametrize("name", ["gpt2", "neox", "bert", "granite", "resnet", "resnet_basic", "cifar", "vit", "tabular_linear"])
def test_branch_and_shortcut_come_to_the_total(name: str) -> None:
    module, args, kwargs = ZOO[name]()
    model = ms.load(module)
    model.map_with(*args, **kwargs)
    frame = model.trace(args[0]).type_change()
    blocks = [row for row in frame.iter_rows(named=True) if row["level"] == "block"]
    assert len(blocks) == len(model.map.main.blocks)
    for row in blocks:
        sums = row["branch"] ** 2 + row["shortcut"] ** 2 + 2 * row["cosine"] * row["branch"] * row["shortcut"]
        assert sums == pytest.approx(row["total"] ** 2, rel=1e-5)
        assert row["ratio"] == pytest.approx(row["branch"] / row["shortcut"], rel=1e-12)


def test_a_down_sampling_block_is_held_against_its_projection() -> None:
    module, args, _ = ZOO["resnet_inplace"]()
    model, seen = ms.load(module), {}
    down = module.stages[2].downsample  # type: ignore[index, union-attr]
    down.register_forward_hook(lambda m, i, o: seen.update(shortcut=o.clone()))
    with torch.no_grad():
        module(*args)
    model.map_with(*args)
    rows = [r for r in model.trace(args[0]).type_change().iter_rows(named=True) if r["level"] == "block"]
    size = seen["shortcut"].double().square().sum(1).mean().sqrt()
    assert rows[2]["shortcut"] == pytest.approx(float(size), rel=1e-5) and rows[2]["in_out"] is None
    assert rows[3]["in_out"] is not None


def test_planted_branches_have_their_ratio_and_cosine() -> None:
    rows = [r for r in line().trace(TEXTS[0]).type_change().iter_rows(named=True) if r["level"] == "write"]
    assert rows[0]["branch"] == pytest.approx(2, rel=1e-6)
    assert rows[1]["ratio"] == pytest.approx(2, rel=1e-6) and rows[1]["cosine"] == pytest.approx(1, rel=1e-6)
    assert rows[1]["in_out"] == pytest.approx(1, rel=1e-6)


def test_one_place_is_that_places_alone_and_pads_do_not_count() -> None:
    trace = default().trace(TEXTS[:2])
    one, alone = trace.type_change(prompt=1, position=2), default().trace(TEXTS[1]).type_change(position=2)
    assert one["ratio"].to_list() == pytest.approx(alone["ratio"].to_list(), rel=1e-4)
    every, first = trace.type_change(prompt=0), default().trace(TEXTS[0]).type_change()
    assert every["cosine"].to_list() == pytest.approx(first["cosine"].to_list(), abs=1e-4)
    module, args, _ = ZOO["resnet_basic"]()
    image = ms.load(module)
    image.map_with(*args)
    with pytest.raises(ms.InputError, match="no positions"):
        image.trace(args[0]).type_change(position=1)
    assert image.trace(args[0]).type_change(prompt=1)["ratio"].is_finite().all()
