"""Calls that are made part by part give what the whole call gives, and additions inside of them are seen."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mainstem.find import run
from mainstem.find._einsum import einsum
from mainstem.find._watch import Watch


class Made(nn.Module):
    """A module that is one function of its arguments."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: Any) -> Tensor:
        return self.function(*args)


def watched(function: Callable[..., Tensor], *args: Any) -> tuple[Tensor, list[str]]:
    """What a function gives while every call of it is handed over, and the calls. Parameters: `function`; `args`."""
    seen: list[str] = []

    def handle(key: Any, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        seen.append(key[2])
        return func(*args, **kwargs)

    module = Made(function)
    with Watch(module, handle):
        return module(*args), seen


def x(*shape: int) -> Tensor:
    return torch.randn(shape or (3, 4)).double()


INDEX = torch.tensor([2, 0, 2])
WHOLE: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...], str]] = {
    "addcmul": (torch.addcmul, (x(), x(), x()), "addcmul.add"),
    "addcmul, spread": (lambda a, b, c: torch.addcmul(a, b, c, value=-0.5), (x(), x(), x(4)), "addcmul.add"),
    "addcmul by words": (lambda a, b, c: torch.addcmul(a, tensor1=b, tensor2=c, value=2), (x(), x(), x()), "addcmul.add"),
    "addcmul_": (lambda a, b, c: a.clone().addcmul_(b, c, value=3), (x(), x(), x()), "addcmul_.add_"),
    "addcdiv": (lambda a, b, c: torch.addcdiv(a, b, c.abs() + 1, value=0.3), (x(), x(), x()), "addcdiv.add"),
    "addmm": (lambda a, b, c: torch.addmm(a, b, c, beta=0.5, alpha=2), (x(3, 4), x(3, 5), x(5, 4)), "addmm.add"),
    "addmm by words": (lambda a, b, c: torch.addmm(a, mat1=b, mat2=c), (x(3, 4), x(3, 5), x(5, 4)), "addmm.add"),
    "baddbmm": (lambda a, b, c: torch.baddbmm(a, b, c, beta=0.5), (x(2, 3, 4), x(2, 3, 5), x(2, 5, 4)), "baddbmm.add"),
    "lerp": (lambda a, b: torch.lerp(a, b, 0.3), (x(), x()), "lerp.add"),
    "lerp by a gate": (torch.lerp, (x(), x(), x().sigmoid()), "lerp.add"),
    "index_add": (lambda a, b: a.index_add(0, INDEX, b, alpha=0.5), (x(), x()), "index_add.add"),
    "index_add by words": (lambda a, b: a.index_add(dim=0, index=INDEX, source=b), (x(), x()), "index_add.add"),
    "scatter_add": (lambda a, b: a.scatter_add(0, INDEX[:, None].expand(3, 4), b), (x(), x()), "scatter_add.add"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_parts_give_what_the_call_gives(name):
    function, args, part = WHOLE[name]
    found, seen = watched(function, *args)
    assert part in seen
    torch.testing.assert_close(found, function(*args), rtol=1e-12, atol=1e-12)


LESS: dict[str, tuple[Callable[..., Tensor], tuple[Any, ...], str]] = {
    "a bias": (torch.addmm, (x(4), x(3, 5), x(5, 4)), "addmm"),
    "a row for all": (torch.addcmul, (x(), x(4), x(4)), "addcmul"),
    "a place to put it": (lambda a, b, c: torch.addcmul(a, b, c, out=torch.empty_like(a)), (x(), x(), x()), "addcmul"),
    "onto rows in place": (lambda a, b: a.clone().index_add_(0, INDEX, b), (x(), x()), "index_add_"),
}


@pytest.mark.parametrize("name", LESS)
def test_what_adds_to_less_than_the_whole_stays_one_call(name):
    function, args, whole = LESS[name]
    found, seen = watched(function, *args)
    assert whole in seen
    assert not any(key.startswith(f"{whole}.") for key in seen)
    torch.testing.assert_close(found, function(*args))


EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("bij,jk->ibk", (2, 3, 4), (4, 5)),
    ("bhqd,bhkd->bhqk", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bnij,jbnd->ibnd", (2, 3, 4, 5), (5, 2, 3, 6)),
    ("ibnd,hnd->ibh", (4, 2, 3, 6), (7, 3, 6)),
    ("i,i->", (3,), (3,)),
    ("ia, aj -> ji", (2, 3), (3, 4)),
]


@pytest.mark.parametrize(("equation", "a", "b"), EQUATIONS)
def test_an_einstein_sum_is_one_product(equation, a, b):
    factors = x(*a), x(*b)
    found, seen = watched(torch.einsum, equation, *factors)
    assert seen.count("einsum.matmul") == 1
    torch.testing.assert_close(found, torch.einsum(equation, *factors), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(watched(torch.einsum, equation, list(factors))[0], found)


@pytest.mark.parametrize(
    ("equation", "a", "b"),
    [
        ("ij,kl->ik", (2, 3), (3, 4)),  # an axis summed in one factor alone
        ("...i,ij->...j", (2, 3), (3, 4)),
        ("i,j->ij", (2,), (3,)),  # nothing is summed
        ("ii,ij->j", (3, 3), (3, 4)),
        ("ij,jk", (2, 3), (3, 4)),
        ("ij,jk->ik", (2, 1), (3, 4)),  # an axis of size one that is spread
    ],
)
def test_other_einstein_sums_stay_one_call(equation, a, b):
    assert einsum((equation, x(*a), x(*b))) is None


STATEMENTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {}


def statement(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    STATEMENTS[function.__name__] = function
    return function


@statement
def added_to_a_part(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[:, :3] += b[:, :3]
    return a


@statement
def taken_from_a_part(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[1:] -= b[1:] * 2
    return a


@statement
def spread_over_a_part(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[..., 1:] += b[0, 1:]
    return a


@statement
def a_number_added(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[:, 1:] += 2.5
    return a * b


@statement
def with_a_factor(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a[:, :3].add_(b[:, :3], alpha=0.5)
    return a


@statement
def assigned_to_another_place(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    part = a[:, :3]
    part.add_(b[:, :3])
    a[:, 1:] = part
    return a


@statement
def turned_round(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone().T
    a[:3] += b.T[:3]
    return a


@statement
def twice(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    for _ in range(2):
        a[:, 1:] += b[:, 1:] * a[:, :1]
    return a


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_on_a_part_do_what_python_does(name):
    a, b = x(4, 4), x(4, 4)
    torch.testing.assert_close(watched(STATEMENTS[name], a, b)[0], STATEMENTS[name](a, b), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("name", ["added_to_a_part", "taken_from_a_part", "spread_over_a_part", "a_number_added", "twice"])
def test_an_addition_to_most_of_a_tensor_is_one_to_all_of_it(name):
    seen = watched(STATEMENTS[name], x(4, 4), x(4, 4))[1]
    assert any(key.endswith(".spread") for key in seen)
    assert "__setitem__" not in seen


def test_an_addition_to_a_row_stays_one_to_the_row():
    def one_row(a: Tensor, b: Tensor) -> Tensor:
        a = a.clone()
        a[0] += b[0]
        return a

    a, b = x(4, 4), x(4, 4)
    found, seen = watched(one_row, a, b)
    assert "__setitem__" in seen
    assert not any(key.endswith(".spread") for key in seen)
    torch.testing.assert_close(found, one_row(a, b))


def test_a_part_of_a_call_can_be_captured_and_replaced():
    module = Made(lambda a, b, c: torch.addmm(a, b, c))
    args = x(3, 4), x(3, 5), x(5, 4)
    key = ("", 0, "addmm.mm", 0)
    torch.testing.assert_close(run(module, args, {}, {key}).calls[key].out, args[1] @ args[2])


def test_the_inside_of_a_whole_attention_is_seen():
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    h = x(2, 5, 8)
    seen: list[str] = []

    def handle(key: Any, name: str, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        seen.append(name)
        return func(*args, **kwargs)

    for weights in (False, True):
        with torch.no_grad():
            want = attention(h, h, h, need_weights=weights)[0]
            with Watch(attention, handle):
                found = attention(h, h, h, need_weights=weights)[0]
        torch.testing.assert_close(found, want, rtol=1e-12, atol=1e-12)
    assert {"linear", "scaled_dot_product_attention", "softmax", "bmm"} <= set(seen)
    assert "multi_head_attention_forward" not in seen
