"""`mainstem queries`: values with what switched them on, credits that sum, one neuron by itself, and what it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from cli._typed import PROMPT, Said, Typed, left_behind, refusal

pytestmark = pytest.mark.usefixtures("load_once")

PARIS = ("queries", PROMPT, "--target", " Paris", "--top", "3")
ONE = ("queries", PROMPT, "--of", "L4.mlp.N676")


def record(said: Said) -> Any:
    """What was printed as JSON, and nothing else was printed."""
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def test_the_chart(typed: Typed, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    paths = [tmp_path / f"chart.{ending}" for ending in ("html", "svg", "png")]
    said = typed(*PARIS, *(word for path in paths for word in (f"--{path.suffix[1:]}", path)))
    assert said.code == 0, said
    html, svg, png = (path.read_bytes() for path in paths)
    assert b"<html" in html and b'src="http' not in html and b"<svg" in svg[:500] and png.startswith(b"\x89PNG")
    assert refusal(typed(*ONE, "--png", tmp_path / "one.png"), "without --of")
    assert not (tmp_path / "one.png").exists()


@pytest.mark.parametrize(("by", "more"), [("dla", ()), ("logprob_increase", ("--norm", "final", "--no-norm-bias"))])
def test_values_are_shown_with_what_switched_them_on(typed: Typed, by: str, more: tuple[str, ...]) -> None:
    found = record(typed(*PARIS, "--by", by, *more, "--json"))
    assert len(found["values"]) == 6 and found["choices"]["by"] == by
    assert abs(sum(value["score"] for value in found["values"]) - found["total"]) <= 1e-3 * found["total"]
    for role in ("value", "query"):
        assert sum(row["score"] for row in found["histogram"] if row["role"] == role) == pytest.approx(found["total"], rel=1e-3)
    assert found["closure"]["error"] <= found["closure"]["bound"] and found["provenance"]["name"] == "default"
    said = typed(*PARIS, "--by", by, *more).out
    for value in found["values"]:
        (key,) = value["keys"]
        row = (
            rf"^  {value['component']} +\"{value['token']}\" +\+{value['score']:.3f}  {key['key']} \{key['activation']:+.2f} +\S"
        )
        assert re.search(row, said, re.MULTILINE), value["component"]
    best = found["queries"][0]
    assert re.search(rf"^  {best['component']} +\+{best['credit']:.3f} ", said, re.MULTILINE)
    assert re.search(r"^  biases +-\d\.\d{3}", said, re.MULTILINE)
    assert re.search(rf"^closed  6 values, credits sum to {found['total']:.4f}: error \S+, bound \S+$", said, re.MULTILINE)


def test_values_with_nothing_before_them_say_so(typed: Typed) -> None:
    """By the model's own norm the first block's parts raise the log-probability most; no neuron comes before them."""
    said = typed("queries", PROMPT, "-t", " Paris", "--top", "1", "--by", "logprob_increase")
    assert said.code == 0
    assert "\nqueries  nothing that is taken apart at level neuron comes before these values\n" in said.out


def test_levels_take_the_queries_apart(typed: Typed) -> None:
    heads = record(typed(*PARIS, "--level", "head", "--json"))
    assert all(re.fullmatch(r"L\d\.attn\.H\d", row["component"]) for row in heads["queries"])
    writes = record(typed(*PARIS, "--level", "write", "--json"))
    assert {"entry.embed", "L0.mlp"} <= {row["component"] for row in writes["queries"]}
    assert heads["total"] == pytest.approx(writes["total"])


def test_tables(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "q.parquet"
    said = typed(*PARIS, "--json", "--parquet", path, "--csv", path.with_suffix(".csv"))
    assert said.err.count("wrote") == 2
    found, frame = json.loads(said.out), pl.read_parquet(path)
    assert frame["credit"].sum() == pytest.approx(found["total"], rel=1e-3)
    assert set(frame["value"]) == {value["component"] for value in found["values"]}
    assert len(pl.read_csv(path.with_suffix(".csv"))) == len(frame)


def test_one_neuron_by_itself(typed: Typed) -> None:
    found = record(typed(*ONE, "--level", "write", "--json"))
    assert found["choices"]["of"] == "L4.mlp.N676" and found["choices"]["key"] == "key" and found["position"] == 4
    assert abs(sum(part["value"] for part in found["parts"]) - found["sum"]) <= 2 * found["bound"]
    said = typed(*ONE, "--level", "write").out
    assert re.search(rf"^  pre-activation +\{found['sum']:+.3f}", said, re.MULTILINE)
    assert all(f"  {part['component']} " in said for part in found["parts"])
    many = typed(*ONE).out
    assert re.search(r"^  \d+ others +[+-]\d", many, re.MULTILINE)
    at = typed("queries", PROMPT, "--of", "L3.attn.H5<-3.D14").out
    assert 'value of L3.attn.H5<-3.D14  at token 3 " France"' in at


def test_several_prompts_are_a_list(typed: Typed) -> None:
    prompts = (PROMPT, "The opposite of hot is")
    both = record(typed("queries", *prompts, "--top", "2", "--level", "write", "--json"))
    assert [found["prompt"] for found in both] == list(prompts)
    alone = record(typed("queries", prompts[1], "--top", "2", "--level", "write", "--json"))
    assert both[1]["total"] == pytest.approx(alone["total"], rel=1e-3)
    assert typed("queries", *prompts, "--top", "2", "--level", "write").out.count("closed  ") == 2


def test_it_fits_on_a_narrow_terminal(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    said = typed(*PARIS)
    assert said.code == 0
    assert max(map(len, said.out.splitlines())) <= 60


@pytest.mark.parametrize(
    ("typed_in", "fixes"),
    [
        (("queries",), ("give a prompt",)),
        ((*PARIS, "--top", "0"), ("greater than or equal to 1",)),
        ((*ONE, "-t", " Paris"), ("leave --target out",)),
        ((*PARIS, "--key", "gate"), ("--of L4.mlp.N676 --key gate",)),
        (("queries", PROMPT, "--against", " Rome"), ('--target " Paris" --against " London"',)),
        (("queries", PROMPT, "--of", "L9.mlp.N0"), ("no write 'L9.mlp'",)),
        (("queries", PROMPT, "--of", "L1.mlp.N9999"), ("there is no neuron 9999: this write has 768",)),
        (("queries", PROMPT, "--of", "L1.mlp.N9", "--key", "gate"), ("L1.mlp.N9 has the keys 'key': leave key out",)),
        (("queries", PROMPT, "--of", "L1.attn"), ("has dims of heads, such as H0.D2",)),
        ((*PARIS, "--by", "fame"), ("no score 'fame'",)),
        ((*PARIS, "--norm", "final"), ("'dla' has no choice of norm",)),
        ((*PARIS, "--position", "9"), ("there is no position 9",)),
        (("queries", PROMPT, "The opposite of hot is", "--csv", "a.csv"), ("a table is of one prompt",)),
    ],
)
def test_what_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed_in: Any, fixes: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(typed(*typed_in), *fixes)
    assert left_behind(tmp_path) == []
