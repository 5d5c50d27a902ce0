"""Which optimisers care for a basis: exact in float64, on a loss whose parameters are turned, and on a whole transformer."""

import pytest
import torch
from torch import Tensor, nn

from mainstem.lab import RotatedAdam, Training, Variant, VariantConfig
from mainstem.lab._optimizers import clipped, optimizer, rotation, schedule
from mainstem.lab._watch import Steps, Writer

N, STEPS = 12, 8


def loss(theta: Tensor) -> Tensor:
    """A loss with no symmetry, of a vector."""
    a = torch.randn(20, N, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return (torch.tanh(a @ theta) - torch.linspace(-1, 1, 20, dtype=torch.float64)).square().sum() + 0.1 * theta.pow(4).sum()


class Point(nn.Module):
    """A vector and what it is turned by before the loss sees it. A matrix of one column, so that decay is of it."""

    def __init__(self, turn: Tensor) -> None:
        super().__init__()
        start = torch.randn(N, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        self.turn, self.theta = turn, nn.Parameter(turn @ start)

    def loss(self) -> Tensor:
        return loss((self.turn.T @ self.theta)[:, 0])


def trained(turn: Tensor, axes: dict[str, int] | None = None, **choices) -> Tensor:
    """The parameters after some steps, turned back."""
    model, training = Point(turn), Training(steps=STEPS, **{"lr": 0.02, "schedule": "constant", **choices})
    using = optimizer(model, training, axes or {})
    rates = schedule(using, training)
    for _ in range(STEPS):
        using.zero_grad()
        model.loss().backward()
        clipped(model, training.clip)
        using.step()
        rates.step()
    return (turn.T @ model.theta.detach())[:, 0]


EYE = torch.eye(N, dtype=torch.float64)
TURN = rotation(EYE, 5)
INVARIANT = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "sgd", "weight_decay": 0.1},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.1, "clip": 0.5},
    {"optimizer": "sgd", "momentum": 0.9, "schedule": "linear", "warmup": 3},
]


@pytest.mark.parametrize("choices", INVARIANT, ids=str)
def test_sgd_commutes_with_an_orthogonal_change_of_parameters(choices):
    plain, turned = trained(EYE, **choices), trained(TURN, **choices)
    assert torch.allclose(turned, plain, atol=1e-12, rtol=0)
    assert not torch.allclose(plain, Point(EYE).theta.detach()[:, 0], atol=1e-3)


