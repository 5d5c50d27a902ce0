"""Results as users hold them: ranked, summed, selected, as frames, in files, in words."""

import csv
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open

import mainstem as ms
import real
from zoo import ZOO, ids

PROMPTS = ["The capital of France is", "The opposite of hot is"]
SCHEMA = {
    "model": pl.String, "target": pl.String, "prompt": pl.Int64, "position": pl.Int64, "component": pl.String, "write": pl.String,
    "kind": pl.String, "layer": pl.Int64, "head": pl.Int64, "key_pos": pl.Int64, "dim": pl.Int64, "expert": pl.Int64,
    "neuron": pl.Int64, "value": pl.Float64, "token": pl.String,
}  # fmt: skip
LEVELS = ["write", "head", "edge", "dim", "neuron"]


@cache
def trace(prompts: int = 1) -> ms.Trace:
    """The embedded model over one or both prompts."""
    return real.model("default").trace(PROMPTS[:prompts])


@cache
def scores(level: str = "head", prompts: int = 1, positions: Any = None) -> ms.Result:
    return trace(prompts).scores(" Paris", level, positions=positions)


@cache
def of_experts() -> ms.Result:
    return ms.load(ZOO["mixtral"]()[0]).trace(ids()).scores(3, "neuron")


@pytest.mark.parametrize("level", LEVELS)
def test_a_frame_has_one_row_a_value(level):
    found = scores(level, 2)
    frame = found.frame()
    assert dict(frame.schema) == SCHEMA
    assert len(frame) == found.tensor.numel()
    torch.testing.assert_close(torch.tensor(frame["value"].to_numpy()), found.tensor.double().flatten(), rtol=0, atol=0)
    assert frame["component"].to_list() == [label for label in found.labels for _ in range(2)]
    assert set(frame["prompt"].to_list()) == {0, 1}
    per_prompt = frame.group_by("prompt").agg(pl.col("value").sum()).sort("prompt")["value"].to_list()
    assert per_prompt == pytest.approx(found.whole.tolist(), abs=found.bound)


def test_coordinates_are_those_of_the_label():
    for row in scores("edge").frame().filter(pl.col("key_pos").is_not_null()).iter_rows(named=True):
        assert row["component"] == f"{row['write']}.H{row['head']}<-{row['key_pos']}"
        assert row["write"] == f"L{row['layer']}.attn"
        assert row["token"] == trace().tokens[0][row["key_pos"]]
    experts = of_experts().frame().filter(pl.col("neuron").is_not_null())
    assert len(experts) == 2 * 4 * 48 * 2
    for row in experts.head(200).iter_rows(named=True):
        assert row["component"] == f"{row['write']}.E{row['expert']}.N{row['neuron']}"


def test_places_and_tokens_of_a_frame():
    last = scores("write").frame()
    assert set(last["position"].to_list()) == {len(trace().tokens[0]) - 1}
    assert set(last["token"].to_list()) == {" is"}
    every = scores("write", positions="all").frame()
    assert every["position"].to_list() == list(range(len(trace().tokens[0]))) * len(scores("write"))
    assert every["token"].to_list() == list(trace().tokens[0]) * len(scores("write"))
    entry = last.filter(pl.col("kind") == "entry")
    assert entry["layer"].to_list() == [None, None]
    assert set(last["model"].to_list()) == {"default"}
    assert set(last["target"].to_list()) == {"logit of ' Paris'"}


def test_a_frame_of_vectors_tells_their_coordinates():
    found = trace().carry("L0.resid_mid")
    frame = found.frame()
    assert len(frame) == found.tensor.numel()
    assert frame.select("component", "position", "d_model").is_unique().all()
    one = frame.filter((pl.col("component") == "L0.attn") & (pl.col("position") == 2)).sort("d_model")
    torch.testing.assert_close(torch.tensor(one["value"].to_numpy()), found["L0.attn"][0, 2].double(), rtol=0, atol=0)
    assert trace().carry().axes == ("component", "batch", "pos", "vocab")


def test_a_frame_of_float64_keeps_every_digit():
    module, args, _ = ZOO["gpt2"]()
    made = ms.load(module.double())
    found = made.trace(args[0]).scores(3)
    assert found.frame()["value"].to_list() == found.tensor.flatten().tolist()


def test_a_frame_too_large_is_refused():
    with pytest.raises(ms.InputError, match=r"would have 66 rows: take top\(\) or sum\(\) first, or pass frame\(limit=66\)"):
        some(66).frame(limit=65)
    assert len(some(66).frame(limit=66)) == 66


