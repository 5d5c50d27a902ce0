"""Plans: what is run, kept, gone on with, and said when it fails."""

import json
from dataclasses import replace

import pytest

import mainstem as ms
from mainstem.core import InputError
from mainstem.lab import Plan, Setup, Training, grid
from mainstem.lab import _run as running
from mainstem.lab._outcome import Outcome
from mainstem.lab._watch import Row

BASE = Setup("text", {"d_model": 8}, {"text": "facts"}, Training(steps=3))


@pytest.fixture
def calls(monkeypatch):
    """A trainer whose loss is known and which fails where it is told to; the runs that were really made."""
    made = []

    def train(setup, seed, folder):
        made.append((setup.training.lr, seed))
        if setup.model.get("fails") == seed:
            raise RuntimeError("planted")
        loss = float("nan") if setup.model.get("wild") else setup.training.lr + seed
        return Outcome(None, {"eval_loss": loss, "parameters": 10.0}, [Row(0, "kurtosis", "entry", 3.0)])

    monkeypatch.setattr(running, "trainer", lambda task: train)
    monkeypatch.setattr(running, "check", lambda setup: None)
    return made


def plan(**choices) -> Plan:
    setups = grid(BASE.with_(choices), {"training.lr": (0.1, 0.2)})
    return Plan("toy", "is it so?", "", "small", setups, seeds=3, pairs=(("lr=0.2", "lr=0.1"),))


def test_every_variant_is_run_with_every_seed(calls):
    found = ms.lab.run(plan())
    assert sorted(calls) == [(lr, seed) for lr in (0.1, 0.2) for seed in range(3)]
    assert found.numbers() == {"lr=0.1": {0: 0.1, 1: 1.1, 2: 2.1}, "lr=0.2": {0: 0.2, 1: 1.2, 2: 2.2}}
    assert found.compare()["difference"].to_list() == pytest.approx([0.1])
    assert found.summary()["mean"].to_list() == pytest.approx([1.1, 1.2])


def test_the_frame_is_tidy(calls):
    frame = ms.lab.run(plan()).frame()
    assert frame.columns == ["recipe", "size", "variant", "seed", "status", "fault", "step", "name", "site", "value"]
    assert len(frame) == 6 * 3
    assert frame.filter(frame["step"].is_null())["name"].unique().sort().to_list() == ["eval_loss", "parameters"]


def test_it_goes_on_where_it_stopped(calls, tmp_path):
    first = ms.lab.run(plan(), seeds=1, out=tmp_path)
    assert len(first.records) == 2 and len(calls) == 2
    again = ms.lab.run(plan(), out=tmp_path)
    assert len(again.records) == 6 and len(calls) == 6
    assert ms.lab.run(plan(), out=tmp_path).numbers() == again.numbers() == ms.lab.run(plan()).numbers()


def test_another_choice_is_another_run(calls, tmp_path):
    ms.lab.run(plan(), out=tmp_path)
    ms.lab.run(plan(), out=tmp_path, choices={"training.steps": 4})
    assert len(calls) == 12


def test_a_run_that_fails_is_shown_and_tried_again(calls, tmp_path):
    found = ms.lab.run(plan(**{"model.fails": 1}), out=tmp_path)
    assert [record.about["status"] for record in found.records].count("failed") == 2
    assert {record.about["fault"] for record in found.failed} == {"RuntimeError: planted"}
    assert found.summary()["failed"].to_list() == [1, 1] and "1 failed" in repr(found)
    assert found.frame().filter(found.frame()["status"] == "failed")["value"].to_list() == [None, None]
    assert found.comparisons()["lr=0.2", "lr=0.1"].difference.n == 2
    ms.lab.run(plan(**{"model.fails": 1}), out=tmp_path)
    assert len(calls) == 8


def test_a_run_that_diverges_is_kept_as_such(calls, tmp_path):
    for _ in range(2):
        found = ms.lab.run(plan(**{"model.wild": True}), out=tmp_path)
    assert {record.about["status"] for record in found.failed} == {"diverged"} and len(calls) == 6
    with pytest.raises(InputError, match="no run has a number 'eval_loss'"):
        found.numbers()
    assert "no run has a number" in repr(found)


def test_the_file_says_what_made_it(calls, tmp_path):
    import pyarrow.parquet

    place = ms.lab.run(plan()).save(tmp_path / "found.parquet")
    said = json.loads(pyarrow.parquet.read_schema(place).metadata[b"mainstem"])
    assert said["plan"]["name"] == "toy" and len(said["runs"]) == 6
    assert said["runs"][0]["setup"]["training"]["steps"] == 3 and "torch" in said["runs"][0]["versions"]


