"""`mainstem models`: what is embedded as a table, a card, and data; and the same provenance in what other commands print."""

import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli._typed import PROMPT, Typed, refusal
from mainstem.api import load
from mainstem.cli import _complete, app
from mainstem.models import _embedded, embedded

FACTS = {"summary": "It knows capitals.", "figures": {"capitals in held-out phrasings": "98.7 %", "plots": 1200, "loss": 0.95}}


@pytest.fixture
def three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The embedded model under three names, one of which has measured figures."""
    for name in ("default", "tiny", "default-image"):
        shutil.copytree(embedded()["default"].folder, tmp_path / name)
        (tmp_path / name / "card.json").write_text("{}")
    (tmp_path / "default" / "card.json").write_text(json.dumps(FACTS))
    monkeypatch.setattr(_embedded, "HOME", tmp_path)
    monkeypatch.setattr(_embedded, "_ALL", tuple(_embedded.Embedded(one.name, "text") for one in _embedded._ALL))
    monkeypatch.setattr(_complete, "_HOME", tmp_path)
    return tmp_path


@pytest.mark.parametrize("width", [60, 80, 130, 200])
def test_all_are_listed(typed: Typed, three: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    said = typed("models")
    assert (said.code, said.err) == (0, "")
    assert re.findall(r"^(default|tiny|default-image) ", said.out, re.MULTILINE) == ["default", "tiny", "default-image"]
    assert max(map(len, said.out.splitlines())) <= width
    words = " ".join(said.out.split())
    found = load("default").provenance
    for part in (f"{found.parameters:,}", "apache-2.0", found.weights[:12], "98.7", "mainstem models default"):
        assert words.count(part) == (1 if part in ("98.7", "mainstem models default") else 3), part
    if width > 60:
        assert words.count(embedded()["default"].shape) == 3
    assert "…" not in said.out


def test_a_card_is_shown_below_its_sizes(typed: Typed, three: Path) -> None:
    said = typed("models", "default")
    assert (said.code, said.err) == (0, "")
    assert "license:" not in said.out
    assert said.out.splitlines()[0] == f"default  text, {embedded()['default'].shape}"
    assert "It knows capitals." in said.out
    assert load("default").provenance.weights in said.out
    assert "## " not in said.out and re.search(r"^ *Limits *$", said.out, re.MULTILINE)
    assert max(map(len, said.out.splitlines())) <= 80


def test_the_same_as_data(typed: Typed, three: Path) -> None:
    one = json.loads(typed("models", "default", "--json").out)
    assert one == json.loads(typed("models", "--json").out)[0]
    assert one.items() >= FACTS.items()
    assert one["provenance"] == load("default").provenance.to_dict()
    assert one["bytes"] == sum(path.stat().st_size for path in (three / "default").iterdir())
    assert [record["name"] for record in json.loads(typed("models", "--json").out)] == ["default", "tiny", "default-image"]


def test_what_is_embedded_is_listed_and_shown(typed: Typed) -> None:
    assert [record["name"] for record in json.loads(typed("models", "--json").out)] == list(embedded())
    for name, one in embedded().items():
        title = one.card.splitlines()[0].lstrip("# ")
        assert title in typed("models", name).out


def test_a_name_that_is_not_there(typed: Typed, three: Path) -> None:
    for more in ((), ("--json",)):
        assert refusal(
            typed("models", "tiney", *more),
            "no model called 'tiney'",
            "'default', 'tiny', 'default-image'",
            "did you mean 'tiny'?",
        )
    assert refusal(typed("trace", PROMPT, "--model", "defalt"), "cannot load 'defalt'", "did you mean 'default'?")


def test_a_broken_installation(typed: Typed, three: Path) -> None:
    (three / "tiny" / "model.safetensors").unlink()
    said = typed("models")
    assert said.code == 2 and re.search(r"^error: .*tiny/model.safetensors is missing.*Install mainstem again", said.err)
    assert re.findall(r"^(default|tiny|default-image) ", said.out, re.MULTILINE) == ["default", "default-image"]
    assert refusal(typed("models", "tiny"), "tiny/model.safetensors is missing")
    (three / "tiny" / "card.json").write_text("{")
    assert "tiny/card.json is not readable JSON" in typed("models").err


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("mainstem models ", ["default", "default-image", "tiny"]),
        ("mainstem models default-", ["default-image"]),
        ("mainstem trace hi --model t", ["tiny", "there"]),
        ("mainstem trace hi --model tiny --zero L0", ["L0.attn", "L0.mlp"]),
        ("mainstem trace hi --model there --zero L0", []),
    ],
)
def test_the_shell_completes_names(three: Path, monkeypatch: pytest.MonkeyPatch, words: str, offered: list[str]) -> None:
    (three / "in" / "there").mkdir(parents=True)
    monkeypatch.chdir(three / "in")
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == offered


def test_the_shell_knows_the_names_that_the_library_knows() -> None:
    assert set(_complete.embedded("")) == set(embedded())


def test_a_model_without_layers_has_no_components_to_offer(three: Path) -> None:
    (three / "tiny" / "config.json").write_text('{"depths": [1]}')
    asked = {"_MAINSTEM_COMPLETE": "complete_bash", "COMP_WORDS": "mainstem trace hi --model tiny --zero ", "COMP_CWORD": "6"}
    assert CliRunner().invoke(app, [], prog_name="mainstem", env=asked).output.split() == []


@pytest.mark.usefixtures("load_once")
def test_what_is_printed_as_data_says_which_weights_it_is_of(typed: Typed, tmp_path: Path) -> None:
    for arguments in (("trace", PROMPT, "--top", "1"), ("lens", PROMPT), ("find",)):
        assert json.loads(typed(*arguments, "--json").out)["provenance"] == load("default").provenance.to_dict()
    page = tmp_path / "page.html"
    typed("trace", PROMPT, "--top", "1", "--html", page)
    assert load("default").provenance.weights in page.read_text()
