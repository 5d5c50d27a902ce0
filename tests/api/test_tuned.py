"""A tuned lens learns what it can, keeps what it learned, and goes with its own model only."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import mainstem as ms
from mainstem.api import _fit, _progress
from mainstem.api._fit import Plan
from mainstem.api._progress import tracked
from mainstem.api._rows import endless, grouped, rows, size
from mainstem.models import digest
from mainstem.models import load as load_module
from zoo import ZOO, ids, pixels

TEXTS = ["The capital of France is Paris.", "Once upon a time", "The opposite of hot is cold, as everyone knows.", "A red ball"]
FEW: dict[str, Any] = {"steps": 3, "batch": 16, "length": 8}


@cache
def tiny() -> ms.Model:
    return ms.load("tiny")


@cache
def small(seed: int = 0) -> ms.TunedLens:
    return ms.TunedLens.fit(tiny(), TEXTS, seed=seed, **FEW)


def data(name: str) -> Tensor:
    """Training data of a model of the zoo."""
    if name in ("vit", "resnet", "resnet_basic", "cifar"):
        return torch.randn(24, 3, 16 if name == "vit" else 32, 16 if name == "vit" else 32)
    return torch.randint(1, 20, (40, 7))


def loud(module: nn.Module) -> nn.Module:
    """A random model with something to say: its last product tells tokens apart."""
    head = [m for m in module.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        head.weight.mul_(5)
    return module


class Affine(nn.Module):
    """A stream whose every point is a known affine map away from the last."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = nn.Embedding(60, 12), nn.LayerNorm(12), nn.Linear(12, 30)
        self.parts = nn.ModuleList(nn.Linear(12, 12) for _ in range(3))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        for part in self.parts:
            x = x + part(x)
        return self.head(3 * self.norm(x))


def assert_same(one: ms.TunedLens, other: ms.TunedLens) -> None:
    assert torch.equal(one.translators.matrices, other.translators.matrices)
    assert torch.equal(one.translators.shifts, other.translators.shifts)
    assert torch.equal(one.curve, other.curve)


def kl(trace: ms.Trace, lens: ms.TunedLens | None = None) -> Tensor:
    """The mean over real tokens, [point]."""
    found = trace.lens(tuned=lens).frame()
    means = found.group_by("point", maintain_order=True).agg(pl.col("kl").mean())
    return torch.tensor(means["kl"].to_list(), dtype=torch.float64)


@pytest.mark.parametrize("start", ["zero", "regression"])
def test_without_a_step_it_is_where_it_starts(start):
    lens = ms.TunedLens.fit(tiny(), TEXTS, steps=0, start=start)
    trace = tiny().trace(TEXTS)
    plain, tuned = trace.lens(" Paris"), trace.lens(" Paris", tuned=lens)
    same = [torch.equal(getattr(plain.values, n), getattr(tuned.values, n)) for n in ("logit", "kl", "rank", "entropy")]
    assert same == [start == "zero"] * 4
    assert lens.curve.shape == (0, len(plain.points))


@pytest.mark.parametrize(
    "name", ["gpt2", "llama", "gemma2", "granite", "bert", "neox", "falcon", "vit", "resnet", "resnet_basic", "cifar", "experts"]
)
@pytest.mark.parametrize("start", ["zero", "regression"])
def test_on_what_it_learned_from_no_point_is_farther_from_the_end(name, start):
    model, learned = ms.load(loud(ZOO[name]()[0])), data(name)
    lens = ms.TunedLens.fit(model, learned, steps=20, batch=280, rate=0.1, decay=0.0, held=0.0, start=start)
    trace = model.trace(learned)
    before, after = trace.lens().values.kl.flatten(1).mean(1), trace.lens(tuned=lens).values.kl.flatten(1).mean(1)
    assert bool((after[:-1] < before[:-1]).all()), (before, after)
    assert float(after[-1].abs()) < 1e-5
    assert lens.held is None


