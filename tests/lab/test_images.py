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
from mainstem.lab._train_images import accuracy, curves, train_images

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
        right = (trained.model(found.test_x).argmax(-1) == found.test_y).double().mean()
    assert accuracy(trained.model, found) == pytest.approx(float(right))


def test_without_its_last_block_is_the_shortcut_alone(trained):
    found = pictures()
    model = trained.model
    with torch.no_grad():
        x = model.stem(found.test_x)
        for block in model.blocks[:-1]:
            x = block(x)
        right = (model.head(x.relu().mean((2, 3))).argmax(-1) == found.test_y).double().mean()
    assert curves(model, found)["tail_1"] == pytest.approx(float(right))


def test_the_same_seed_gives_the_same_model():
    setup = Setup("images", SMALL, {}, Training(steps=2, batch=16, optimizer="sgd", lr=0.1))
    one, again, other = (train_images(setup, seed).model.head.weight for seed in (0, 0, 1))
    assert torch.equal(one, again) and not torch.equal(one, other)


def test_images_of_a_file(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x=np.random.default_rng(0).integers(0, 255, (20, 8, 8, 3), dtype=np.uint8), y=np.arange(20) % 4)
    found = pictures(str(path))
    assert found.x.shape == (16, 3, 8, 8) and found.test_x.shape == (4, 3, 8, 8) and found.classes == 4
    assert torch.allclose(found.x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5)


def test_cifar_images(shared):
    found = pictures(str(shared / "images" / "cifar10_train_4000.npz"))
    assert found.x.shape == (3200, 3, 32, 32) and found.classes == 10


def test_what_holds_no_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="no images .*: name 'digits'"):
        pictures(str(tmp_path / "none.npz"))
    np.savez(tmp_path / "other.npz", z=np.zeros(3))
    with pytest.raises(InputError, match="does not hold images"):
        pictures(str(tmp_path / "other.npz"))
    np.savez(tmp_path / "flat.npz", x=np.zeros((3, 4)), y=np.zeros(3))
    with pytest.raises(InputError, match="x is \\[image, height, width, channel\\]"):
        pictures(str(tmp_path / "flat.npz"))


def test_an_unknown_norm_is_refused():
    with pytest.raises(InputError, match="norm is 'layer': choose 'batch' or 'rms'"):
        SmallResNet(3, 5, norm="layer")
