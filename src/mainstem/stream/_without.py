"""The module run again with vectors taken out of the stream where they enter it; everything behind them is live."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mainstem.algebra import put, tensors
from mainstem.core import error
from mainstem.find import Patch, run

from ._pass import Pass
from ._places import Places
from ._spots import Spots

BYTES = 2**27  # what the copies of one forward pass may take, by and large
MOST = 64  # copies: more do not make a pass quicker


class Without:
    """Runs of a pass without some of its vectors.

    Several are made in one forward pass, the prompts repeated as often, with one copy left as it is. Where the module does not
    say of that copy what it says of the prompts alone (to the root of the precision), they are made one by one.

    Parameters: `run`; `sizes`, how many prompts (and positions) its stream has.
    """

    def __init__(self, run: Pass, sizes: Places) -> None:
        self.run, self.sizes, self.own = run, sizes, run.output()
        point = run.raw_point(len(run.stream.points) - 1)
        each = (2 * self.own.numel() + 16 * point.numel()) * point.element_size()
        self.room = max(1, min(MOST, BYTES // each))

    @torch.no_grad()
    def outputs(
        self, t: int, at: Int[Tensor, "place axis"], vectors: Float[Tensor, "component place d_model"]
    ) -> tuple[Float[Tensor, "component ..."], Float[Tensor, "..."]]:
        """The output without each of some vectors, and the one with all of them that it is to be held against.

        Parameters: `t`, the point that they enter at; `at`, the places that each is taken out of at once; `vectors`, what it is there.
        """
        if len(vectors) > 1 and self.room > 1:
            try:
                return self._together(t, at, vectors)
            except Exception:  # whatever the module says of repeated prompts; alone it says what is wrong, if anything is
                self.room = 1
        alone = [self._run(t, at, v[None], self.run.args, self.run.kwargs, 1)[0] for v in vectors]
        return torch.stack(alone), self.own

    def _together(self, t: int, at: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        n = len(vectors) + 1
        args, kwargs = (repeated(tree, self.run.prompts, n) for tree in (self.run.args, self.run.kwargs))
        nothing = torch.zeros_like(vectors[:1])
        control, *found = self._run(t, at, torch.cat([nothing, vectors]), args, kwargs, n)
        if not same(control, self.own):
            raise ValueError("the module says other things of repeated prompts.")
        return torch.stack(found), control

    def _run(self, t: int, at: Tensor, vectors: Tensor, args: Any, kwargs: Any, copies: int) -> list[Tensor]:
        """The output of every copy of the prompts. Parameters: as of `outputs`, a vector for every copy; the inputs of them all."""
        own, output = self.run, self.run.stream.output
        assert output is not None
        patches = [*own.patches, Patch(own.stream.points[t].site, self._taken_out(t, at, vectors))]
        if own.cut is not None:
            patches.append(replace(own.cut, places=own.cut.places.repeat(copies)).patch())
        seen = run(own.module, args, kwargs, {output.key}, patches, own.map.volatile, own.double)
        return [own.shaped(own.lift(part)) for part in seen.at(output).unflatten(0, (copies, -1))]

    def _taken_out(self, t: int, at: Tensor, vectors: Tensor) -> Callable[[Tensor], Tensor]:
        """The change of point t, of which every copy holds the same until then."""
        copies, prompts = len(vectors), self.sizes[0]
        step = torch.zeros_like(at[:1])
        step[0, 0] = prompts
        everywhere = torch.cat([at + i * step for i in range(copies)])
        spots = Spots(everywhere, (copies * prompts, *self.sizes[1:]))
        want = Spots(at, self.sizes).of(self.run.point(t))

        def change(held: Tensor) -> Tensor:
            rows = spots.of(held)
            if copies > 1 and not same(rows.to(self.run.dtype).unflatten(0, (copies, -1)), want.expand(copies, *want.shape)):
                raise ValueError("the stream does not hold repeated prompts one behind the other.")
            return spots.onto(rows - vectors.flatten(0, 1), held)

        return change


def repeated(tree: Any, prompts: int, copies: int) -> Any:
    """Inputs with every tensor that has a row for each prompt repeated. Parameters: `tree`; `prompts`; `copies`."""
    for path, tensor in list(tensors(tree)):
        if tensor.ndim and tensor.shape[0] == prompts:
            tree = put(tree, path, tensor.repeat(copies, *[1] * (tensor.ndim - 1)))
    return tree


def same(found: Tensor, want: Tensor) -> bool:
    """Whether two tensors agree to the root of the precision of the first; what cannot come cannot in both. Parameters: `found`; `want`."""
    found, want = found.nan_to_num(posinf=0, neginf=0), want.nan_to_num(posinf=0, neginf=0)
    return found.shape == want.shape and error(found, want) <= torch.finfo(found.dtype).eps ** 0.5 * float(want.abs().max())