@pytest.mark.parametrize(("start", "steps", "left"), [("regression", 100, 1e-4), ("zero", 600, 0.02)])
def test_a_planted_affine_map_is_found(start, steps, left):
    """Every point is (I + F_3) ... (I + F_t) x + c away from the end, so that nothing has to be left of the divergence."""
    module = Affine()
    model, learned = ms.load(module), torch.randint(60, (400, 6))
    lens = ms.TunedLens.fit(model, learned, steps=steps, decay=0.0, start=start)
    assert lens.held is not None
    logit, tuned = lens.held
    assert bool((tuned[:-1] < left * logit[:-1]).all()), lens.held


def test_the_regression_alone_finds_the_planted_map_itself(monkeypatch):
    """Up to its ridge, features / tokens; training then also moves what the readout's norm does not see."""
    monkeypatch.setattr(_fit, "_LEAST", 10**6)
    module = Affine()
    lens = ms.TunedLens.fit(ms.load(module), torch.randint(60, (6000, 8)), steps=0, batch=4000)
    way = torch.eye(12)
    for t, part in reversed(list(enumerate(module.parts))):
        way = way @ (torch.eye(12) + part.weight.detach())
        torch.testing.assert_close(lens.translators.matrices[t] + torch.eye(12), way, rtol=0, atol=0.01)


def test_the_same_seed_gives_the_same_lens():
    assert_same(small.__wrapped__(0), small(0))
    assert not torch.equal(small(0).translators.matrices, small(1).translators.matrices)


def test_what_was_kept_aside_is_not_learned_from():
    lens = ms.TunedLens.fit(tiny(), TEXTS, held=0.5, **FEW)
    everything = ms.TunedLens.fit(tiny(), TEXTS, held=0.0, **FEW)
    assert lens.choices["tokens"] < everything.choices["tokens"]
    assert lens.held is not None and lens.held.shape == (2, len(lens.points))
    assert float(lens.held[:, -1].abs().max()) == 0
    assert everything.held is None


def test_a_stored_lens_comes_back_to_the_last_bit(tmp_path):
    path = small().save(tmp_path / "lens.safetensors")
    back = ms.TunedLens.load(path, tiny())
    assert_same(small(), back)
    assert (back.points, back.choices, back.provenance) == (small().points, small().choices, small().provenance)
    assert back.held is not None and torch.equal(back.held, small().held)
    assert back.save(tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    trace = tiny().trace(TEXTS[0])
    assert torch.equal(trace.lens(tuned=back).values.kl, trace.lens(tuned=small()).values.kl)
    with safe_open(path, framework="pt") as stored:
        assert json.loads(stored.metadata()["lens"])["provenance"] == tiny().provenance.to_dict()


def test_another_unembedding_is_refused_with_both_hashes(tmp_path):
    path = small().save(tmp_path / "lens.safetensors")
    other = ms.load("tiny")
    head = other.module.get_output_embeddings() if hasattr(other.module, "get_output_embeddings") else other.module.lm_head
    with torch.no_grad():
        head.weight[0, 0] += 1e-3
    there = _fit.fingerprint(other.trace(TEXTS[0]).run)
    says = f"fitted for the unembedding {small().unembedding[:16]}, this model has {there[:16]}: fit one"
    with pytest.raises(ms.InputError, match=says):
        ms.TunedLens.load(path, other)
    with pytest.raises(ms.InputError, match=says):
        other.trace(TEXTS[0]).lens(tuned=small())


def test_a_change_between_two_uses_is_noticed():
    model = ms.load("tiny")
    lens = ms.TunedLens.fit(model, TEXTS, **FEW)
    trace = model.trace(TEXTS[0])
    assert trace.lens(tuned=lens).choices["lens"] == "tuned lens"
    with torch.no_grad():
        model.module.lm_head.weight.mul_(1.001)
    with pytest.raises(ms.InputError, match="fitted for the unembedding"):
        model.trace(TEXTS[0]).lens(tuned=lens)


def test_weights_before_the_unembedding_may_change(tmp_path):
    """As for a model that was trained on with its unembedding frozen: the lens is of the readout, by the source's own use."""
    model = ms.load(ZOO["llama"]()[0])
    lens = ms.TunedLens.fit(model, ids(), steps=1)
    with torch.no_grad():
        model.module.model.layers[0].mlp.up_proj.weight.mul_(1.1)
    assert ms.TunedLens.load(lens.save(tmp_path / "lens.safetensors"), model).unembedding == lens.unembedding


def test_another_width_and_other_points_are_refused(tmp_path):
    path = small().save(tmp_path / "lens.safetensors")
    with pytest.raises(ms.InputError, match=r"this lens is of \d+ points of width \d+, this stream has 5 of width 32"):
        ms.TunedLens.load(path, ms.load(ZOO["gpt2"]()[0]))


@pytest.mark.parametrize("kept", [0, 7, 100, -1, -100])
def test_half_a_file_is_refused(kept, tmp_path):
    path = small().save(tmp_path / "lens.safetensors")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ms.InputError, match="lens.safetensors is broken or half-written: save the lens again"):
        ms.TunedLens.load(path, tiny())


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ms.InputError, match="there is no file .*none.safetensors: fit a lens and save it"):
        ms.TunedLens.load(tmp_path / "none.safetensors", tiny())
    result = tiny().trace(TEXTS[0]).scores().save(tmp_path / "scores.safetensors")
    with pytest.raises(ms.InputError, match="scores.safetensors holds no tuned lens"):
        ms.TunedLens.load(result, tiny())
    with pytest.raises(ms.InputError, match="cannot store as '.pt': use .safetensors"):
        small().save(tmp_path / "lens.pt")


