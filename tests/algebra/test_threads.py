"""Maps of two threads at once: torch keeps one forward-mode differentiation for the whole process, and nobody shall meet another's."""

import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from mainstem.algebra import Affine, Call, Program, Step, Wire

KEY = ("", 0, "gelu", 0)


def chain(made: Callable[[Tensor], Tensor] = F.gelu) -> Affine:
    """A frozen activation between two products, with constants that a linear part must not hold."""
    torch.manual_seed(0)
    x, w, b = torch.randn(5, 8), torch.randn(8, 8), torch.randn(8)
    h = F.linear(x, w, b)
    calls = (
        Call("linear", F.linear, (x, w, b), {}, h),
        Call("gelu", made, (h,), {}, F.gelu(h)),
        Call("linear", F.linear, (F.gelu(h), w, b), {}, F.linear(F.gelu(h), w, b)),
    )
    steps = tuple(Step(("", 0, call.name, i), (Wire((0,), i - 1),)) for i, call in enumerate(calls))
    return Affine(Program(steps), calls)


def together(*works: Callable[[], None]) -> list[BaseException]:
    """Runs them at once; returns what went wrong."""
    wrong: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return wrong


def test_two_threads_have_the_numbers_of_one():
    affine, vectors = chain(), torch.randn(3, 5, 8)
    wanted = affine.linear(vectors)

    def work() -> None:
        for _ in range(200):
            assert torch.equal(affine.linear(vectors), wanted)

    assert together(work, work, work) == []


def test_a_map_goes_on_while_another_thread_is_inside_one():
    inside, go = threading.Event(), threading.Event()

    def waits(h: Tensor) -> Tensor:
        inside.set()
        go.wait(20)
        return F.gelu(h)

    slow, plain, vectors = chain(waits), chain(), torch.randn(3, 5, 8)
    wanted = plain.linear(vectors)
    found: list[Tensor] = []

    def second() -> None:
        assert inside.wait(20)
        found.append(plain.linear(vectors))
        go.set()

    assert together(lambda: found.append(slow.linear(vectors)), second) == []
    assert len(found) == 2 and all(torch.equal(one, wanted) for one in found)


def test_a_map_inside_a_users_own_forward_mode():
    affine, vectors = chain(), torch.randn(3, 5, 8)
    wanted = affine.linear(vectors)
    held, go = threading.Event(), threading.Event()

    def user() -> None:
        with forward_ad.dual_level():
            one = forward_ad.make_dual(torch.ones(3), torch.ones(3))
            held.set()
            assert go.wait(20)
            assert torch.equal(forward_ad.unpack_dual(one * 2).tangent, torch.full((3,), 2.0))

    def ours() -> None:
        assert held.wait(20)
        try:
            assert torch.equal(affine.linear(vectors), wanted)
        finally:
            go.set()

    assert together(user, ours) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_slope_where_an_activation_saw_zero(dtype: torch.dtype):
    x = torch.zeros(3, dtype=dtype)
    for f, slope in ((F.gelu, 0.5), (F.silu, 0.5), (torch.tanh, 1.0)):
        call = Call("gelu", f, (x,), {}, f(x))
        affine = Affine(Program((Step(KEY, (Wire((0,), -1),)),)), (call,))
        assert torch.allclose(affine.linear(torch.ones(1, 3, dtype=dtype)), torch.full((1, 3), slope, dtype=dtype))
