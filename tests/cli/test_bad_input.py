"""Prompts, tokens, labels, images and files that cannot be used: one line with the fix, exit code 2, nothing written."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cli._folders import vit
from cli._typed import PROMPT, Typed, left_behind, refusal

pytestmark = pytest.mark.usefixtures("load_once")

TYPED = {
    "an empty prompt": (["trace", ""], ["the prompt is empty", "at least one token"]),
    "an empty prompt among others": (["trace", PROMPT, ""], ["the prompt is empty"]),
    "no prompt": (["trace"], ["give a prompt", "--image FILE"]),
    "a prompt and an image": (["trace", PROMPT, "--image", "x.png"], ["not both"]),
    "an image for a model of text": (["trace", "--image", "x.png"], ["reads text, not images", "give it a prompt"]),
    "a prompt too long": (["trace", "word " * 400], ["at most 256", "shorten it by"]),
    "an unknown target": (["trace", PROMPT, "-t", " Zanzibar"], ["' Z', 'an', 'z'", "one token"]),
    "a target without its space": (["trace", PROMPT, "-t", "Paris"], ["('P', 'ar', 'is')", "With a leading space", "' Paris'"]),
    "an empty target": (["trace", PROMPT, "-t", ""], ["the target is empty", "' Paris'"]),
    "a rival without a target": (["trace", PROMPT, "--against", " Rome"], ["--target"]),
    "a rival of several tokens": (["trace", PROMPT, "-t", " Paris", "--against", "Rome"], ["' Rome'"]),
    "a place behind the end": (["trace", PROMPT, "--position", "5"], ["no position 5", "5 tokens", "from 0"]),
    "a place before the start": (["trace", PROMPT, "--position", "-6"], ["no position -6", "5 tokens"]),
    "a layer that is not there": (["trace", PROMPT, "--zero", "L99.mlp"], ["no write 'L99.mlp'", "L0.attn, L0.mlp", "L5.mlp"]),
    "a negative layer": (["trace", PROMPT, "--zero", "L-1.mlp"], ["no write 'L-1.mlp'", "L0.attn, L0.mlp"]),
    "a head that is not there": (["trace", PROMPT, "--zero", "L1.attn.H9"], ["L1.attn.H9", "6 heads, counted from 0"]),
    "a neuron that is not there": (["lens", PROMPT, "--zero", "L1.mlp.N999"], ["L1.mlp.N999", "768 neurons, counted from 0"]),
    "a head of an MLP": (["trace", PROMPT, "--zero", "L0.mlp.H1"], ["L0.mlp has neurons, such as N0"]),
    "no label": (["trace", PROMPT, "--zero", "!"], ["not a component's label", "L3.attn.H7"]),
    "an unknown level": (["trace", PROMPT, "--level", "layer"], ["'--level'", "'write', 'head', 'edge', 'dim', 'neuron'"]),
    "an unknown dtype": (["verify", "--dtype", "int3"], ["'--dtype'", "'float32', 'bfloat16'"]),
    "an unknown norm": (["lens", PROMPT, "--norm", "none"], ["'--norm'", "'own', 'final'"]),
    "an unknown device": (["find", "--device", "abacus"], ["cannot move the model to abacus", "cpu"]),
    "an unknown option": (["trace", PROMPT, "--tob"], ["--tob", "mainstem trace --help"]),
    "an unknown command": (["tace"], ["'tace'", "mainstem --help"]),
    "none of the strongest": (["trace", PROMPT, "--top", "0"], ["'--top'", "1"]),
    "one page of two prompts": (["trace", PROMPT, PROMPT, "--html", "x.html"], ["one prompt"]),
}


@pytest.mark.parametrize("name", TYPED)
def test_it_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, fixes = TYPED[name]
    assert refusal(typed(*arguments), *fixes)
    assert left_behind(tmp_path) == []


def test_a_blank_is_a_prompt(typed: Typed) -> None:
    assert typed("trace", " ").code == 0


def test_a_prompt_longer_than_the_context_of_a_folder(typed: Typed, small: Path) -> None:
    assert refusal(typed("lens", "word " * 40, "-m", small), "at most 32", "shorten it by")


def test_images_that_are_none(typed: Typed, seeing: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("not a picture")
    for name, reason in (("text.png", "cannot identify"), ("absent.png", "No such file"), (".", "Is a directory")):
        assert refusal(typed("trace", "--image", tmp_path / name, "-m", seeing), reason, "PNG or JPEG")
    for model in (seeing, "default-image"):
        for command in ("trace", "lens"):
            assert refusal(typed(command, "a cat", "-m", model), "'a cat' as an image", "reads images, not text", "--image FILE")


def test_an_image_that_is_too_large(typed: Typed, seeing: Path, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 100)
    assert refusal(typed("trace", "--image", picture, "-m", seeing), str(picture), "is too large", "resize it")


def test_sixteen_bits_are_scaled_to_eight(typed: Typed, seeing: Path, tmp_path: Path) -> None:
    from PIL import Image

    grey = Image.effect_noise((16, 16), 100)
    for name, image in (("8.png", grey), ("16.png", Image.fromarray(np.asarray(grey).astype(np.uint16) * 257))):
        image.save(tmp_path / name)
    shallow, deep = (json.loads(typed("trace", "--image", tmp_path / n, "-m", seeing, "--json").out) for n in ("8.png", "16.png"))
    assert deep.pop("prompt") != shallow.pop("prompt")
    assert deep == shallow


def test_an_image_of_the_wrong_size(typed: Typed, picture: Path, tmp_path: Path) -> None:
    folder = vit(tmp_path / "model", size=32)
    assert refusal(typed("trace", "--image", picture, "-m", folder), "32 x 32", "reads 16", "preprocessor_config.json")


def test_a_model_that_came_without_its_processor(typed: Typed, picture: Path, tmp_path: Path) -> None:
    folder = vit(tmp_path / "model", size=16)
    (folder / "preprocessor_config.json").unlink()
    assert refusal(typed("trace", "--image", picture, "-m", folder), "preprocessor_config.json into the folder")


def test_classes_and_places_of_an_image(typed: Typed, seeing: Path, picture: Path) -> None:
    at = ("trace", "--image", picture, "-m", seeing)
    assert refusal(typed(*at, "--target", "zebra"), "no class 'zebra'", "'cat', 'dog, hound', 'fish'")
    assert refusal(typed(*at, "--target", "3"), "no target 3", "3 entries")
    assert refusal(typed(*at, "--position", "1"), "no positions", "leave the position out")


OPTIONS = [("trace", "--html"), ("trace", "--parquet"), ("trace", "--csv"), ("lens", "--csv"), ("find", "--svg")]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_places_that_cannot_be_written(typed: Typed, tmp_path: Path, command: str, option: str, monkeypatch) -> None:
    monkeypatch.setattr("mainstem.api.load", None)  # refused before any work is done
    ending = option.replace("--", ".")
    typing = (command, *([PROMPT] if command != "find" else []), option)
    assert refusal(typed(*typing, tmp_path / "absent" / f"x{ending}"), "there is no folder", "mkdir -p")
    assert refusal(typed(*typing, tmp_path), "is a folder", f"mainstem{ending}")
    assert refusal(typed(*typing, tmp_path / "x.txt"), f"does not end with {ending}", f"x{ending}")
    assert refusal(typed(*typing, os.devnull), "not a plain file")
    assert left_behind(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here that takes no files of anyone")
@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_folder_that_takes_no_files(typed: Typed, command: str, option: str) -> None:
    path = f"/proc/x{option.replace('--', '.')}"
    more = {"trace": [PROMPT, "--top", "1"], "lens": [PROMPT]}.get(command, [])
    line = refusal(typed(command, *more, option, path))
    assert f"cannot write {path}" in line or "nothing can be written in /proc" in line  # the latter where rights say so
    assert ".tmp" not in line


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing beyond this fails, as on a full disk. Parameters: `size`, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_full_disk_leaves_no_file(typed: Typed, tmp_path: Path, command: str, option: str) -> None:
    path = tmp_path / f"x{option.replace('--', '.')}"
    path.write_text("what was there before")
    with files_of_at_most(100):
        more = {"trace": [PROMPT, "--top", "1"], "lens": [PROMPT]}.get(command, [])
        said = typed(command, *more, option, path)
    assert refusal(said, "too large", "Free some space")
    assert path.read_text() == "what was there before"
    assert left_behind(tmp_path) == [path.name]
