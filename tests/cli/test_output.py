"""What the commands print and store: facts that hold, not pictures of them."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars
import pytest
from typer.testing import CliRunner

from cli._typed import PROMPT, Said, Typed
from mainstem.api import Model, load
from mainstem.cli import _options, _terminal, app
from mainstem.find import StreamMap
from mainstem.score import NORMS
from mainstem.stream import LEVELS

pytestmark = pytest.mark.usefixtures("load_once")


TRACE = ("trace", PROMPT, "--top", "2")  # the words of few neurons: they take most of the time


def record(said: Said) -> Any:
    """What was printed as JSON, and nothing else was printed."""
    assert (said.code, said.err) == (0, ""), said
    return json.loads(said.out)


def closes(values: Any, found: dict[str, Any]) -> bool:
    """Whether values sum to a summary's whole within twice its bound: once for the sum here."""
    return abs(sum(values) - found["whole"]) <= 2 * found["closure"]["bound"]


def test_trace_shows_every_part(typed: Typed) -> None:
    said = typed(*TRACE)
    assert (said.code, said.err) == (0, "")
    assert "without" not in said.out and "without L0.mlp" in typed(*TRACE, "--zero", "L0.mlp").out
    titles = re.findall(r"^(prediction|writes|lens|heads|neurons|closed)  ", said.out, re.MULTILINE)
    assert titles == ["prediction", "writes", "lens", "heads", "neurons", "closed"]
    assert re.search(r'^ +9\d\.\d %   " Paris" ', said.out, re.MULTILINE)
    assert [re.search(rf"^  {label} +[+-]\d+\.\d{{3}}", said.out, re.MULTILINE) for label in ("L3.mlp", "readout.bias", "sum")]
    assert re.search(r"^closed  [\d,]+ parts sum to \d+\.\d{4}: error \S+, bound \d\.\de-\d\d$", said.out, re.MULTILINE)
    assert "\x1b" not in said.out


def test_writes_sum_to_the_whole(typed: Typed) -> None:
    found = record(typed(*TRACE, "--json"))
    assert found["prediction"][0]["token"] == found["target"]["text"] == " Paris"
    assert closes((write["value"] for write in found["writes"]), found)
    assert not closes((write["value"] for write in found["writes"][1:-1]), found)
    assert found["closure"]["error"] <= found["closure"]["bound"]


def test_several_prompts_are_a_list_in_either_padding(typed: Typed) -> None:
    prompts = (PROMPT, "The opposite of hot is")
    cold = ("trace", "--top", "1", "-t", " cold", "--json")
    right, left = (record(typed(*cold, *prompts, "--padding", side)) for side in ("right", "left"))
    alone = [record(typed(*cold, prompt)) for prompt in prompts]
    assert [found["prompt"] for found in right] == list(prompts)
    for padded, other, single in zip(right, left, alone, strict=True):
        assert padded["whole"] == pytest.approx(single["whole"], abs=1e-4)
        assert other["whole"] == pytest.approx(single["whole"], abs=1e-4)


def test_a_contrast_is_a_difference(typed: Typed) -> None:
    rivals = ("-t", " Paris"), ("-t", " Rome"), ("-t", " Paris", "--against", " Rome")
    paris, rome, both = (record(typed(*TRACE, "--json", *more))["whole"] for more in rivals)
    assert both == pytest.approx(paris - rome, abs=1e-4)
    assert '" Paris" over " Rome"' in typed(*TRACE, *rivals[2]).out


@pytest.mark.parametrize("label", ["L0.mlp", "L1.attn.H2", "L3.mlp.N217", "L1.resid_post"])
def test_what_is_taken_out_is_out(typed: Typed, label: str) -> None:
    found = record(typed(*TRACE, "-t", " Paris", "--zero", label, "--json", "--level", "neuron"))
    values = {write["label"]: write["value"] for write in found["writes"]}
    assert values.get(label, 0.0) == 0.0
    assert closes(values.values(), found)
    assert closes(found["parts"].values(), found)


def test_another_place_has_another_prediction(typed: Typed) -> None:
    first, last = (record(typed(*TRACE, "--position", at, "--json")) for at in (0, -1))
    assert (first["position"], last["position"]) == (0, 4)
    assert first["prediction"][0]["token"] != " Paris"


@pytest.mark.parametrize("level", LEVELS)
def test_tables_sum_to_the_whole(typed: Typed, tmp_path: Path, level: str) -> None:
    files = tmp_path / "x.parquet", tmp_path / "x.csv"
    said = typed(*TRACE, "--level", level, "--parquet", files[0], "--csv", files[1], "--json")
    assert said.err.splitlines() == [f"wrote {path}" for path in files]
    found = json.loads(said.out)
    assert level == "write" or (len(found["parts"]) > len(found["writes"]) and closes(found["parts"].values(), found))
    for frame in (polars.read_parquet(files[0]), polars.read_csv(files[1])):
        assert closes(frame["value"], found)
        assert set(frame["model"]) == {"default"}


