"""The module run again with components swapped for something else, many swaps in one forward pass."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from mainstem.find import Patch, run

from ._exchanges import Exchange
from ._pass import Pass
from ._siblings import Experts, Siblings
from ._tokens import Tokens
from ._without import BYTES, MOST, repeated, same


@dataclass(frozen=True, eq=False)
class Swap:
    """One component of an exchange. Parameters: `exchange`; `component`, its number among the siblings."""

    exchange: Exchange
    component: int


class Swaps:
    """Runs of a pass with one component each swapped.

    Several are made in one forward pass, the prompts repeated as often, with one copy left as it is. Where the module does not say of
    that copy what it says of the prompts alone (to the root of the precision), or a copy does not hold what its prompt did, they are
    made one by one.

    Parameters: `run`; `tokens`, of its prompts.
    """

    def __init__(self, run: Pass, tokens: Tokens) -> None:
        self.run, self.tokens, self.own = run, tokens, run.output()
        point = run.raw_point(len(run.stream.points) - 1)
        each = (2 * self.own.numel() + 16 * point.numel()) * point.element_size()
        self.room = max(1, min(MOST, BYTES // each))

    @torch.no_grad()
    def outputs(self, some: Sequence[Swap]) -> tuple[Tensor, Tensor]:
        """The output with each of some swaps, at most `room` of them, and the one that they are to be held against. Parameters: `some`."""
        if len(some) > 1 and self.room > 1:
            try:
                return self._together(some)
            except Exception:  # whatever the module says of repeated prompts; alone it says what is wrong, if anything is
                self.room = 1
        return torch.stack([self._run([one], self.run.args, self.run.kwargs, 1)[0] for one in some]), self.own

    def chunks(self, some: Sequence[Swap]) -> Iterator[Sequence[Swap]]:
        """Swaps as they go into one forward pass each. Parameters: `some`."""
        at = 0
        while at < len(some):
            # Rows that experts see of repeated prompts come in an order that nothing tells, so theirs are made one by one.
            plain = list(takewhile(lambda swap: not swap.exchange.siblings.target.routed, some[at : at + self.room]))
            yield (few := plain or some[at : at + 1])
            at += len(few)

    def _together(self, some: Sequence[Swap]) -> tuple[Tensor, Tensor]:
        n = len(some) + 1
        args, kwargs = (repeated(tree, self.run.prompts, n) for tree in (self.run.args, self.run.kwargs))
        control, *found = self._run([None, *some], args, kwargs, n)
        if not same(control, self.own):
            raise ValueError("the module says other things of repeated prompts.")
        return torch.stack(found), control

    def _run(self, some: Sequence[Swap | None], args: Any, kwargs: Any, copies: int) -> list[Tensor]:
        """The output of every copy of the prompts. Parameters: `some`, the swap of every copy; the inputs of them all; `copies`."""
        own, output = self.run, self.run.stream.output
        assert output is not None
        mask = self.tokens.mask
        tokens = Tokens(None if mask is None else mask.repeat(copies, 1))
        by_tensor: dict[Siblings, list[tuple[int, Swap]]] = {}
        for copy, swap in enumerate(some):
            if swap is not None:
                by_tensor.setdefault(swap.exchange.siblings, []).append((copy, swap))
        made = [Patch(one.target.site, self._swapped(one, those, tokens, copies)) for one, those in by_tensor.items()]
        patches = [*own.patches, *made]
        if own.cut is not None:
            patches.append(replace(own.cut, places=own.cut.places.repeat(copies)).patch())
        seen = run(own.module, args, kwargs, {output.key}, patches, own.map.volatile, own.double)
        return [own.shaped(own.lift(part)) for part in seen.at(output).unflatten(0, (copies, -1))]

    def _swapped(self, one: Siblings, those: list[tuple[int, Swap]], tokens: Tokens, copies: int) -> Callable[[Tensor], Tensor]:
        """The change of a tensor. A copy holds what the run did until its own swap."""
        prompts = self.run.prompts
        if isinstance(one, Experts):
            ((_, swap),) = those
            x, i = swap.exchange, swap.component
            return partial(one.swapped, at=x.at, component=i, before=x.before[:, i], after=x.after[:, i])

        def change(value: Tensor) -> Tensor:
            new = value.clone(memory_format=torch.contiguous_format)
            view = one.of(new, tokens)
            if shared := (len(view) == 1 < copies * prompts):  # one row for all prompts becomes one for each
                view = view.repeat(copies * prompts, 1, 1, 1)
            for copy, swap in those:
                at = swap.exchange.at.to(value.device)
                place = copy * prompts + at[:, 0], at[:, 1], one.which[swap.component]
                held, before = view[place[:2]][:, list(one.which)], swap.exchange.before
                if not same(held.to(self.run.dtype), before.to(self.run.dtype)):
                    raise ValueError("the module does not hold repeated prompts one behind the other.")
                view[place] = swap.exchange.after[:, swap.component].to(view.dtype)
            return view[:, :, 0].movedim(-1, one.target.axis) if shared else new

        return change