def test_a_module_of_unknown_input_is_checked_when_the_lens_is_used(tmp_path):
    learned = torch.randint(60, (20, 6))
    path = ms.TunedLens.fit(ms.load(Affine()), learned, steps=1).save(tmp_path / "lens.safetensors")
    other = ms.load(Affine())
    lens = ms.TunedLens.load(path, other)
    with pytest.raises(ms.InputError, match="fitted for the unembedding"):
        other.trace(learned[:2]).lens(tuned=lens)


def test_the_result_says_which_lens_it_is(tmp_path):
    trace = tiny().trace(TEXTS[:2])
    tuned, plain = trace.lens(tuned=small()), trace.lens()
    assert (plain.choices, plain.to_dict()["lens"]) == ({"lens": "logit lens", "norm": "own"}, "logit lens")
    assert tuned.choices == {"lens": "tuned lens", "norm": "own", "tuned": small().choices}
    assert set(tuned.frame()["lens"]) == {"tuned lens"}
    assert tuned.to_dict(1)["tuned"]["steps"] == 3
    assert repr(tuned).startswith("tuned lens, own norm: ")
    path = tuned.save(tmp_path / "lens.parquet")
    assert json.loads(pl.read_parquet_metadata(path)["mainstem"])["tuned"] == small().choices
    assert set(pl.read_parquet(path)["lens"]) == {"tuned lens"}


def test_a_lens_of_one_position_and_of_a_cut_run_is_a_column_of_the_lens():
    whole = tiny().trace(TEXTS[0]).lens(" Paris", tuned=small()).values
    for trace in (tiny().trace(TEXTS[0]), tiny().trace(TEXTS[0], positions=2)):
        column = trace.lens(" Paris", positions=2, tuned=small()).values
        torch.testing.assert_close(column.kl[..., 0], whole.kl[..., 2], rtol=1e-5, atol=1e-5)


def test_the_last_norm_is_refused():
    with pytest.raises(ms.InputError, match="trained with every point's own norm: leave norm out"):
        tiny().trace(TEXTS[0]).lens(norm="final", tuned=small())