def test_what_was_saved_is_read_again(calls, tmp_path):
    found = ms.lab.run(plan(**{"model.fails": 1}), out=tmp_path)
    again = ms.lab.Findings.load(tmp_path / "toy-small.parquet")
    assert again == found
    assert again.frame().equals(found.frame()) and repr(again) == repr(found)
    with pytest.raises(InputError, match="it is not there"):
        ms.lab.Findings.load(tmp_path / "none.parquet")
    with pytest.raises(InputError, match="holds no findings of the lab"):
        ms.lab.Findings.load(next((tmp_path / "runs").glob("*.parquet")))


def test_a_broken_file_is_named(calls, tmp_path):
    ms.lab.run(plan(), out=tmp_path)
    broken = next((tmp_path / "runs").glob("*.parquet"))
    broken.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="is broken .*: delete it"):
        ms.lab.run(plan(), out=tmp_path)


def test_a_sweep_is_a_grid_by_seeds(calls):
    found = ms.lab.sweep(BASE, {"training.lr": (0.1, 0.3), "training.momentum": (0.0, 0.9)}, seeds=2)
    assert list(found.plan.setups) == [f"lr={lr}, momentum={m}" for lr in (0.1, 0.3) for m in (0.0, 0.9)]
    assert len(calls) == 8 and len(found.plan.pairs) == 3


def test_a_choice_is_changed_in_the_whole_grid(calls):
    found = ms.lab.sweep(BASE, {"training.lr": (0.1, 0.3)}, seeds=1, choices={"data.length": 3})
    assert [setup.data["length"] for setup in found.plan.setups.values()] == [3, 3]
    assert [setup.training.lr for setup in found.plan.setups.values()] == [0.1, 0.3]
    with pytest.raises(InputError, match=r"training\.lr is an axis and a choice at once"):
        ms.lab.sweep(BASE, {"training.lr": (0.1,)}, choices={"training.lr": 1})


def test_only_some_variants(calls):
    found = ms.lab.run(plan(), only=("lr=0.1",))
    assert list(found.plan.setups) == ["lr=0.1"] and found.plan.pairs == ()


def test_a_key_is_of_all_choices():
    keys = {BASE.key(0), BASE.key(1), BASE.with_({"training.lr": 2}).key(0), BASE.with_({"data.length": 3}).key(0)}
    assert len(keys) == 4 and BASE.key(0) == replace(BASE).key(0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ms.lab.run("no-such"), "no recipe 'no-such'; there are "),
        (lambda: ms.lab.run("data-lane", size="big"), "data-lane has no size 'big': choose 'small' or 'paper'"),
        (lambda: ms.lab.run("data-lane", seeds=0), "seeds is 0"),
        (lambda: ms.lab.run("data-lane", only=("x",)), "data-lane has no variant 'x'"),
        (lambda: ms.lab.run("data-lane", choices={"lr": 1}), "no choice 'lr': name it with its part"),
        (lambda: ms.lab.run("data-lane", choices={"training.rate": 1}), "no choice 'training.rate'"),
        (lambda: ms.lab.run("data-lane", choices={"training.optimizer": "lion"}), "training.optimizer is 'lion'"),
        (lambda: ms.lab.run("data-lane", choices={"model.colour": 1}), "no choice model.colour of text; model has vocab_size,"),
        (lambda: ms.lab.run("residual-table", choices={"data.rows": 1}), "no choice data.rows of table; data has name, split"),
        (lambda: ms.lab.run("resnet-norm", choices={"model.classes": 1}), "no choice model.classes of images; model has widths,"),
        (lambda: ms.lab.sweep(Setup("sound"), {"training.lr": (1,)}), "no task 'sound'; there are text, table, images"),
        (lambda: ms.lab.run(plan(), engine="slurm"), "engine is 'slurm'"),
        (lambda: ms.lab.sweep("data-lane", {"training.lr": (1,)}, variant="x"), "data-lane has no variant 'x'"),
        (lambda: Plan("p", "", "", "small", {"a": BASE}, pairs=(("a", "b"),)), "a pair or the curve of p names 'b'"),
    ],
)
def test_what_is_not_there_is_refused(call, says):
    with pytest.raises(InputError, match=says):
        call()
