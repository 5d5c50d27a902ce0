"""What has no stream, or none that can be proved, is refused with the reason; the module is left as it was."""

import pytest
import torch
from torch import nn

import nets
from find._found import mapped, unproved
from mainstem.core import InputError, MainstemError, NoStreamError, NotClosedError
from mainstem.find import find
from zoo import STREAMLESS, ZOO, Builder, ids, pixels, rows

REASONS = {
    "mlp": "no addition has one term that the others are computed from by weights.* plain feed-forward network",
    "mlp_spelled": "4 operations with weights, 3 sums of equal-shape tensors",
    "densenet": "joins features by concatenation .4 of them, as a DenseNet does",
    "lone_recurrence": "is the state of a recurrence",
}


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of all parameters and buffers."""
    return {name: t.clone() for name, t in module.state_dict().items()}


def test_every_streamless_module_has_its_reason():
    assert set(REASONS) == set(STREAMLESS)


@pytest.mark.parametrize("name", STREAMLESS)
def test_no_stream_and_why(name):
    module, args, kwargs = STREAMLESS[name]()
    with pytest.raises(NoStreamError, match=REASONS[name]):
        find(module, *args, **kwargs)


@pytest.mark.parametrize("steps", [3, 4, 16])
def test_a_recurrence_is_refused_at_any_length(steps):
    module = STREAMLESS["lone_recurrence"]()[0]
    with pytest.raises(NoStreamError, match=f"additions .{steps - 1} of them. is the state of a recurrence"):
        find(module, ids(2, steps, 20))


@pytest.mark.parametrize("steps", [2, 3, 9])
def test_a_recurrence_inside_a_block_is_not_taken_for_the_stream(steps):
    module = ZOO["recurrent"]()[0]
    found = find(module, ids(2, steps, 20))
    assert [w.label for w in found.main.writes] == ["L0.mixer", "L1.mixer"]
    assert [p.site.key[0] for p in found.main.points[1:]] == ["blocks.0", "blocks.1"]
    assert len(found.streams) == 1


def in_training(name: str) -> tuple:
    """A model of the zoo in train mode, with dropout where it has a place for it."""
    module, args, kwargs = ZOO[name]()
    return module.train(), args, kwargs


@pytest.mark.parametrize("name", ["gpt2", "bert", "t5"])
def test_active_dropout_is_refused_with_the_fix(name):
    module, args, kwargs = in_training(name)
    before = state(module)
    with pytest.raises(InputError, match=r"dropout is active in .*module\.eval\(\)"):
        find(module, *args, **kwargs)
    assert all(torch.equal(before[k], t) for k, t in module.state_dict().items())
    assert module.training
    assert unproved(module.eval(), *args, **kwargs).streams


@pytest.mark.parametrize("name", ["resnet", "cifar", "resnet_inplace"])
def test_live_batch_statistics_are_refused_with_the_fix(name):
    """The number of batches is counted before the statistics are taken: that too is put back."""
    module, args, kwargs = in_training(name)
    before = state(module)
    with pytest.raises(InputError, match=r"batch statistics are live in .*module\.eval\(\)"):
        find(module, *args, **kwargs)
    assert any("num_batches_tracked" in k for k in before)
    assert all(torch.equal(before[k], t) for k, t in module.state_dict().items())


def test_dropout_in_a_fused_attention_is_refused():
    module, args, kwargs = ZOO["llama"]()
    module.train()
    for layer in module.model.layers:
        layer.self_attn.attention_dropout = 0.1
    with pytest.raises(InputError, match=r"dropout is active in model\.layers\.0\.self_attn"):
        find(module, *args, **kwargs)


def test_a_draw_in_train_mode_is_refused():
    class Depth(nets.Tabular):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x * (torch.rand(len(x), 1) > 0.5) if self.training else x)

    module = Depth().train()
    with pytest.raises(InputError, match="numbers are drawn in train mode in the module"):
        find(module, rows(6, 16))
    assert find(module.eval(), rows(6, 16)).proof.closed


def test_train_mode_without_chance_is_no_fault():
    module, args, kwargs = ZOO["llama"]()
    assert unproved(module.train(), *args, **kwargs).streams
    assert module.training


def test_other_additions_for_other_data():
    module, x = nets.Fork().eval(), rows()
    x[0, 0] = 0.25
    with pytest.raises(NotClosedError, match="the additions differ between two inputs: control flow depends on data"):
        find(module, x)


def test_a_stream_for_one_input_and_none_for_another():
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.plain = nets.Tabular(8), nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x) if x[0, 0] == 0.25 else self.plain(x)

    module, x = Sometimes().eval(), rows(6, 8)
    x[0, 0] = 0.25
    with pytest.raises(NotClosedError, match="the additions differ between two inputs"):
        find(module, x)
    x[0, 0] = 1.0
    with pytest.raises(NoStreamError):
        find(module, x)


def test_experts_that_depend_on_data_are_no_such_fault():
    found = mapped("experts")[1]
    assert found.proof.closed
    assert [w.label for w in found.main.writes] == ["L0.mlp", "L1.mlp"]


def broken(name: str, parameter: str, value: float) -> Builder:
    """A model of the zoo with one weight that is not a number. Parameters: `name`, `parameter`, `value`."""

    def build() -> tuple:
        module, args, kwargs = ZOO[name]()
        with torch.no_grad():
            module.get_parameter(parameter).view(-1)[0] = value
        return module, args, kwargs

    return build


NAN = [
    ("tabular_linear", "stem.weight"), ("tabular_linear", "blocks.1.up.weight"), ("tabular_linear", "blocks.2.down.bias"),
    ("tabular_linear", "norm.weight"), ("tabular_linear", "head.bias"), ("gpt2", "transformer.h.1.attn.c_attn.weight"),
    ("gpt2", "transformer.wpe.weight"), ("cifar", "layer2.0.conv1.weight"), ("cifar", "linear.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameter"), NAN)
def test_weights_that_are_no_numbers_prove_nothing(name, parameter):
    module, args, kwargs = broken(name, parameter, float("nan"))()
    with pytest.raises(NotClosedError, match=f"weight {parameter} holds numbers that are not finite"):
        find(module, *args, **kwargs)


@pytest.mark.parametrize(("name", "parameter"), [pair for pair in NAN if "attn" not in pair[1]])
def test_weights_that_are_infinite_prove_nothing(name, parameter):
    module, args, kwargs = broken(name, parameter, float("inf"))()
    with pytest.raises(NotClosedError, match="not finite"):
        find(module, *args, **kwargs)


@pytest.mark.parametrize("name", ["running_mean", "running_var"])
def test_statistics_that_are_no_numbers_prove_nothing(name):
    module, args, kwargs = ZOO["cifar"]()
    getattr(module.layer2[1].bn2, name)[0] = float("nan")
    with pytest.raises(NotClosedError, match="not finite"):
        find(module, *args, **kwargs)


def test_an_input_that_is_no_number():
    module, (x,), _ = ZOO["tabular"]()
    x = x.clone()
    x[0, 0] = float("nan")
    with pytest.raises(NotClosedError, match="not finite"):
        find(module, x)


def test_a_point_that_no_input_reaches():
    """A stream that does not depend on what is put in is none that can be cut."""

    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nets.Tabular(8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(torch.where(x.isnan(), x, 1.0))

    with pytest.raises(NotClosedError, match="is the same for two different inputs"):
        find(Constant().eval(), rows(6, 8))


@pytest.mark.parametrize("x", [torch.zeros(4, 16), torch.ones(4, 16), (rows(4, 16) > 0).float()])
def test_an_input_of_zeros_and_ones_will_do(x):
    module = ZOO["tabular"]()[0]
    assert find(module, x).proof.closed


def test_an_error_of_the_module_is_its_own():
    module = ZOO["tabular"]()[0]
    with pytest.raises(RuntimeError, match="shape"):
        find(module, rows(4, 3))
    with pytest.raises(TypeError):
        find(module)


@pytest.mark.parametrize("name", ["densenet", "mlp"])
def test_refusals_are_of_one_tree(name):
    module, args, kwargs = STREAMLESS[name]()
    with pytest.raises(MainstemError):
        find(module, *args, **kwargs)


def test_an_image_of_one_colour_will_do():
    module = ZOO["cifar"]()[0]
    assert find(module, torch.full_like(pixels(), 0.5)).proof.closed


def test_a_draw_that_reaches_the_output_is_refused_in_eval_mode_too():
    class Noisy(nets.Tabular):
        scale = 0.1

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x + torch.randn_like(x) * self.scale)

    class Idle(nets.Tabular):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            skip = torch.rand([]) > 2.0
            return x if skip else super().forward(x)

    with pytest.raises(InputError, match="random numbers drawn in the module reach the output"):
        find(Noisy().eval(), rows(6, 16))
    assert find(Idle().eval(), rows(6, 16)).proof.closed


def test_a_stream_that_leads_nowhere_is_refused():
    """The additions are there, but the way from the last of them to the output is not one that a vector can be carried on."""

    class Lost(nets.Tabular):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for block in self.blocks:
                x = block(x)
            return x.sort(-1).values

    with pytest.raises(NotClosedError, match=r"from the last addition at blocks\.2/add no output can be reached"):
        find(Lost().eval(), rows(6, 16))


@pytest.mark.parametrize("kind", [nn.Dropout, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_each_kind_of_dropout_by_itself(kind):
    module = nn.Sequential(nets.TabularBlock(16), kind(0.1), nets.TabularBlock(16), nn.Linear(16, 2)).train()
    with pytest.raises(InputError, match="dropout is active in 1: "):
        find(module, rows(6, 16))
    module[1].p = 0.0
    assert find(module, rows(6, 16)).proof.closed
    module[1].p = 0.1
    assert find(module.eval(), rows(6, 16)).proof.closed
