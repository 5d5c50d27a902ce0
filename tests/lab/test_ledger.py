"""The ledger: every claim has a row, its command is one of ours, and a verdict follows from what was found."""

import inspect
import math
import shlex
from dataclasses import replace

import pytest

from house._source import ROOT
from mainstem.core import InputError
from mainstem.lab import Findings, Measured, Plan, Setup, ledger, recipe, recipes
from mainstem.lab import _ledger as making
from mainstem.lab._claims import CLAIMS, _apart, _computed_less_random
from mainstem.lab._judge import CONFIRMED, NOT, OPEN, above, at_end, difference, no_difference, outcome
from mainstem.lab._measured import load, over
from mainstem.lab._store import Record
from mainstem.lab._watch import Row

NOISE = (0.0, 0.02, -0.01, 0.03, -0.02)


def findings(losses: dict[str, tuple[float, ...]], name: str = "toy") -> Findings:
    setups = {variant: Setup("text", {"name": variant}, {"text": "facts"}) for variant in losses}
    records = []
    for variant, values in losses.items():
        for seed, loss in enumerate(values):
            about = {"recipe": name, "size": "small", "variant": variant, "seed": seed, "status": "done", "fault": ""}
            rows = (Row(0, "remainder", "L0", 9.0), Row(7, "remainder", "L0", loss), Row(7, "remainder", "L1", loss + 1))
            records.append(
                Record(f"{variant}{seed}", about, {"eval_loss": loss}, rows, {"seconds": 60.0, "setup": {}, "versions": {}})
            )
    return Findings(Plan(name, "is it so?", "", "small", setups, 5), tuple(records))


def around(mean: float, tilt: float = 0.01) -> tuple[float, ...]:
    return tuple(mean + e + tilt * i for i, e in enumerate(NOISE))


@pytest.mark.parametrize(("a", "verdict"), [(1.0, CONFIRMED), (3.0, NOT), (1.98, NOT)])
def test_a_claim_of_a_difference(a, verdict):
    judged = difference([("a", "b")], outcome("eval_loss"), "lower")(findings({"a": around(a), "b": around(2.0, 0.0)}))
    assert judged.verdict == verdict
    assert ("no difference shown" in judged.ours) is (a == 1.98)
    assert judged.ours.startswith("a - b: ")


@pytest.mark.parametrize(
    ("a", "verdict"), [(1.0, "confirmed as far as 5 seeds tell"), (3.0, NOT), (1.98, "confirmed as far as 5 seeds tell")]
)
def test_a_claim_of_no_harm(a, verdict):
    judged = no_difference([("a", "b")], outcome("eval_loss"), "higher")(findings({"a": around(a), "b": around(2.0, 0.0)}))
    assert judged.verdict == verdict


@pytest.mark.parametrize(("line", "verdict"), [(0.9, CONFIRMED), (1.0, NOT), (1.5, NOT)])
def test_a_claim_of_a_line(line, verdict):
    assert above(["a"], outcome("eval_loss"), line)(findings({"a": around(1.0, 0.0)})).verdict == verdict


def test_without_runs_nothing_is_said():
    empty = findings({"a": (), "b": ()})
    for judge in (
        difference([("a", "b")], outcome("x"), "lower"),
        no_difference([("a", "b")], outcome("x"), "lower"),
        above(["a"], outcome("x")),
    ):
        assert judge(empty) == ("no runs", OPEN)


def test_a_number_at_the_end_is_of_the_last_step():
    record = findings({"a": (0.5,)}).records[0]
    assert at_end("remainder")(record) == 1.0 and at_end("remainder", "L0")(record) == 0.5
    assert math.isnan(at_end("kurtosis")(record))


def test_kurtosis_apart_is_a_mean_of_distances():
    rows = (Row(3, "kurtosis", "entry", 9.0), Row(3, "kurtosis", "L0.resid_post", 2.0), Row(3, "kurtosis", "L1.resid_post", 5.0))
    turned = (Row(3, "kurtosis", "L0.attn.computation", 10.0), Row(3, "kurtosis", "L1.attn.computation", 4.0))
    record = Record("k", {}, {"kurtosis_random": 3.0}, rows + turned, {})
    assert _apart(record) == pytest.approx((1 + 2) / 2)
    assert _computed_less_random(record) == pytest.approx(7 - 3)


def test_the_page_has_every_claim_and_every_run(monkeypatch):
    toy = making.Claim("A 2000", "figure 1", "a | b", "3", "mainstem lab run toy", "toy", above(["a"], outcome("eval_loss")))
    open_one = making.Claim("A 2000", "figure 2", "c", "4", "mainstem models", why="it is too large")
    monkeypatch.setattr(making, "CLAIMS", (toy, open_one))
    made = ledger([findings({"a": around(1.0), "b": around(2.0)})])
    assert [row.verdict for row in made.rows] == [CONFIRMED, OPEN] and made.rows[0].seeds == 5
    page = made.markdown()
    assert "a \\| b" in page and "**cannot be run here**: it is too large" in page
    assert "### toy, small" in page and "10 runs of 5 seeds, 10 minutes in all" in page
    assert repr(made) == "Ledger of 2 rows: 1 confirmed, 0 not confirmed, 0 not judged, 1 cannot be run here"
    assert made.frame()["verdict"].to_list() == [CONFIRMED, OPEN]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda plan: replace(plan, seeds=1), "a verdict needs 5 seeds, these runs have 1"),
        (
            lambda plan: replace(plan, setups=dict(list(plan.setups.items())[:2]), pairs=(), curve=()),
            "other settings than the recipe's",
        ),
    ],
)
def test_shortened_runs_are_not_judged(change, why):
    whole = Findings.load(ROOT / "docs" / "ledger" / "data-lane.parquet")
    rows = [row for row in ledger([replace(whole, plan=change(whole.plan))]).rows if row.verdict == "not judged"]
    assert rows and all(why in row.why and not row.ours for row in rows)
    assert not [row for row in ledger([whole]).rows if row.verdict == "not judged"]


