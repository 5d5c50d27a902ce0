"""Every rule in float64: the frozen form is the true one at the run's own input, affine everywhere, and has its transpose."""

import pytest
import torch
from torch import Tensor

from algebra._cases import CASES, Case, caught, double, function
from mainstem.algebra import Affine, Call, Program, Step, Wire, base_name, dig, put, rule
from mainstem.algebra._rules import RULES

# Not reachable on a machine without a GPU, or spellings that no torch release at hand makes.
UNREACHED = {"cuda", "alias", "identity", "upsample", "spread"}


def bound(case: Case) -> tuple[Tensor, Affine]:
    """The operand's value, and the program of this one call bound to it; the first result where there are several."""
    x, run = case.make()
    call = caught(run, x, case.name)
    several = not isinstance(call.out, Tensor)
    program = Program((Step(("", 0, call.name, 0), (Wire(case.at, -1),)),), (0,) if several else ())
    return x, program.bind({("", 0, call.name, 0): call})


def close(a: Tensor, b: Tensor, tolerance: float) -> None:
    """Fails where two tensors differ by more than a share of their size, or where one is not finite."""
    assert a.shape == b.shape
    assert bool(torch.isfinite(a).all())
    size = max(1.0, float(b.abs().max())) if b.numel() else 1.0
    assert float((a.double() - b.double()).abs().max()) <= tolerance * size


def test_every_rule_has_a_case():
    assert {case.name for case in CASES} == set(RULES) - UNREACHED


@pytest.mark.parametrize("case", CASES, ids=str)
def test_frozen_is_what_was_computed(case):
    x, affine = bound(case)
    (call,), head = affine.calls, case.at[0]
    found = rule(call.name)
    assert found is RULES[base_name(call.name)]
    assert head == "other" or head in found.operands
    assert torch.equal(call.arg(case.at), x)
    close(affine(x), dig(call.out, affine.program.output), case.tolerance)
    close(affine.live(x), dig(call.out, affine.program.output), case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_frozen_is_affine(case):
    x, affine = bound(case)
    u, v, (a, b) = torch.randn_like(x), torch.randn_like(x), (0.7, -1.9)
    constant = affine(torch.zeros_like(x))
    close(affine.constant(x), constant, case.tolerance)
    parts = a * (affine(u) - constant) + b * (affine(v) - constant)
    close(affine(a * u + b * v) - constant, parts, 10 * case.tolerance)


@pytest.mark.parametrize("case", [c for c in CASES if c.pieces], ids=str)
def test_linear_is_the_map_without_its_constant(case):
    x, affine = bound(case)
    stack = torch.randn(3, *x.shape, dtype=x.dtype)
    constant = affine(torch.zeros_like(x))
    for chunk in (1, 64):
        found = affine.linear(stack, chunk=chunk)
        close(found, torch.stack([affine(v) - constant for v in stack]), case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_adjoint_is_the_transpose(case):
    x, affine = bound(case)
    v = torch.randn_like(x)
    image = affine(v) - affine(torch.zeros_like(x))
    g = torch.randn_like(image)
    (back,) = affine.adjoint(x)(g)
    assert back.shape == x.shape
    left, right = (g * image).sum(), (back * v).sum()
    assert abs(float(left - right)) <= 20 * case.tolerance * max(1.0, float((g * image).abs().sum()))


ACTIVATIONS = sorted(name for name, found in RULES.items() if found.sort == "act")


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_at_zero(name):
    x = torch.zeros(4, dtype=torch.float64)
    call = caught(function(name), x, name)
    frozen = RULES[name].form
    close(frozen(call, {(0,): x}), call.out, 0.0)
    slope = frozen(call, {(0,): torch.ones_like(x)}) - call.out
    assert bool(torch.isfinite(slope).all())
    step = 1e-7
    sides = [(function(name)(s * x.new_full((), step)) - call.out[0]) / (s * step) for s in (1, -1)]
    assert min(sides) - 1e-6 <= slope[0] <= max(sides) + 1e-6


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_near_zero(name):
    x = torch.tensor([1e-300, 1e-30, -1e-20, 1e-12], dtype=torch.float64)
    call = caught(function(name), x, name)
    frozen = RULES[name].form
    close(frozen(call, {(0,): x}), call.out, 1e-15)
    assert float((frozen(call, {(0,): torch.ones_like(x)}) - call.out).abs().max()) < 2.0


def test_max_pool_picks_where_the_maxima_were():
    x = torch.arange(16.0, dtype=torch.float64).reshape(1, 1, 4, 4)
    call = caught(lambda v: torch.nn.functional.max_pool2d(v, 2), x, "max_pool2d")
    v = -x
    assert RULES["max_pool2d"].form(call, {(0,): v}).flatten().tolist() == [-5.0, -7.0, -13.0, -15.0]


def test_norms_keep_the_scale_of_the_run():
    x, v = double(3, 4), double(3, 4)
    call = caught(lambda t: torch.nn.functional.layer_norm(t, (4,), eps=0.0), x, "layer_norm")
    expected = (v - v.mean(-1, keepdim=True)) / x.std(-1, correction=0, keepdim=True)
    close(RULES["layer_norm"].form(call, {(0,): v}), expected, 1e-14)
    call = caught(lambda t: torch.nn.functional.rms_norm(t, (4,), eps=0.0), x, "rms_norm")
    close(RULES["rms_norm"].form(call, {(0,): v}), v / x.square().mean(-1, keepdim=True).sqrt(), 1e-14)


def test_a_wrong_form_is_caught():
    """What the tests above compare must be able to differ."""
    wrong = Case("gelu", lambda: (double(5), torch.nn.functional.gelu))
    x, affine = bound(wrong)
    (call,) = affine.calls
    squared = Affine(affine.program, (Call("mul", lambda a, b: a * a, (x, x), {}, call.out),))
    with pytest.raises(AssertionError):
        close(squared(x), call.out, 1e-12)
    with pytest.raises(AssertionError):
        close(torch.full((2,), float("nan")), torch.zeros(2), 1.0)


@pytest.mark.parametrize(
    ("tree", "path", "expected"),
    [((1, [2, 3]), (1, 0), (1, [9, 3])), ({"a": (1, 2)}, ("a", 1), {"a": (1, 9)}), ([1, 2], (), 9)],
)
def test_put_leaves_the_original_alone(tree, path, expected):
    before = str(tree)
    assert put(tree, path, 9) == expected
    assert str(tree) == before
