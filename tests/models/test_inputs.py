"""What a module is called with: ids, masks and positions that agree, from prompts, lists and tensors."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import mainstem as ms
from mainstem.models import Loaded, example, load, prepare
from nets import CifarResNet, Shared, Tabular
from zoo import ZOO, pixels

RAGGED = [[3, 4, 5], [6]]


@pytest.fixture(scope="module")
def text_model() -> ms.Model:
    return ms.load()


def loaded(name: str) -> Loaded:
    return load(ZOO[name]()[0])


@pytest.mark.parametrize("data", [[3, 4, 5], [[3, 4, 5]], torch.tensor([3, 4, 5]), torch.tensor([[3, 4, 5]]), ((3, 4, 5),)])
def test_one_prompt_of_ids_in_every_form(data):
    ready = prepare(loaded("gpt2"), data)
    assert ready.kwargs.keys() == {"input_ids"}
    assert ready.kwargs["input_ids"].tolist() == [[3, 4, 5]]
    assert ready.mask is None
    assert ready.last.tolist() == [2]


def test_padding_on_either_side():
    right, left = (prepare(loaded("gpt2"), RAGGED, side) for side in ("right", "left"))
    assert right.kwargs["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert left.kwargs["attention_mask"].tolist() == [[1, 1, 1], [0, 0, 1]]
    assert "position_ids" not in right.kwargs
    assert left.kwargs["position_ids"].tolist() == [[0, 1, 2], [0, 0, 0]]
    assert right.ids[1, 0] == left.ids[1, 2] == 6
    assert (right.last.tolist(), left.last.tolist()) == ([2, 0], [2, 2])


@pytest.mark.parametrize("side", [[[1, 1, 0], [1, 1, 1]], [[0, 1, 1], [1, 1, 1]]])
def test_a_mask_of_ones_own(side):
    """As a tokenizer gives it: the masked places are not scored, and change nothing."""
    model, mask = ms.load(ZOO["llama"]()[0]), torch.tensor(side)
    ids = torch.tensor([[9, 8, 7], [3, 4, 5]])
    trace = model.trace(ids, attention_mask=mask)
    alone = model.trace(ids[0][mask[0].bool()])
    torch.testing.assert_close(trace.scores(3).prompt(0).whole, alone.scores(3).whole, rtol=1e-4, atol=1e-5)
    assert trace.scores(3).positions == (int(mask[0].nonzero()[-1]), 2)
    assert model.trace(ids, attention_mask=torch.ones_like(ids)).scores(3).positions == (2, 2)


def test_further_arguments_reach_the_module():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = Shared()

        def forward(self, tokens: Tensor, scale: float = 1.0) -> Tensor:
            return self.body(tokens) * scale

    model = ms.load(Scaled().eval())
    one, two = model.trace([1, 2, 3]), model.trace([1, 2, 3], scale=2.0)
    torch.testing.assert_close(two.logits, 2 * one.logits)
    torch.testing.assert_close(two.scores(3).tensor, 2 * one.scores(3).tensor)


def test_a_decoder_begins_with_its_start_token():
    found = loaded("t5")
    assert prepare(found, [[1, 2, 3]] * 2).kwargs["decoder_input_ids"].tolist() == [[0], [0]]
    given = torch.tensor([[0, 7]])
    assert prepare(found, [1, 2, 3], decoder_input_ids=given).kwargs["decoder_input_ids"] is given


def test_float_tensors_come_in_the_precision_of_the_model():
    x = torch.randn(4, 16)
    for dtype in (torch.float64, torch.bfloat16):
        found = load(Tabular(), dtype=dtype)
        assert prepare(found, x).args[0].dtype == dtype
    trace = ms.load(Tabular().eval()).trace(x)
    assert trace.logits.shape == (4, 1)
    assert trace.tokens == ()
    assert trace.scores(0, "neuron").positions is None


def test_images_as_tensors():
    trace = ms.load(CifarResNet(1, 4).eval()).trace(pixels(3))
    assert trace.logits.shape == (3, 10)
    assert trace.scores(2).whole.shape == (3,)
    assert trace.lens(2).values.rank.shape == (4, 3)
    assert "input (3, 4, 32, 32)" in repr(trace)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ([], "there is nothing to trace"),
        ([[]], "the prompt has no tokens"),
        ([[1, 2], []], "the prompt has no tokens"),
        ("text", "text needs a tokenizer: put tokenizer.json"),
        (["one", "two"], "text needs a tokenizer"),
        (3.5, "cannot read float as input"),
        ([object()], "cannot read object as input"),
        (torch.tensor([[0.5, float("nan")]]), "the input holds NaN or inf"),
        (torch.tensor(5), r"the input has shape \(\): give \[batch"),
        (torch.zeros(0, 3).long(), r"the input has shape \(0, 3\)"),
        (torch.randn(1, 3, 32, 32), r"the model cannot run this input.* reads token ids, such as \[3, 4, 5\], and no floats"),
        ([1, 2, 50], "the model cannot run this input: .*index out of range.* Token ids go from 0 to 49"),
        ([1, -3], "the model cannot run this input.* Token ids go from 0 to 49"),
        (list(range(40)) * 2, "the model cannot run this input"),
    ],
)
def test_what_cannot_be_read(data, said):
    with pytest.raises(ms.InputError, match=said):
        ms.load(ZOO["gpt2"]()[0]).trace(data)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (torch.randn(1, 3, 32, 32), "default reads text, or token ids.* and no floats"),
        (torch.randn(1, 4), "default reads text, or token ids.* and no floats"),
        (Image.new("RGB", (32, 32)), "cannot read Image as input: default reads text, or token ids"),
        ([-1], "there is no token -1: ids go from 0 to 4095"),
        (torch.tensor([3, -2]), "there is no token -2: ids go from 0 to 4095"),
        (torch.tensor(5), r"the input has shape \(\)"),
        (torch.zeros(1, 3, 4, 4).long(), "default reads text, or token ids.*: whole numbers, in one list for every prompt"),
        ([[1.5]], "whole numbers, in one list for every prompt"),
    ],
)
def test_what_a_model_of_text_cannot_read(text_model, data, said):
    with pytest.raises(ms.InputError, match=said):
        text_model.trace(data)


def test_token_ids_of_numpy(text_model):
    assert text_model.trace([[np.int64(3), np.int64(4)]]).tokens == text_model.trace([3, 4]).tokens


def test_a_side_that_does_not_exist():
    with pytest.raises(ms.InputError, match="padding is 'right' or 'left', not 'both'"):
        prepare(loaded("gpt2"), RAGGED, "both")


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "t5", "vit", "resnet", "mamba"])
def test_an_example_is_of_the_models_own_form(name):
    found = loaded(name)
    ready = example(found)
    with torch.no_grad():
        assert found.module(*ready.args, **ready.kwargs) is not None