def some(n: int) -> ms.Result:
    """Scores of n components."""
    from mainstem.core import Group, Parts

    values = torch.arange(n).float()[:, None]
    return ms.Result(Parts((Group("L0.mlp", "mlp", values, ("neuron",)),), values.sum(0), ("batch",), 0.0, 1.0), "m", "t")


def test_the_top_is_sorted_and_named():
    found = scores("neuron")
    high, low = found.top(7), found.top(7, largest=False)
    rows = [row for row in zip(found.labels, found.tensor.flatten().tolist(), strict=True) if ".N" in row[0]]
    assert 0 < len(rows) < len(found), "attention is in the table, not in the ranking of neurons"
    order = sorted(rows, key=lambda row: -row[1])
    assert [label for label, _ in high] == [label for label, _ in order[:7]]
    assert [label for label, _ in low] == [label for label, _ in order[::-1][:7]]
    assert all(float(found[label]) == value for label, value in high + low)


@pytest.mark.parametrize(
    ("level", "axis"), [("head", "head"), ("edge", "key_pos"), ("edge", "head"), ("dim", "dim"), ("neuron", "neuron")]
)
def test_a_level_summed_is_the_level_above(level, axis):
    found = scores(level, 2).sum(axis)
    coarse = {"key_pos": scores("head", 2), "dim": scores("head", 2)}.get(axis)
    if coarse is not None:
        assert list(found.labels) == list(coarse.labels)
        torch.testing.assert_close(found.tensor, coarse.tensor, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.sum(), scores("write", 2).whole, rtol=1e-4, atol=1e-4)
    assert found.whole is not None
    assert found.target == scores(level, 2).target


def test_edges_with_bias_are_the_write():
    edges, writes = scores("edge", 2), scores("write", 2)
    for layer in range(len(trace().stream.blocks)):
        label = f"L{layer}.attn"
        torch.testing.assert_close(edges[label].sum((0, 1)) + edges[f"{label}.bias"], writes[label], rtol=1e-4, atol=1e-5)


def test_sums_over_prompts_places_and_components():
    every = scores("head", 2, "all")
    torch.testing.assert_close(every.sum("pos").tensor, every.tensor.sum(-1))
    torch.testing.assert_close(every.sum("batch").tensor, every.tensor.sum(1))
    torch.testing.assert_close(every.sum(), every.whole, rtol=0, atol=every.bound)


def test_one_prompt_of_several():
    both = scores("head", 2)
    one = both.prompt(1)
    assert one.tensor.shape == (len(both), 1)
    assert torch.equal(one.tensor[:, 0], both.tensor[:, 1])
    assert one.tokens == both.tokens[1:]
    assert one.positions == both.positions[1:]
    assert len(one.top(3)) == 3
    for index in (2, -1):
        with pytest.raises(ms.InputError, match=f"there is no prompt {index}: there are 2"):
            both.prompt(index)
    with pytest.raises(ms.InputError, match="ranks one prompt"):
        both.top()


def test_what_it_says_of_itself():
    text = repr(scores("head"))
    assert text.startswith(f"Result(component {len(scores('head'))}, batch 1; logit of ' Paris'; sum ")
    assert all(label in text for label, _ in scores("head").top(8))
    assert "batch 2" in repr(scores("head", 2))
    assert "\n" not in repr(scores("head", 2))
    found = scores("edge")
    assert found.choices == {
        "by": "dla",
        "level": "edge",
        "norm": "frozen at this input",
        "edits": 0,
        "target": "logit of ' Paris'",
        "model": "default",
    }
    assert found.error <= found.bound


def read_parquet(path: Path) -> tuple[list[float], dict[str, Any]]:
    table = pq.read_table(path)
    return table["value"].to_pylist(), json.loads(table.schema.metadata[b"mainstem"])


def read_csv(path: Path) -> tuple[list[float], dict[str, Any]]:
    with path.open(newline="") as lines:
        return [float(row["value"]) for row in csv.DictReader(lines)], {}


def read_json(path: Path) -> tuple[list[float], dict[str, Any]]:
    stored = json.loads(path.read_text())
    assert stored["labels"] == list(scores("head", 2).labels)
    assert stored["axes"] == ["component", "batch"]
    return torch.tensor(stored["values"]).flatten().tolist(), stored["choices"] | {
        "error": stored["error"],
        "bound": stored["bound"],
    }