def test_the_page_stands_alone(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "trace.html"
    assert typed(*TRACE, "--html", path, "--json").err == f"wrote {path}\n"
    assert "<!doctype html>" in path.read_text() and PROMPT in path.read_text()


def test_images_are_traced_too(typed: Typed, seeing: Path, picture: Path) -> None:
    found = record(typed("trace", "--image", picture, "-m", seeing, "--json"))
    assert {row["token"] for row in found["prediction"]} == {"cat", "dog, hound", "fish"}
    assert closes((write["value"] for write in found["writes"]), found)
    by_name, by_number = (record(typed("trace", "-i", picture, "-m", seeing, "--json", "-t", t)) for t in ("dog", "1"))
    assert by_name == by_number
    assert '"fish"' in typed("lens", "--image", picture, "-m", seeing, "--target", "fish").out


def test_the_lens_has_a_row_a_point(typed: Typed) -> None:
    said = typed("lens", PROMPT)
    rows = [line for line in said.out.splitlines() if re.match(r"  (entry|L\d)", line)]
    assert len(rows) == 13
    assert rows[-1].split()[-2:] == ['"', 'Paris"']


@pytest.mark.parametrize("norm", NORMS)
def test_the_lens_as_numbers(typed: Typed, tmp_path: Path, norm: str) -> None:
    path = tmp_path / "lens.parquet"
    said = typed("lens", PROMPT, "--norm", norm, "--target", " Paris", "--json", "--parquet", path)
    found, frame = json.loads(said.out), polars.read_parquet(path)
    assert found["top"][-1][-1] == " Paris"
    assert (len(found["points"]), len(found["tokens"])) == (13, 5)
    assert len(frame) == 65
    assert frame["logprob"][-1] == pytest.approx(found["logprob"][-1][-1])
    assert found["kl"][-1][-1] == pytest.approx(0, abs=1e-5)


def test_find_prints_and_stores_the_map(typed: Typed, tmp_path: Path) -> None:
    path = tmp_path / "stream.svg"
    said = typed("find", "--svg", path)
    assert "one residual stream" in said.out and "✗" not in said.out
    assert "GPT2 > Transformer > Block" in said.out
    labels = [write.label for write in load("default").map.main.writes]
    assert [re.search(rf"{label}\s", said.out) is not None for label in labels] == [True] * 12
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert StreamMap.from_dict(record(typed("find", "--json"))).main.width == 192


def test_verify_says_whether_all_holds(typed: Typed, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(small).verify()
    spoiled = type(found)(found.model, tuple({**row, "ok": row["check"] != "cut"} for row in found.rows))
    for verdict, code, said in ((found, 0, "verified  all"), (spoiled, 1, "not verified  1 of")):
        monkeypatch.setattr(Model, "verify", lambda model, verdict=verdict: verdict)
        shown, printed = typed("verify", small), typed("verify", small, "--json")
        assert (shown.code, shown.err, printed.code) == (code, "", code)
        assert re.search(rf"^{said} ", shown.out, re.MULTILINE) and shown.out.count("✗") == code
        assert json.loads(printed.out) == verdict.to_dict()


@pytest.mark.parametrize("width", [60, 200])
def test_no_line_is_wider_than_the_terminal(typed: Typed, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for arguments in (TRACE, ["lens", PROMPT], ["find"]):
        said = typed(*arguments)
        assert said.code == 0
        assert max(map(len, said.out.splitlines())) <= width


def test_markup_in_a_prompt_is_text(typed: Typed) -> None:
    for command in (("trace", "--top", "1"), ("lens",)):
        assert '"[red]hot[/red] \\n:smile: \\x1b[31m"' in typed(*command, "[red]hot[/red] \n:smile: \x1b[31m").out


def test_colours_where_they_are_wanted(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert all("\x1b[" in typed(command, PROMPT).out for command in ("trace", "lens"))
    assert "\x1b" not in typed(*TRACE, "--json").out


def test_tokens_are_told_apart() -> None:
    assert [_terminal.quoted(t) for t in (" a", "a", "\n", "\u200b")] == ['" a"', '"a"', '"\\n"', '"\\u200b"']
    assert _terminal.quoted("x" * 40, 10) == f'"{"x" * 9}…"'


@pytest.mark.parametrize("value", [-3.0, -0.01, 0.0, 1.0, 4.4, 7.0])
def test_bars_share_their_zero(value: float) -> None:
    plain = _terminal.bar(value, -3.0, 7.0, 41, "").plain
    assert plain.index("│") == _terminal.bar(0.0, -3.0, 7.0, 41, "").plain.index("│")
    assert len(plain) <= 42
    filled = plain.count("█") + plain.count("▌") / 2 + plain.count("▐") / 2
    assert filled == pytest.approx(abs(value) * 4, abs=0.5)


def test_choices_are_those_of_the_library() -> None:
    assert tuple(_options.Level) == LEVELS
    assert tuple(_options.Norm) == NORMS


def test_the_version_and_the_help(typed: Typed) -> None:
    assert re.fullmatch(r"mainstem \d+\.\d+\.\d+\n", typed("--version").out)
    assert typed().out == typed("--help").out == typed("-h").out
    assert 'mainstem trace "The capital of France is"' in typed("trace", "--help").out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mainstem trace hi --model def", ["default", "default-image"]),
        ("mainstem trace hi --zero L3", ["L3.attn", "L3.mlp"]),
        ("mainstem trace hi --model other --zero L3", []),
        ("mainstem trace hi --level ", ["write", "head", "edge", "dim", "neuron"]),
        ("mainstem lens hi --norm o", ["own"]),
        ("mainstem verify --dtype b", ["bfloat16"]),
        ("mainstem find in/a", ["in/a", "in/ab"]),
    ],
)
def test_the_shell_completes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]) -> None:
    for name in ("in/a", "in/ab", "in/b"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == offered