def test_the_model_is_left_as_it_was():
    model = ms.load("tiny")
    flags = [i % 2 == 0 for i, _ in enumerate(model.module.parameters())]
    for p, flag in zip(model.module.parameters(), flags, strict=True):
        p.requires_grad_(flag)
    before = digest(model.module)
    with torch.no_grad():
        lens = ms.TunedLens.fit(model, TEXTS, **FEW)
    assert digest(model.module) == before
    assert [p.requires_grad for p in model.module.parameters()] == flags
    assert all(p.grad is None for p in model.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.module.modules())
    assert not lens.translators.matrices.requires_grad
    assert_same(lens, small())
    with torch.inference_mode():
        assert_same(ms.TunedLens.fit(model, TEXTS, **FEW), small())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_models_of_other_precisions(dtype):
    model = ms.load("tiny", dtype=dtype)
    lens = ms.TunedLens.fit(model, TEXTS, **FEW)
    wanted = torch.float64 if dtype == "float64" else torch.float32
    assert lens.translators.matrices.dtype == lens.translators.shifts.dtype == wanted
    at_start = ms.TunedLens.fit(model, TEXTS, steps=0, start="zero")
    trace = model.trace(TEXTS)
    assert torch.equal(trace.lens(tuned=at_start).values.kl, trace.lens().values.kl)
    assert bool((kl(trace, lens)[:-1] < kl(trace)[:-1]).float().mean() > 0.5)


def test_padding_never_counts(monkeypatch):
    """Another token to fill up with, of which nothing may be seen: in batches of all texts, where most are filled up."""
    whole: dict[str, Any] = {"steps": 4, "batch": 60, "length": 60}
    lens = ms.TunedLens.fit(tiny(), TEXTS, **whole)
    assert tiny().loaded.codec is not None
    monkeypatch.setattr(type(tiny().loaded.codec), "pad", property(lambda self: 17))
    other = ms.TunedLens.fit(tiny(), TEXTS, **whole)
    torch.testing.assert_close(other.translators.matrices, lens.translators.matrices, rtol=1e-3, atol=1e-5)
    monkeypatch.setattr(_fit, "_real", lambda trace: None)
    wrong = ms.TunedLens.fit(tiny(), TEXTS, **whole)
    assert not torch.allclose(wrong.translators.matrices, lens.translators.matrices, rtol=1e-3, atol=1e-5)


def test_every_form_of_the_same_data_gives_the_same_lens():
    model, rows = ms.load(ZOO["gpt2"]()[0]), torch.randint(1, 50, (24, 7))
    lens = ms.TunedLens.fit(model, rows, **FEW)
    assert_same(ms.TunedLens.fit(model, rows.tolist(), **FEW), lens)
    assert_same(ms.TunedLens.fit(model, list(rows), **FEW), lens)

    def batches() -> Iterator[Tensor]:
        yield from rows.split(6)

    lens = ms.TunedLens.fit(model, batches(), **FEW)
    assert_same(ms.TunedLens.fit(model, (b.tolist() for b in rows.split(6)), **FEW), lens)
    padded = ({"input_ids": b, "attention_mask": torch.ones_like(b)} for b in rows.split(6))
    assert_same(ms.TunedLens.fit(model, padded, **FEW), lens)


def test_images_are_learned_from_in_batches_too():
    model, images = ms.load(ZOO["vit"]()[0]), pixels(24, 16)
    lens = ms.TunedLens.fit(model, (some for some in images.split(8)), steps=3, batch=8)
    assert model.trace(images).lens(tuned=lens).values.kl.shape == (len(lens.points), 24)


