"""Images and the small ResNet: streams, norms, the curve without blocks."""

import numpy as np
import pytest
import torch

import mainstem as ms
from mainstem.core import InputError, NoStreamError
from mainstem.lab import Setup, Training
from mainstem.lab._norms import RMSNorm
from mainstem.lab._pictures import pictures
from mainstem.lab._resnet import SmallResNet
from mainstem.lab._train_images import accuracy, curves, moved, train_images

pytest.importorskip("sklearn", reason="the extra lab is not installed")
SMALL = {"widths": [4, 6], "blocks": 2}


@pytest.mark.parametrize("norm", ["batch", "rms"])
def test_its_stream_is_found_and_without_residual_there_is_none(norm):
    images = torch.randn(2, 3, 8, 8)
    found = ms.find(SmallResNet(3, 5, (4, 6), 2, norm).eval(), images)
    assert found.proof.closed
    assert [point.width for point in found.main.points] == [4, 4, 4, 6, 6]
    with pytest.raises(NoStreamError):
        ms.find(SmallResNet(3, 5, (4, 6), 2, norm, residual=False).eval(), images)


def test_the_norm_is_over_channels_at_each_place():
    x = torch.randn(2, 6, 3, 3, dtype=torch.float64)
    one = RMSNorm(6, 6, 0.0, axis=1).double()
    with torch.no_grad():
        one.weight.copy_(torch.arange(1, 7))
        expected = x / x.square().mean(1, keepdim=True).sqrt() * torch.arange(1, 7)[:, None, None]
        assert torch.allclose(one(x), expected, atol=1e-12)


@pytest.fixture(scope="module")
def trained():
    training = Training(steps=130, batch=64, optimizer="sgd", lr=0.05, momentum=0.9, watch=65)
    return train_images(Setup("images", SMALL, {}, training), 0)


def test_it_learns_and_the_curve_begins_at_its_accuracy(trained):
    found = trained.numbers
    assert found["accuracy"] > 0.5
    assert found["tail_0"] == found["head_0"] == found["accuracy"]
    assert found["tail_4"] == found["head_4"] < 0.3
    assert {row.name for row in trained.rows} >= {"kurtosis", "rms", "accuracy", "gradient_norm"}


def test_accuracy_is_that_of_the_plain_model(trained):
    found = pictures()
    with torch.no_grad():
        right = (trained.model(found.normal(found.test_x)).argmax(-1) == found.test_y).double().mean()
    assert accuracy(trained.model, found) == pytest.approx(float(right))


def test_without_its_last_block_is_the_shortcut_alone(trained):
    found = pictures()
    model = trained.model
    with torch.no_grad():
        x = model.stem(found.normal(found.test_x))
        for block in model.blocks[:-1]:
            x = block(x)
        right = (model.head(x.relu().mean((2, 3))).argmax(-1) == found.test_y).double().mean()
    assert curves(model, found)["tail_1"] == pytest.approx(float(right))


