"""Programs: calls that happened, joined by wires, frozen and transposed as one map."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from algebra._cases import Catch, double
from mainstem.algebra import Affine, Call, Program, Step, Wire, raised

Operand = tuple[int | str, ...]


def program(run: Callable[..., Tensor], inputs: tuple[Tensor, ...], wires: list[tuple], output: Operand = ()) -> Affine:
    """The calls of `run`, each with wires as (operand, source) or (operand, source, output), bound to this run."""
    with Catch() as catch:
        run(*inputs)
    keys = [("", 0, call.name, i) for i, call in enumerate(catch.calls)]
    assert len(keys) == len(wires)
    steps = (Step(key, tuple(Wire(*wire) for wire in found)) for key, found in zip(keys, wires, strict=True))
    return Program(tuple(steps), output).bind(dict(zip(keys, catch.calls, strict=True)))


def check(affine: Affine, run: Callable[..., Tensor], *inputs: Tensor) -> None:
    """Frozen equals true at the run's inputs; affine in all inputs at once; linear parts and transposes agree with it."""
    torch.testing.assert_close(affine(*inputs), run(*inputs), rtol=1e-12, atol=1e-12)
    zeros = [torch.zeros_like(x) for x in inputs]
    constant, vectors = affine.constant(*inputs), [torch.randn_like(x) for x in inputs]
    alone = [
        affine(*(v if i == j else z for j, (v, z) in enumerate(zip(vectors, zeros, strict=True)))) for i in range(len(inputs))
    ]
    torch.testing.assert_close(affine(*vectors) - constant, sum(a - constant for a in alone), rtol=1e-11, atol=1e-11)
    for i, v in enumerate(vectors):
        pushed = affine.linear(torch.stack([v, 2 * v]), tuple(inputs), i)
        torch.testing.assert_close(pushed, torch.stack([alone[i] - constant, 2 * (alone[i] - constant)]), rtol=1e-11, atol=1e-11)
    g = torch.randn_like(constant)
    back = affine.adjoint(*inputs)(g)
    for i, v in enumerate(vectors):
        torch.testing.assert_close((g * (alone[i] - constant)).sum(), (back[i] * v).sum(), rtol=1e-10, atol=1e-10)


def test_no_steps_are_the_identity():
    affine, x = Program().bind({}), double(2, 3)
    assert affine(x) is x
    assert affine.linear(x) is x
    assert affine.adjoint(x)(x) == (x,)
    assert Program().keys() == ()


def test_norm_gate_and_weight():
    gain, gate, weight, bias, x = (double(*shape) for shape in ((4,), (3, 4), (5, 4), (5,), (3, 4)))

    def run(v):
        return F.linear(F.layer_norm(v, (4,), gain) * gate, weight, bias)

    affine = program(run, (x,), [[((0,), -1)], [((0,), 0)], [((0,), 1)]])
    check(affine, run, x)
    assert affine.program.keys() == tuple(step.key for step in affine.program.steps)


def test_the_source_read_twice():
    x = double(3, 4)

    def run(v):
        return F.relu(v) + v

    check(program(run, (x,), [[((0,), -1)], [((0,), 0), ((1,), -1)]]), run, x)


def test_frozen_operand_stays_that_of_the_run():
    """x * g(x) frozen at the gate: linear in x, the gate that of the run."""
    x, v = double(3, 4), double(3, 4)

    def run(v):
        return v * torch.sigmoid(v)

    affine = program(run, (x,), [[((0,), -1)], [((0,), -1)]])  # the step before is wired, its result is not read
    check(affine, run, x)
    torch.testing.assert_close(affine(v), v * torch.sigmoid(x), rtol=0, atol=0)
    torch.testing.assert_close(affine.live(v), v * torch.sigmoid(x), rtol=0, atol=0)


def test_live_is_the_true_map_along_the_way():
    x, v, shift = double(3, 4), double(3, 4), double(4)

    def run(v):
        return F.layer_norm(torch.tanh(v), (4,)) + shift

    affine = program(run, (x,), [[((0,), -1)], [((0,), 0)], [((0,), 1)]])
    torch.testing.assert_close(affine.live(v), run(v), rtol=1e-13, atol=1e-13)
    assert not torch.allclose(affine(v), run(v))


def test_several_inputs():
    a, b, weight = double(2, 3), double(2, 4), double(5, 7)

    def run(a, b):
        return F.linear(torch.cat([b, torch.tanh(a)], -1), weight)

    wires = [[((0,), -1)], [((0, 0), -2), ((0, 1), 0)], [((0,), 1)]]
    check(program(run, (a, b), wires), run, a, b)


def test_inplace_calls_leave_their_operands_alone():
    x, y = double(2, 3), double(2, 3)

    def run(v, w):
        out = v * 2
        out += w
        out.mul_(0.5)
        return F.relu(out, inplace=True)

    affine = program(run, (x, y), [[((0,), -1)], [((0,), 0), ((1,), -2)], [((0,), 1)], [((0,), 2)]])
    kept = [x.clone(), y.clone(), *(a.clone() for call in affine.calls for a in call.args if isinstance(a, Tensor))]
    check(affine, run, x, y)
    now = [x, y, *(a for call in affine.calls for a in call.args if isinstance(a, Tensor))]
    assert all(map(torch.equal, kept, now))


def test_keyword_operands():
    x, y, gate = double(2, 3), double(2, 3), double(2, 3)

    def run(v, w):
        return torch.add(v, other=torch.mul(w, other=gate), alpha=2.0)

    affine = program(run, (x, y), [[((0,), -2)], [((0,), -1), (("other",), 0)]])
    check(affine, run, x, y)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_result_of_several(which):
    x, weight = double(2, 9), double(4, 3)

    def run(v):
        return F.linear(v.chunk(3, -1)[which], weight)

    check(program(run, (x,), [[((0,), -1)], [((0,), 0, (which,))]]), run, x)


def test_several_results_joined():
    x = double(2, 6)

    def run(v):
        left, right = v.split([2, 4], -1)
        return torch.cat([-right, left], -1)

    wires = [[((0,), -1)], [((0,), 0, (1,))], [((0, 0), 1), ((0, 1), 0, (0,))]]
    check(program(run, (x,), wires), run, x)


def test_output_of_a_call_with_several_results():
    x = double(2, 6)
    affine = program(lambda v: v.unbind(0), (x,), [[((0,), -1)]], (1,))
    check(affine, lambda v: v.unbind(0)[1], x)


def test_an_operation_without_a_rule_says_so():
    affine = program(torch.exp, (double(2),), [[((0,), -1)]])
    with pytest.raises(AssertionError, match="no frozen form for exp"):
        affine(double(2))


def test_gradients_flow_through_a_frozen_map():
    x, v, weight = double(3, 4), double(3, 4).requires_grad_(), double(5, 4).requires_grad_()

    def run(v):
        return F.linear(F.gelu(v), weight)

    affine = program(run, (x,), [[((0,), -1)], [((0,), 0)]])
    assert torch.autograd.gradcheck(affine, (v,))
    affine(v).sum().backward()
    assert weight.grad is not None


def test_raised_calls_compute_in_the_higher_precision():
    x = torch.randn(3, 4, dtype=torch.bfloat16)
    call = Call("to", torch.Tensor.to, (x, torch.float16), {}, x.half())
    up = raised(call, torch.float64)
    assert up.again({}).dtype == up.out.dtype == torch.float64
    call = Call("cat", torch.cat, ([x, x], 1), {}, None)
    assert raised(call, torch.float32).again({}).dtype == torch.float32
