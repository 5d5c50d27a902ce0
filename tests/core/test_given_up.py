"""Work that nobody waits for any more ends inside a forward pass, and leaves the module as it was."""

import threading
from typing import Any

import pytest
import torch
from torch import nn

from mainstem.core import go_on, heeding
from mainstem.find import find
from mainstem.stream import take
from mainstem.view import Superseded
from mainstem.view._turns import Turns
from stream._runs import main, mapped
from zoo import ZOO


class GaveUp(BaseException):
    pass


class Slow(nn.Module):
    """A linear map that takes its time, and counts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.map, self.calls = nn.Linear(width, width), 0
        self.reached, self.go = threading.Event(), threading.Event()
        self.go.set()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.reached.set()
        self.go.wait(20)
        return self.map(x)


class Deep(nn.Module):
    """A stream of slow blocks."""

    def __init__(self, blocks: int = 6, width: int = 8) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Slow(width) for _ in range(blocks))
        self.head = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


def test_nothing_is_checked_where_nobody_asked():
    go_on()
    with heeding(lambda: None):
        go_on()
    with pytest.raises(GaveUp), heeding(give_up):
        go_on()
    go_on()


def give_up() -> None:
    raise GaveUp


def test_other_threads_are_left_alone():
    seen: list[str] = []

    def other() -> None:
        go_on()
        seen.append("went on")

    with heeding(give_up):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == ["went on"]


@pytest.mark.parametrize("name", sorted(ZOO))
def test_given_up_at_any_call_and_the_same_numbers_after_it(name: str):
    run, found = main(name), mapped(name)
    module, how = run.module, (found, run.args, run.kwargs)
    before = take(module, *how)
    hooks, calls = len(torch.nn.modules.module._global_forward_pre_hooks), 0

    def count() -> None:
        nonlocal calls
        calls += 1

    with heeding(count):
        take(module, *how)
    for stop in {0, calls // 2, calls - 1}:
        left = stop

        def check() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise GaveUp

        with pytest.raises(GaveUp), heeding(check):
            take(module, *how)
        assert torch._C._len_torch_function_stack() == 0
        assert len(torch.nn.modules.module._global_forward_pre_hooks) == hooks
    after = take(module, *how)
    for t in range(len(before.stream.points)):
        assert torch.equal(before.raw_point(t), after.raw_point(t))


def test_a_newer_question_ends_the_older_ones_forward_pass_within_a_call():
    torch.manual_seed(0)
    module, x = Deep(), torch.randn(1, 3, 8)
    found = find(module, x)
    wanted = module(x)
    for block in module.blocks:
        block.calls = 0
    slow = module.blocks[1]
    slow.go.clear()
    slow.reached.clear()
    replies: dict[str, list[Any]] = {"old": [], "new": []}
    turns, done = Turns(), threading.Semaphore(0)

    def answer(asked: Any, turn: Any) -> Any:
        turn.say("running", 0, 1)
        return take(module, found, (x,), {}).output().tolist()

    def ask(name: str) -> None:
        turns.take(("page", "lane"), answer, {}, lambda line: replies[name].append(line) if line else done.release())

    ask("old")
    assert slow.reached.wait(20)
    ask("new")
    slow.go.set()
    assert done.acquire(timeout=20) and done.acquire(timeout=20)
    turns.close()
    assert replies["old"] == [{"progress": {"what": "running", "done": 0, "of": 1}}, {"superseded": True}]
    assert [block.calls for block in module.blocks] == [2, 2, 1, 1, 1, 1]
    assert replies["new"][-1] == {"answer": wanted.tolist()}


def test_what_is_given_up_is_no_answer_of_the_module():
    assert not issubclass(Superseded, Exception)