def test_the_same_seed_gives_the_same_model():
    setup = Setup("images", SMALL, {}, Training(steps=2, batch=16, optimizer="sgd", lr=0.1))
    one, again, other = (train_images(setup, seed).model.head.weight for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def some(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (count, 8, 8, 3), dtype=np.uint8)


def test_images_of_a_file(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x=some(20), y=np.arange(20) % 4)
    found = pictures(str(path))
    assert found.x.shape == (16, 3, 8, 8) and found.test_x.shape == (4, 3, 8, 8) and found.classes == 4
    normal = found.normal(found.x)
    assert torch.allclose(normal.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(normal.std((0, 2, 3)), torch.ones(3), atol=1e-5)


def test_images_to_test_on_can_be_apart(tmp_path):
    path = tmp_path / "apart.npz"
    np.savez(path, x=some(12), y=np.arange(12) % 3, test_x=some(6, 1), test_y=np.arange(6) % 3)
    found = pictures(str(path), kept=4)
    assert torch.equal(found.x, torch.tensor(some(12)).permute(0, 3, 1, 2)) and found.y.tolist() == [0, 1, 2] * 4
    assert torch.equal(found.test_x, torch.tensor(some(6, 1)).permute(0, 3, 1, 2)[:4]) and found.test_y.tolist() == [0, 1, 2, 0]


@pytest.fixture
def binary(tmp_path):
    """Two images to train on and one to test on, as CIFAR-10's binary version has them: a class, then red, green and blue row by row."""
    images = np.random.default_rng(0).integers(0, 255, (3, 3, 32, 32), dtype=np.uint8)
    for name, which in (("data_batch_1", 0), ("data_batch_2", 1), ("test_batch", 2)):
        (tmp_path / f"{name}.bin").write_bytes(bytes([7 + which]) + images[which].tobytes())
    return tmp_path, torch.tensor(images)


def test_the_binary_version_of_cifar(binary):
    folder, images = binary
    found = pictures(str(folder))
    assert torch.equal(found.x, images[:2]) and torch.equal(found.test_x, images[2:])
    assert found.y.tolist() == [7, 8] and found.test_y.tolist() == [9] and found.classes == 10


def test_a_binary_version_that_is_not_whole_is_refused(binary):
    folder, _ = binary
    (folder / "data_batch_2.bin").write_bytes(b"short")
    with pytest.raises(InputError, match="data_batch_2.bin does not hold images of 3073 bytes each"):
        pictures(str(folder), test=0.3)
    (folder / "test_batch.bin").unlink()
    with pytest.raises(InputError, match="is not CIFAR-10's binary version"):
        pictures(str(folder), test=0.4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_an_image_is_shifted_and_mirrored_where_that_is_asked_for(mirrored):
    x = torch.rand(40, 2, 8, 8) + 1
    out = moved(x, torch.Generator().manual_seed(0), mirrored)
    padded, turned = (torch.nn.functional.pad(one, (1,) * 4) for one in (x, x.flip(3)))
    shifts = [(top, left) for top in range(3) for left in range(3)]
    plain = [{(t, s) for t, s in shifts if torch.equal(out[i], padded[i, :, t : t + 8, s : s + 8])} for i in range(40)]
    back = [{(t, s) for t, s in shifts if torch.equal(out[i], turned[i, :, t : t + 8, s : s + 8])} for i in range(40)]
    assert all(len(a) + len(b) == 1 for a, b in zip(plain, back, strict=True))
    assert len(set().union(*plain, *back)) == 9
    assert (10 < sum(map(len, back)) < 30) if mirrored else not any(back)


def test_cifar_images(shared):
    found = pictures(str(shared / "images" / "cifar10_train_4000.npz"))
    assert found.x.shape == (3200, 3, 32, 32) and found.classes == 10


def test_what_holds_no_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no images .*: name 'digits'"):
        pictures(str(tmp_path / "none.npz"))
    np.savez(tmp_path / "other.npz", z=np.zeros(3))
    with pytest.raises(InputError, match="other.npz holds no images: x .* as an .npz.$"):
        pictures(str(tmp_path / "other.npz"))
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name, held in (("bad.jpg", b"no image"), ("empty.npz", b""), ("half.npz", b"PK\x03\x04"), ("one.npy", None)):
        if held is not None:
            (tmp_path / name).write_bytes(held)
        with pytest.raises(InputError, match=f"{name} holds no images: x .* as an .npz.$"):
            pictures(str(tmp_path / name))
    np.savez(tmp_path / "flat.npz", x=np.zeros((3, 4)), y=np.zeros(3))
    with pytest.raises(InputError, match="x is \\[image, height, width, channel\\]"):
        pictures(str(tmp_path / "flat.npz"))


@pytest.mark.parametrize(("choice", "says"), [({"kept": -1}, "data.kept"), ({"test": 1.0}, "data.test is 1.0: a share")])
def test_a_part_that_cannot_be_is_refused(choice, says):
    with pytest.raises(InputError, match=says):
        pictures(**choice)


def test_an_unknown_norm_is_refused():
    with pytest.raises(InputError, match="norm is 'layer': choose 'batch' or 'rms'"):
        SmallResNet(3, 5, norm="layer")