def read_safetensors(path: Path) -> tuple[list[float], dict[str, Any]]:
    with safe_open(path, framework="pt") as stored:
        about, values, whole = stored.metadata(), stored.get_tensor("values"), stored.get_tensor("whole")
    assert json.loads(about["labels"]) == list(scores("head", 2).labels)
    assert torch.equal(whole, scores("head", 2).whole)
    return values.flatten().tolist(), json.loads(about["choices"])


READERS = {".parquet": read_parquet, ".csv": read_csv, ".json": read_json, ".safetensors": read_safetensors}


@pytest.mark.parametrize("ending", READERS)
def test_files_hold_what_was_saved(ending, tmp_path):
    found = scores("head", 2)
    path = found.save(tmp_path / f"scores{ending}")
    values, choices = READERS[ending](path)
    assert path == tmp_path / f"scores{ending}"
    assert values == pytest.approx(found.tensor.flatten().tolist(), abs=0)
    assert {k: choices[k] for k in choices if k in found.choices} == {k: v for k, v in found.choices.items() if k in choices}
    if ending in (".parquet", ".json"):
        assert choices["error"] == found.error


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    ".parquet": lambda m: m.setattr("pyarrow.parquet.write_table", half_written),
    ".csv": lambda m: m.setattr(pl.DataFrame, "write_csv", half_written),
    ".json": lambda m: m.setattr("json.dumps", half_written),
    ".safetensors": lambda m: m.setattr("safetensors.torch.save_file", half_written),
}


def half_written(_: Any, path: Any = None, *__: Any, **___: Any) -> None:
    """A writer that fails in the middle."""
    if isinstance(path, Path):
        path.write_bytes(b"half")
    raise OSError("no space left on device")


@pytest.mark.parametrize("ending", BREAKS)
def test_a_write_that_fails_leaves_nothing(ending, tmp_path, monkeypatch):
    found, path = scores("head", 2), tmp_path / f"scores{ending}"
    found.save(path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        BREAKS[ending](patch)
        for place in (path, tmp_path / f"new{ending}"):
            with pytest.raises(OSError, match="no space left"):
                found.save(place)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_places_where_nothing_can_be_saved(tmp_path):
    with pytest.raises(ms.InputError, match=r"cannot store as '.xls': use .parquet, .csv, .json, .safetensors"):
        some(3).save(tmp_path / "a.xls")
    with pytest.raises(ms.InputError, match="there is no folder"):
        some(3).save(tmp_path / "no" / "a.csv")
    with pytest.raises(ms.InputError, match="is a folder"):
        (tmp_path / "b.csv").mkdir()
        some(3).save(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("method", "package", "said"),
    [("to_xarray", "xarray", "pip install xarray"), ("chart", "altair", r"pip install 'mainstem\[view\]'")],
)
def test_what_an_absent_package_says(method, package, said, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ms.InputError, match=said):
        getattr(some(3), method)()


def test_an_xarray():
    pytest.importorskip("xarray")
    array = scores("head", 2).to_xarray()
    assert array.dims == ("component", "batch")
    assert float(array.sel(component="L0.attn.H1")[1]) == float(scores("head", 2)["L0.attn.H1"][1])


def test_a_lens_as_frame_and_file(tmp_path):
    lens = trace(2).lens(" Paris")
    frame = lens.frame()
    points, prompts, places = lens.values.tokens.shape
    assert len(frame) == points * prompts * places
    assert frame.columns[:5] == ["point", "prompt", "position", "top", "target"]
    row = frame.filter((pl.col("point") == "L1.resid_post") & (pl.col("prompt") == 1) & (pl.col("position") == 3))
    at = lens.points.index("L1.resid_post")
    for what in ("logit", "logprob", "rank", "entropy", "kl", "top_logprob"):
        assert row[what].item() == float(getattr(lens.values, what)[at, 1, 3])
    assert row["top"].item() == lens.word(int(lens.values.tokens[at, 1, 3]))
    assert pl.read_parquet(lens.save(tmp_path / "lens.parquet")).equals(frame)
    assert lens.save(tmp_path / "lens.csv").is_file()
    assert json.loads(json.dumps(lens.to_dict(1)))["kl"][at][3] == pytest.approx(float(lens.values.kl[at, 1, 3]))
    assert [name for name, *_ in lens.top(1)] == list(lens.points)
    assert "logit lens, own norm" in repr(lens)