@pytest.mark.parametrize("name", ["adam", "adamw"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_adam_does_not(name, momentum):
    plain, turned = (trained(turn, optimizer=name, momentum=momentum) for turn in (EYE, TURN))
    assert not torch.allclose(turned, plain, atol=1e-3)


@pytest.mark.parametrize("choices", [{}, {"momentum": 0.0}, {"weight_decay": 0.1}])
def test_adam_with_turned_moments_is_adam_of_turned_parameters(choices):
    """Its rotation is that of seed 0: moments there, parameters here."""
    here = trained(EYE, {"theta": 0}, optimizer="rotated_adam", **choices)
    there = trained(rotation(EYE, 0), optimizer="adamw", **choices)
    assert torch.allclose(here, there, atol=1e-12, rtol=0)
    assert not torch.allclose(here, trained(EYE, optimizer="adamw", **choices), atol=1e-3)


def test_adam_with_moments_in_the_same_basis_is_adamw():
    point, other = Point(EYE), Point(EYE)
    ours = RotatedAdam(
        [{"params": [point.theta], "axis": 0}], lambda x: torch.eye(len(x), dtype=x.dtype), lr=0.02, weight_decay=0.1
    )
    theirs = torch.optim.AdamW([other.theta], lr=0.02, weight_decay=0.1)
    for _ in range(STEPS):
        for model, using in ((point, ours), (other, theirs)):
            using.zero_grad()
            model.loss().backward()
            using.step()
    assert torch.allclose(point.theta, other.theta, atol=1e-13, rtol=0)


def turned_model(model: Variant, q: Tensor) -> Variant:
    """The same function with its stream turned: possible where the norm has one gain for all."""
    other = Variant(model.config).double()
    axes = model.stream_axes()
    state = {}
    for name, weight in model.state_dict().items():
        axis = axes.get(name)
        state[name] = weight if axis is None else q @ weight if axis == 0 else weight @ q.T
    other.load_state_dict(state)
    return other


@pytest.mark.parametrize(("name", "same"), [("sgd", True), ("adamw", False)])
def test_a_transformer_with_a_turned_stream_trains_alike_under_sgd_only(name, same):
    config = VariantConfig(vocab_size=30, n_positions=8, d_model=16, n_head=2, norm="rms_scalar", initializer_range=0.2)
    ids = torch.randint(30, (4, 8))
    one = Variant(config).double()
    other = turned_model(one, rotation(torch.eye(16, dtype=torch.float64), 9))
    with torch.no_grad():
        assert torch.allclose(one(ids).logits, other(ids).logits, atol=1e-12)
    training = Training(optimizer=name, lr=0.05, momentum=0.9, weight_decay=0.01, clip=1.0, steps=STEPS)
    for model in (one, other):
        using = optimizer(model, training, {})
        for _ in range(STEPS):
            using.zero_grad()
            model(ids, labels=ids).loss.backward()
            clipped(model, training.clip)
            using.step()
    with torch.no_grad():
        assert torch.allclose(one(ids).logits, other(ids).logits, atol=1e-10) is same


def test_the_axes_of_a_transformer_are_all_but_the_norms():
    model = Variant(VariantConfig(vocab_size=30, d_model=16, n_head=2, norm="layer"))
    left = {name for name, _ in model.named_parameters()} - model.stream_axes().keys()
    assert all(".ln_" in name or name.startswith("ln_f") or name.endswith("c_fc.bias") for name in left)
    for name, axis in model.stream_axes().items():
        assert dict(model.named_parameters())[name].shape[axis] == 16


def test_decay_is_of_matrices_only():
    model = Variant(VariantConfig(vocab_size=30, d_model=16, n_head=2))
    for name in ("sgd", "adam", "adamw", "rotated_adam"):
        using = optimizer(model, Training(optimizer=name, weight_decay=0.1), model.stream_axes())
        assert {(group["weight_decay"] > 0, weight.ndim > 1) for group in using.param_groups for weight in group["params"]} == {
            (True, True),
            (False, False),
        }
        assert sum(len(group["params"]) for group in using.param_groups) == len(list(model.parameters()))


def test_spread_tells_adams_moments_in_two_bases():
    """Gradient in one dimension of the basis that is computed in: Adam's moments stand out there, and not in a turned one."""
    weight = nn.Parameter(torch.zeros(N, 3, dtype=torch.float64))
    using = torch.optim.Adam([weight], lr=0.1)
    steps = Steps([Writer(weight, TURN)], using)
    steps.begin()
    weight.grad = torch.zeros_like(weight)
    weight.grad[4] = 1.0
    using.step()
    found = {(row.name, row.site): row.value for row in steps.end(7)}
    assert found["update_spread", "computation"] == pytest.approx((N - 1) ** 0.5)
    assert found["moment_spread", "computation"] == pytest.approx((N - 1) ** 0.5)
    assert found["second_moment_spread", "computation"] == pytest.approx((N - 1) ** 0.5)
    column = TURN[:, 4].abs()
    expected = float(column.std(correction=0) / column.mean())
    assert found["update_spread", "stream"] == pytest.approx(expected)


def test_updates_of_one_size_have_no_spread():
    weight = nn.Parameter(torch.zeros(N, 3, dtype=torch.float64))
    using = torch.optim.Adam([weight], lr=0.1)
    steps = Steps([Writer(weight, None)], using)
    steps.begin()
    weight.grad = torch.rand_like(weight) + 0.1
    using.step()
    found = {(row.name, row.site): row.value for row in steps.end(0)}
    assert found["update_spread", "stream"] == pytest.approx(0, abs=1e-6)
    assert found["moment_spread", "stream"] > 0.05


def test_the_rate_goes_up_and_down():
    using = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    rates = schedule(using, Training(steps=6, warmup=2))
    seen = []
    for _ in range(6):
        seen.append(rates.get_last_lr()[0])
        using.step()
        rates.step()
    assert seen == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])
