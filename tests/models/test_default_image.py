"""The embedded image model: that it is what its card says, that its stream is proved, and what it says to other input."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor

import mainstem as ms
from mainstem.core import InputError, LoadError
from mainstem.models import _resnet
from mainstem.models._pixels import Pixels
from mainstem.models._resnet import ResNet, ResNetConfig, load_resnet

FOLDER = Path(_resnet.__file__).parent / "default-image"
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
WRITES = [f"L{i}.conv" for i in range(5)]


@pytest.fixture(scope="module")
def model() -> ms.Model:
    return ms.load("default-image")


@pytest.fixture(scope="module")
def figures() -> dict:
    return json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))


@pytest.fixture
def sailing() -> Image.Image:
    """A brown hull with a white mast before a blue sky."""
    image = Image.new("RGB", (200, 150), "skyblue")
    draw = ImageDraw.Draw(image)
    draw.polygon([(20, 100), (180, 100), (150, 130), (50, 130)], fill="brown")
    draw.rectangle((90, 30, 95, 100), fill="white")
    return image


@pytest.fixture(scope="module")
def held_out(model: ms.Model, real_model: Callable[[str], Path]) -> tuple[Tensor, Tensor]:
    """The first 1,000 test images of CIFAR-10 as the model's processor prepares them, and their labels."""
    with np.load(real_model("cifar10") / "test.npz") as held:
        pixels = model.loaded.processor(images=held["x"][:1000], return_tensors="pt")["pixel_values"]
        return pixels, torch.tensor(held["y"][:1000]).long()


def right(guesses: Tensor, labels: Tensor) -> int:
    return int((guesses == labels).sum())


# what is stored


def test_weights_are_small_and_finite() -> None:
    stored = load_file(FOLDER / "model.safetensors")
    floats = {name: value for name, value in stored.items() if value.is_floating_point()}
    assert {value.dtype for value in floats.values()} == {torch.float16}
    assert all(bool(value.isfinite().all()) for value in floats.values())
    assert all(bool((value > 0).all()) for name, value in floats.items() if name.endswith("running_var"))
    assert (FOLDER / "model.safetensors").stat().st_size < 2_000_000


def test_it_is_loaded_in_float32_and_eval_mode_and_can_be_trained_further(model: ms.Model) -> None:
    assert not any(part.training for part in model.module.modules())
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in model.module.parameters())
    assert (model.name, list(model.module.config.id2label.values())) == ("default-image", CLASSES)


def test_loading_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    load_resnet(FOLDER)
    assert torch.equal(torch.get_rng_state(), before)


NO_NETWORK = """
import socket, sys
import torch

def refuse(*_, **__):
    raise AssertionError("a socket was opened")

socket.socket = socket.create_connection = socket.getaddrinfo = refuse
import mainstem as ms
trace = ms.load("default-image").trace(torch.zeros(1, 3, 32, 32))
assert trace.logits.shape == (1, 10)
print(*(name for name in ("transformers", "torchvision") if name in sys.modules))
"""


def test_a_process_without_a_network_loads_and_traces_it_and_imports_no_image_library() -> None:
    source = str(Path(ms.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, env={"PYTHONPATH": source}, timeout=120
    )
    assert (done.stderr, done.stdout.strip()) == ("", "")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "preprocessor_config.json"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    for file in FOLDER.iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(LoadError, match=f"lacks {name}: take another copy"):
        load_resnet(tmp_path)
        Pixels.read(tmp_path / "preprocessor_config.json")


def test_its_folder_loads_as_any_other(tmp_path: Path, model: ms.Model) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "mine")
    mine, image = ms.load(copy), torch.randn(2, 3, 32, 32)
    assert (mine.name, mine.provenance.origin, mine.provenance.weights) == ("mine", "folder", model.provenance.weights)
    assert torch.equal(mine.trace(image).logits, model.trace(image).logits)


def test_a_folder_whose_files_do_not_belong_together_is_refused(tmp_path: Path) -> None:
    copy = shutil.copytree(FOLDER, tmp_path / "mine")
    stored = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    for wrong in ({"hidden_sizes": [8, 16, 32]}, {"depths": [2, 2, 2]}, {"depths": None}):
        (copy / "config.json").write_text(json.dumps(stored | wrong), encoding="utf-8")
        with pytest.raises(LoadError, match="cannot load .*mine.*from the same model"):
            ms.load(copy)


