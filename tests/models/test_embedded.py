"""Embedded models: a contract for each one that is shipped, and what is said where an installation is broken."""

import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import torch

import mainstem as ms
from mainstem.models import _embedded, _facts, embedded, load

NAMES = list(embedded())
REINSTALL = "the installation is broken. Install mainstem again, or in a clone: git checkout src/mainstem/models"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place for embedded models that holds a copy of the default one, without its figures and sums."""
    shutil.copytree(embedded()["default"].folder, tmp_path / "default")
    (tmp_path / "default" / "card.json").write_text("{}")
    monkeypatch.setattr(_embedded, "HOME", tmp_path)
    return tmp_path


def test_the_default_is_there():
    assert NAMES[0] == "default"
    assert ms.embedded() == embedded()


@pytest.mark.parametrize("name", NAMES)
def test_each_is_what_its_folder_says(name):
    one, loaded = embedded()[name], load(name)
    assert (loaded.name, loaded.origin, loaded.source) == (name, "embedded", name)
    assert not loaded.module.training
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert (loaded.codec is not None) == (one.kind == "text")
    assert (loaded.processor is not None) == (one.kind == "image")
    assert 0 < one.size < 10e6
    assert one.size == sum(len(path.read_bytes()) for path in one.folder.iterdir())
    assert one.licence.lower() == "apache-2.0"
    assert one.card.startswith("# ")
    assert one.card in (one.folder / "CARD.md").read_text(encoding="utf-8")
    assert all(isinstance(value, (int, float, str)) for value in one.figures.values())
    assert json.loads(json.dumps(one.to_dict())) == one.to_dict()


@pytest.mark.parametrize("name", NAMES)
def test_each_says_its_sizes(name):
    one, module = embedded()[name], load(name).module
    if one.kind == "text":
        layers, width = len(module.transformer.h), module.lm_head.in_features
        assert one.shape == f"{layers} layers, {width} dims, {module.config.n_head} heads"
    else:
        widths = [stage[-1].norm2.num_features for stage in (s.blocks for s in module.stages)]
        blocks = sum(len(stage.blocks) for stage in module.stages)
        assert one.shape == f"{blocks} blocks, {'-'.join(map(str, widths))} channels"


@pytest.mark.parametrize("name", NAMES)
def test_each_has_a_stream_that_is_proved(name):
    assert ms.load(name).map.proof.closed


@pytest.mark.parametrize("name", NAMES)
def test_each_loads_without_network_and_transformers(name):
    """In a process of its own, where to open a socket or to import transformers is an error."""
    code = f"""
import socket, sys
class Refused(socket.socket):
    def __init__(self, *_, **__): raise AssertionError("a socket was opened")
socket.socket = Refused
sys.modules["transformers"] = None
import mainstem as ms
print(ms.load({name!r}).provenance.to_dict())
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "'origin': 'embedded'" in said.stdout
    assert "'transformers'" not in said.stdout


def test_a_model_that_is_not_there():
    with pytest.raises(ms.InputError, match="no model called 'defalt' comes with mainstem.*'default'.*did you mean 'default'?"):
        ms.embedded("defalt")
    with pytest.raises(ms.InputError, match=r"no model called 'xyz' comes with mainstem\. Embedded .*'[.]$"):
        ms.embedded("xyz")
    assert list(ms.embedded("default")) == ["default"]


def test_a_name_mistyped_is_told_what_there_is():
    with pytest.raises(ms.LoadError, match="cannot load 'defualt'.*no such folder.*Embedded .*did you mean 'default'?"):
        ms.load("defualt")
    with pytest.raises(ms.LoadError, match="name is empty. Embedded are 'default'"):
        ms.load("")
    with pytest.raises(ms.LoadError, match="hub reachable") as caught:
        ms.load("somebody/defualt")
    assert "Embedded" not in str(caught.value)


def test_what_is_not_shipped_is_not_listed(home):
    assert list(embedded()) == ["default"]
    shutil.copytree(home / "default", home / "tiny")
    assert list(embedded()) == ["default", "tiny"]
    assert load("tiny").name == "tiny"
    with pytest.raises(ms.InputError, match="Embedded are 'default', 'tiny': did you mean 'tiny'?"):
        embedded("tny")


def test_a_folder_is_named_by_its_path(home, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(home / "default", "default")
    assert load("default").origin == "embedded"
    for place in ("./default", Path("default"), str(Path("default").resolve())):
        assert (load(place).origin, load(place).source) == ("folder", str(place))


def test_facts_come_from_the_card(home):
    assert (embedded()["default"].summary, embedded()["default"].figures) == ("", {})
    assert embedded()["default"].licence == "apache-2.0"
    said = {"summary": "It is small.", "licence": "Apache-2.0", "figures": {"capitals": 0.98, "plots": 12, "stories": "short"}}
    (home / "default" / "card.json").write_text(json.dumps(said))
    one = embedded()["default"]
    assert one.to_dict().items() >= said.items()
    assert one.size == sum(path.stat().st_size for path in one.folder.iterdir())


def test_a_card_needs_no_front_matter(home):
    card = home / "default" / "CARD.md"
    card.write_text("# A model\n\nIt has no front.\n\n---\nlicense: none\n")
    assert (embedded()["default"].card, embedded()["default"].licence) == (card.read_text().strip(), "")
    card.write_text("---\nlicense: mit\n---\n\n# A model\n")
    assert (embedded()["default"].card, embedded()["default"].licence) == ("# A model", "mit")


def test_files_are_those_that_were_shipped(home):
    folder = home / "default"
    sums = _embedded.sums(folder)
    assert set(sums) == {path.name for path in folder.iterdir()} - {"card.json", "CARD.md"}
    assert sums["model.safetensors"] == sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "card.json").write_text(json.dumps({"sha256": sums}))
    before = ms.load("default").provenance.weights
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1  # still a finite number, which nothing else would notice
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ms.LoadError, match=f"model.safetensors is not the file that was shipped: {REINSTALL}"):
        load("default")
    (folder / "card.json").write_text("{}")
    assert ms.load("default").provenance.weights != before


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_is_shipped_is_summed_up(name):
    one = embedded()[name]
    assert _embedded.plain(one.folder / "card.json", dict)["sha256"] == _embedded.sums(one.folder)


def test_without_a_card_an_installation_is_broken(home):
    (home / "default" / "card.json").unlink()
    with pytest.raises(ms.LoadError, match=f"card.json is missing: {REINSTALL}"):
        load("default")


@pytest.mark.parametrize("text", [None, "[{", "{}"])
def test_facts_of_a_broken_installation(home, text, monkeypatch):
    file = home / "default" / "facts.json"
    monkeypatch.setattr(_facts, "FILE", file)
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(ms.LoadError, match=f"facts.json .*{REINSTALL}"):
        ms.facts()


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing_or_broken(home, name):
    path = home / "default" / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ms.LoadError, match=f"cannot be read .*{REINSTALL}"):
        load("default")
    path.unlink()
    with pytest.raises(ms.LoadError, match=f"{name} is missing: {REINSTALL}"):
        load("default")


@pytest.mark.parametrize("text", ["{", "[1]", "\ud800"])
def test_a_broken_card(home, text):
    (home / "default" / "card.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ms.LoadError, match=f"card.json .*{REINSTALL}"):
        load("default")


def test_ones_own_tokenizer_is_used():
    mine = load("default").codec
    assert load("default", tokenizer=mine).codec is mine
    assert load("default", processor="mine").processor == "mine"
