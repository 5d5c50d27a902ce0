"""Small random models as folders, and a command line to type into."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli._folders import gpt2, image, own_code, vit
from cli._typed import Said, Typed


@pytest.fixture
def typed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Types a command line inside this process: exit code, stdout and stderr."""
    from mainstem.cli import main

    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def loaded() -> dict[Any, Any]:
    """Models that were loaded and mapped before: both are tested elsewhere and take most of a trace's time."""
    return {}


@pytest.fixture
def load_once(loaded: dict[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads every model once in a test run."""
    from mainstem import api

    load = api.load

    def kept(source: str, **more: Any) -> Any:
        key = (source, *more.values())
        loaded[key] = loaded.get(key) or load(source, **more)
        return loaded[key]

    monkeypatch.setattr(api, "load", kept)


@pytest.fixture(scope="session", autouse=True)
def environment() -> Iterator[None]:
    """What the command line tells libraries in the environment stays in its tests."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random GPT-2 of two layers and 32 positions, and the tokenizer of the embedded model."""
    return gpt2(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random ViT for images of 16 x 16 and three classes."""
    return vit(tmp_path_factory.mktemp("models") / "seeing", size=16)


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image file of noise, 40 high and 30 wide."""
    return image(tmp_path_factory.mktemp("images") / "noise.png")


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of its own code and no residual stream."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return own_code(tmp_path / "plain")