# what the card says


def test_the_card_has_the_stored_figures(figures: dict) -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    assert figures["accuracy"] >= 0.88
    assert figures["images"] == 10_000
    assert f"| accuracy | {figures['accuracy']:.2%} of the 10,000 test images |" in card
    assert all(f"| {name} | {figures['classes'][name]:.1%} |" in card for name in CLASSES)
    assert all(f"{accuracy:.2%} with seed {seed}" in card for seed, accuracy in figures["seeds"].items())
    assert len(re.findall(r"^\| \d+ \| \d\.\d+ \| \d+\.\d+% \|$", card, re.M)) == figures["training"]["epochs"]


def test_the_figures_agree_with_one_another(figures: dict) -> None:
    assert sum(figures["classes"].values()) / 10 == pytest.approx(figures["accuracy"])  # 1,000 images of each class
    assert figures["bytes"] == (FOLDER / "model.safetensors").stat().st_size
    assert figures["seeds"][str(figures["training"]["seed"])] == figures["accuracy"]
    assert figures["training"]["curve"][-1][2] == pytest.approx(figures["accuracy"], abs=0.002)  # before and after float16
    lens, zeroed = (list(figures["stream"][name].values()) for name in ("lens", "zeroed"))
    assert lens[-1] == figures["stream"]["accuracy"]
    assert lens[-2] == zeroed[-1]  # the lens before the last write reads what is left without it


def test_real_images_are_classified_as_often_as_the_card_says(
    model: ms.Model, held_out: tuple[Tensor, Tensor], figures: dict
) -> None:
    pixels, labels = held_out
    with torch.no_grad():
        found = right(torch.cat([model.module(batch).argmax(-1) for batch in pixels.split(250)]), labels)
    assert abs(found - 1000 * figures["stream"]["accuracy"]) <= 2  # the same images: ties may fall otherwise elsewhere
    p = figures["accuracy"]
    assert abs(found / 1000 - p) < 3 * (p * (1 - p) / 1000) ** 0.5


@pytest.mark.slow
def test_the_stream_shows_what_the_card_says(model: ms.Model, held_out: tuple[Tensor, Tensor], figures: dict) -> None:
    """On 250 of the images that the card's figures are of: within three deviations of a sample of a quarter."""
    pixels, labels = held_out[0][:250], held_out[1][:250]
    lens = model.trace(pixels).lens()
    found = {name: right(lens.values.tokens[i], labels) for i, name in enumerate(lens.points)}
    found |= {name: right(model.trace(pixels, edits=ms.zero(name)).logits.argmax(-1), labels) for name in WRITES}
    for name, p in {**figures["stream"]["lens"], **figures["stream"]["zeroed"]}.items():
        assert abs(found[name] / 250 - p) < 3 * (max(p * (1 - p), 0.01) / 250) ** 0.5, name


# its stream


def test_one_stream_through_all_stages_is_found_and_proved(model: ms.Model) -> None:
    found = model.map
    assert len(found.streams) == 1
    assert [point.name for point in found.main.points] == ["entry", *(f"L{i}.resid_post" for i in range(5))]
    assert [write.label for point in found.main.points[1:] for write in point.writes] == WRITES
    assert [point.shape[1:] for point in found.main.points[1:]] == [(48, 16, 16)] * 2 + [(96, 8, 8)] * 2 + [(192, 4, 4)]
    proof = found.proof
    assert (proof.bypass, proof.uncovered, proof.cut_points) == ((), (), 6)
    assert proof.max_error <= proof.bound and proof.cut <= proof.bound


@pytest.mark.parametrize("level", ["write", "neuron"])
def test_parts_sum_to_the_logit(model: ms.Model, level: str) -> None:
    trace = model.trace(torch.randn(3, 3, 32, 32))
    scores = trace.scores("cat", level)
    torch.testing.assert_close(scores.whole, trace.logits[:, CLASSES.index("cat")])
    assert scores.error <= scores.bound
    torch.testing.assert_close(scores.tensor.double().sum(0).float(), scores.whole, rtol=1e-5, atol=1e-5)
    assert any(label.startswith("L4.conv") for label in scores.labels)