def test_of_long_data_only_what_is_needed_is_read():
    read = []

    def batches() -> Iterator[Tensor]:
        for i in range(10**9):
            read.append(i)
            yield torch.randint(1, 50, (4, 8))

    ms.TunedLens.fit(ms.load(ZOO["gpt2"]()[0]), batches(), steps=4, batch=64, start="zero")
    assert len(read) == -(-int(4 * 64 / 0.9) // 32) + 0


def test_texts_are_cut_and_masks_leave_padding_out():
    loaded, generator = load_module("tiny"), torch.Generator().manual_seed(0)
    assert loaded.codec is not None
    found = list(rows(loaded, ["word " * 50, "short"], 16, generator))
    assert max(map(size, found)) <= 16 and sum(map(size, found)) >= 51
    batch = {"input_ids": torch.arange(8).reshape(2, 4), "attention_mask": torch.tensor([[1, 1, 0, 0], [0, 1, 1, 1]])}
    assert list(rows(loaded, batch, 2, generator)) == [[0, 1], [5, 6], [7]]
    long = "a few words\n" * 10_000
    blocks = list(rows(loaded, long, 128, generator))
    assert sum(map(size, blocks)) == pytest.approx(
        len(loaded.codec.tokenizer.encode(long, add_special_tokens=False).ids), rel=0.01
    )


def test_groups_hold_the_tokens_that_were_asked_for():
    found = [[1] * n for n in (3, 4, 5, 1, 1)]
    assert [[len(row) for row in some] for some in grouped(found, 6)] == [[3, 4], [5, 1], [1]]
    rounds = endless(found, torch.Generator().manual_seed(0))
    twice = [next(rounds) for _ in range(10)]
    assert sorted(map(len, twice[:5])) == sorted(map(len, twice[5:])) == [1, 1, 3, 4, 5]


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no data": ([], {}, "there is nothing to learn from: give texts"),
    "a number": (3, {}, "cannot learn from int: give a list of texts"),
    "an empty text": ([""], {}, "a text is empty"),
    "a mapping without ids": (
        [{"text": "x"}],
        {},
        "a batch that is a mapping has its tokens under input_ids; this one holds text",
    ),
    "steps": (TEXTS, {"steps": -1}, "steps is -1: it is at least 0"),
    "batch": (TEXTS, {"batch": 0}, "batch is 0: it is at least 1"),
    "length": (TEXTS, {"length": 0}, "length is 0: it is at least 1"),
    "rate": (TEXTS, {"rate": 0.0}, "give a rate above 0"),
    "decay": (TEXTS, {"decay": -1.0}, "a decay not below"),
    "held": (TEXTS, {"held": 1.0}, "held is 1.0: give the share"),
    "start": (TEXTS, {"start": "one"}, "no start 'one'; there are regression, zero"),
    "stream": (TEXTS, {"stream": "enc"}, "no stream 'enc'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_fitted_is_refused(what):
    given, choices, says = WRONG[what]
    with pytest.raises(ms.InputError, match=says):
        ms.TunedLens.fit(tiny(), given, **choices)


def test_a_rate_that_diverges_is_named():
    with pytest.raises(ms.InputError, match="the divergence at step 1 is no number: take a lower rate than inf"):
        ms.TunedLens.fit(tiny(), TEXTS, steps=2, rate=float("inf"))


def test_the_lens_as_a_table():
    frame = small().frame()
    assert frame.columns == ["point", "logit_lens", "tuned_lens", "last_step"]
    assert frame["point"].to_list() == list(small().points)
    assert frame["last_step"].to_list() == small().curve[-1].tolist()
    assert small().held is not None
    assert frame["tuned_lens"].to_list() == small().held[1].tolist()
    assert repr(small()).splitlines()[0].startswith("tuned lens of tiny: ")


def test_the_bar_comes_after_two_seconds_and_only_where_it_is_seen(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich
    assert list(tracked(range(3), 3, "fitting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_progress, "PATIENCE", -1.0)
    assert list(tracked(range(3), 3, "fitting")) == [0, 1, 2]
    assert "fitting" in capsys.readouterr().err
    assert list(tracked(range(3), 3, "fitting", shown=False)) == [0, 1, 2]
    monkeypatch.delenv("FORCE_COLOR")
    assert list(tracked(range(3), 3, "fitting")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_plans_are_choices():
    plan = Plan(1, 2, 0.3, 0.0, 0.1, "zero", 8, 0, None, True)
    assert plan.start in _fit.STARTS


def test_a_tuned_lens_reads_a_folder_of_another_place(tmp_path: Path):
    """The hash is of values: the same weights from elsewhere are the same model."""
    path = small().save(tmp_path / "lens.safetensors")
    assert ms.TunedLens.load(path, ms.load("tiny")).unembedding == small().unembedding