def elsewhere(plan: Plan) -> Plan:
    return replace(plan, setups={name: one.with_({"data.text": "/home/me/stories.txt"}) for name, one in plan.setups.items()})


def test_runs_on_other_data_are_judged_and_say_which():
    whole = Findings.load(ROOT / "docs" / "ledger" / "data-lane.parquet")
    made = ledger([whole, replace(whole, plan=elsewhere(whole.plan))])
    rows = [row for row in made.rows if "data-lane" in row.command and row.seeds]
    own, other = rows[::2], rows[1::2]
    assert {row.data for row in own} == {"facts; small"} and {row.data for row in other} == {"stories.txt; small"}
    assert [row.ours for row in own] == [row.ours for row in other] and all(row.ours for row in own)
    assert all(row.command.endswith(" --out runs/") for row in own)
    assert all(row.command.endswith(" --set data.text=stories.txt") for row in other)
    assert "/home/me" not in made.markdown()


def test_each_size_has_its_row():
    whole = Findings.load(ROOT / "docs" / "ledger" / "resnet-norm.parquet")
    setups = recipe("resnet-norm", "medium").setups
    larger = Findings(replace(whole.plan, size="medium", setups=setups), whole.records)
    rows = [row for row in ledger([larger, whole]).rows if "resnet-norm" in row.command]
    assert [row.data for row in rows] == ["digits; small", "cifar10.npz; medium"] * (len(rows) // 2)
    assert [row.command.endswith(" --size medium") for row in rows] == [False, True] * (len(rows) // 2)
    assert all(row.ours and row.verdict != "not judged" for row in rows)


def test_what_was_measured_of_trained_models_is_held_against_a_line(monkeypatch, tmp_path):
    claim = making.Claim(
        "A 2000", "figure 1", "it is", "a chart", "mainstem models", measured="size", weigh=over(1.0), why="a stand-in"
    )
    monkeypatch.setattr(making, "CLAIMS", (claim,))
    (row,) = ledger([]).rows
    assert (row.verdict, row.why) == (OPEN, "no findings of size at hand")
    path = tmp_path / "measured.json"
    for model, values in (("b", (0.9, 1.1, 1.0)), ("a", (2.0, 2.1, 1.9)), ("b", (1.2, 1.3, 1.25))):
        Measured("size", model, "facts", "prompts", values, "slope 3").keep(path)
        (row,) = ledger(tmp_path).rows
        assert row.verdict == (NOT if values[0] == 0.9 or (model == "a") else CONFIRMED)
    assert [one.model for one in load(path)] == ["a", "b"]
    assert row.ours == "a: 2 [1.75, 2.25], 3 prompts (slope 3); b: 1.25 [1.13, 1.37], 3 prompts (slope 3)"
    assert (row.data, row.why) == ("facts", "a stand-in")
    path.write_text('[{"name": "size"}]')
    with pytest.raises(InputError, match="holds no measured numbers"):
        ledger(tmp_path)


def test_every_claim_has_what_judges_it():
    for claim in CLAIMS:
        assert claim.says and claim.published and claim.where and claim.command
        settled = [claim.judge, claim.weigh, claim.exact, claim.verdict, claim.why and not claim.weigh]
        assert sum(map(bool, settled)) == 1, claim.says
        assert (claim.judge is None) or claim.recipe in recipes()
        assert bool(claim.weigh) == bool(claim.measured)
        assert bool(claim.verdict) == bool(claim.ours)


def test_every_command_is_one_of_ours():
    from typer.main import get_command

    from mainstem.cli import app

    known = set(get_command(app).commands) | {"curve"}
    for claim in CLAIMS:
        first, second, *rest = shlex.split(claim.command)
        assert first in ("mainstem", "pytest", "python")
        assert first != "mainstem" or second in known, claim.command
        assert first == "mainstem" or second == "-c" or (ROOT / second).is_file(), claim.command
        assert rest[:1] != ["run"] or rest[1] in recipes()


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.judge], ids=lambda c: c.says[:40])
def test_every_judge_names_variants_that_there_are(claim):
    asked = inspect.getclosurevars(claim.judge).nonlocals.get("asked", ())
    names = {name for one in asked for name in ((one,) if isinstance(one, str) else one)}
    assert names <= set(recipe(claim.recipe).setups)
    assert names or claim.judge.__name__ == "_lanes"


def test_a_folder_without_findings_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no findings: run `mainstem lab run RECIPE"):
        ledger(tmp_path)
    with pytest.raises(InputError, match="no folder .*: run `mainstem lab run RECIPE"):
        ledger(tmp_path / "none")


def test_the_committed_page_is_what_the_committed_findings_say():
    folder = ROOT / "docs" / "ledger"
    made = ledger(folder).markdown()
    kept = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    assert kept.partition("Made with")[0] == made.partition("Made with")[0]
    assert {Findings.load(path).plan.name for path in folder.glob("*.parquet")} == set(recipes())