def test_a_zeroed_write_is_what_the_lens_reads_before_it(model: ms.Model) -> None:
    x = torch.randn(2, 3, 32, 32)
    without = model.trace(x, edits=ms.zero("L4.conv")).logits
    lens = model.trace(x).lens("cat")
    torch.testing.assert_close(lens.values.logit[-2], without[:, CLASSES.index("cat")])


def test_the_command_line_names_classes(sailing: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mainstem.cli import main

    sailing.save(tmp_path / "ship.png")
    assert main(["trace", "--image", str(tmp_path / "ship.png"), "--model", "default-image"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert any(f'"{name}"' in said.out for name in CLASSES)
    assert "490 parts sum" in said.out


# what it reads


def test_a_drawn_ship_is_a_ship(model: ms.Model, sailing: Image.Image) -> None:
    trace = model.trace(sailing)
    assert trace.word(int(trace.logits[0].argmax())) == "ship"


def test_pixels_are_those_of_transformers(model: ms.Model, sailing: Image.Image) -> None:
    transformers = pytest.importorskip("transformers")
    kind = getattr(transformers, "ViTImageProcessorPil", None) or transformers.ViTImageProcessor
    ours = model.loaded.processor
    theirs = kind(size={"height": 32, "width": 32}, resample=3, image_mean=list(ours.mean), image_std=list(ours.std))
    small = sailing.resize((20, 24))
    for image in (sailing, small):
        want = theirs(images=[image], return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(ours(images=[image], return_tensors="pt")["pixel_values"], want, rtol=0, atol=1e-5)


def test_an_image_of_the_right_size_is_only_normalised() -> None:
    raw = torch.randint(256, (2, 32, 32, 3), dtype=torch.uint8)
    read = Pixels.read(FOLDER / "preprocessor_config.json")
    got = read(images=[Image.fromarray(image.numpy()) for image in raw])["pixel_values"]
    mean, std = torch.tensor(read.mean), torch.tensor(read.std)
    torch.testing.assert_close(got, ((raw.double() / 255 - mean) / std).permute(0, 3, 1, 2).float())
    torch.testing.assert_close(read(images=list(raw.numpy()))["pixel_values"], got)


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "CMYK"])
def test_images_of_every_mode_are_made_red_green_and_blue(
    model: ms.Model, sailing: Image.Image, mode: str, tmp_path: Path
) -> None:
    other = sailing.convert("RGB").convert("L").convert(mode) if mode == "LA" else sailing.convert(mode)
    pixels = model.loaded.processor(images=[other])["pixel_values"]
    assert pixels.shape == (1, 3, 32, 32) and pixels.isfinite().all()
    if mode in ("L", "LA", "1"):
        back = (
            pixels[0] * torch.tensor(model.loaded.processor.std)[:, None, None]
            + torch.tensor(model.loaded.processor.mean)[:, None, None]
        )
        torch.testing.assert_close(back[0], back[2], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
@pytest.mark.parametrize("ending", ["png", "tif", None])
def test_sixteen_bits_are_scaled_to_eight(model: ms.Model, tmp_path: Path, ending: str | None, kind: str) -> None:
    small = np.random.default_rng(0).integers(256, size=(32, 32)).astype(np.uint8)
    image = Image.fromarray((small.astype(np.uint16) * 257).astype(kind))
    assert image.mode.startswith("I;16")
    if ending and image.mode == "I;16":
        image.save(path := tmp_path / f"deep.{ending}")
    got = model.trace(path if ending and image.mode == "I;16" else image).logits
    torch.testing.assert_close(got, model.trace(Image.fromarray(small)).logits, rtol=0, atol=0)
    if ending is None:
        want = model.loaded.processor(images=[Image.fromarray(small)])["pixel_values"]
        torch.testing.assert_close(model.loaded.processor(images=[image])["pixel_values"], want, rtol=0, atol=0)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_greys_of_unknown_range_are_refused(model: ms.Model, tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (32, 32), 70000)
    image.save(tmp_path / "deep.tif")
    for data in (image, tmp_path / "deep.tif"):
        with pytest.raises(InputError, match=f"'{mode}' mode.*save it as an 8-bit image"):
            model.trace(data)


def test_files_images_arrays_and_tensors_say_the_same(model: ms.Model, sailing: Image.Image, tmp_path: Path) -> None:
    sailing.save(tmp_path / "ship.png")
    want = model.trace(sailing).logits
    read = model.loaded.processor(images=[sailing])["pixel_values"]
    for data in (tmp_path / "ship.png", str(tmp_path / "ship.png"), np.asarray(sailing), read):
        torch.testing.assert_close(model.trace(data).logits, want)
    assert model.trace([sailing, tmp_path / "ship.png"]).logits.shape == (2, 10)


# what it refuses


@pytest.mark.parametrize("most", [100, 800])
def test_images_too_large_to_be_honest(
    model: ms.Model, sailing: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """PIL raises beyond twice its limit, and warns below that; here warnings are errors."""
    sailing.resize((32, 32)).save(path := tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(InputError, match=f"large.png' is too large: resize it to at most {most:,} pixels"):
        model.trace(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_that_are_only_warned_of_are_read(
    model: ms.Model, sailing: Image.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sailing.resize((32, 32)).save(path := tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 800)
    assert model.trace(path).logits.shape == (1, 10)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (1, 3, 64, 64), (2, 3, 32), (3, 32)])
def test_tensors_of_another_shape(model: ms.Model, shape: tuple[int, ...]) -> None:
    with pytest.raises(
        InputError, match=re.escape(f"images are [batch, 3, 32, 32] (channels, height, width), not {list(shape)}")
    ):
        model.trace(torch.randn(shape))


def test_a_wrong_number_of_channels_is_not_blamed_on_the_size(model: ms.Model) -> None:
    with pytest.raises(InputError) as caught:
        model.trace(torch.randn(1, 1, 32, 32))
    assert "came to" not in str(caught.value)
    with pytest.raises(InputError, match="came to 64 x 64, the model reads 32"):
        model.trace(torch.randn(1, 3, 64, 64))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            "The capital of France is",
            "'The capital of France is' as an image: default-image reads images, not text.*--image FILE",
        ),
        ("nothing\0there", "reads images, not text"),
        ("long " * 1000, "reads images, not text"),
        (Path("absent.png"), "cannot read 'absent.png' as an image"),
        ([1, 2, 3], r"images are \[batch, 3, 32, 32\]"),
        (np.zeros((32, 32, 3)), r"an array of float64 \[32, 32, 3\] as an image.*uint8"),
        (np.zeros((3, 32, 32), np.uint8), r"an array of uint8 \[3, 32, 32\] as an image"),
        ({"pixels": 1}, "cannot read dict as an image"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "default-image reads images: give floats that are normalised"),
        (torch.tensor(5), r"the input has shape \(\)"),
    ],
)
def test_input_that_is_no_image(model: ms.Model, data: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.trace(data)


def test_a_model_of_images_has_no_tokens(model: ms.Model) -> None:
    with pytest.raises(InputError, match="default-image reads images, not text"):
        model.ids("cat")


def test_an_unknown_class_is_refused_with_those_there_are(model: ms.Model) -> None:
    with pytest.raises(InputError, match="no class 'zebra' in this model: its 10 are 'airplane'"):
        model.trace(torch.zeros(1, 3, 32, 32)).scores("zebra")


def test_only_torch_tensors_are_returned(model: ms.Model, sailing: Image.Image) -> None:
    with pytest.raises(InputError, match="return_tensors='pt', not 'np'"):
        model.loaded.processor(images=[sailing], return_tensors="np")


# the shape of it


def test_projections_stand_where_the_shape_changes() -> None:
    net = ResNet(ResNetConfig(3, 32, (8, 16), (1, 2), {0: "a", 1: "b"}))
    kinds = [[type(block.shortcut).__name__ for block in stage.blocks] for stage in net.stages]
    assert kinds == [["Identity"], ["ConvNorm", "Identity"]]
    assert net.eval()(torch.randn(2, 3, 32, 32)).shape == (2, 2)


def test_a_block_adds_and_then_rectifies() -> None:
    block = ResNet(ResNetConfig(3, 32, (8,), (1,), {0: "a"})).eval().stages[0].blocks[0]
    x = torch.randn(1, 8, 5, 5)
    write = block.norm2(block.conv2(block.norm1(block.conv1(x)).relu()))
    torch.testing.assert_close(block(x), (x + write).clamp_min(0))
