"""What a module says without some of its blocks: one ablation after the other, or all of them in one pass."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mainstem.core import InputError, MapError, error
from mainstem.find import Patch, Stream, StreamMap, run

from ._behind import NORMS, Noted, live
from ._blocks import ablations, blocks_of, removal
from ._copies import Copies, runs_through
from ._pass import is_double
from ._take import cut_at

_BYTES = 2**28  # what outputs that are held at a time may take, by and large


class Unshared(Exception):
    """Why ablations cannot be made in one pass for these inputs."""


class _Reached(BaseException):
    """What ends a pass where no more of it is wanted: no handler of errors is to stop it."""


class Ablated:
    """The outputs of a module without some of its blocks, for every value of a curve, that of the whole module first.

    A block's writes are taken out where they are added; what is done to the stream between additions stays.

    Parameters: `module`; `found`, its map; `stream`; `side`, of `SIDES`; `norm`, of the readout: "own", or "final" for that frozen
    at what the whole module's last point is. Raises `InputError` for another side or rule, and for a stream without blocks or readout.
    """

    def __init__(self, module: nn.Module, found: StreamMap, stream: Stream, side: str = "tail", norm: str = "own") -> None:
        if norm not in NORMS:
            raise InputError(f"no norm rule {norm!r}; there are {', '.join(NORMS)}.")
        if stream.output is None:
            raise InputError("nothing of the module's output can be followed back to this stream, so it has no readout.")
        self.module, self.found, self.stream, self.side, self.norm = module, found, stream, side, norm
        self.blocks = blocks_of(stream)
        self.sets = ablations(side, len(self.blocks))
        self.labels = tuple(stream.points[block.last].name.rpartition(".")[0] for block in self.blocks)
        self.proved = False

    def alone(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], only: Tensor | None = None
    ) -> Iterator[tuple[int, Float[Tensor, "component ..."]]]:
        """Every ablation by a pass of its own. Parameters: `args` and `kwargs`; `only`, [batch], the one position wanted of each prompt.

        Gives the number of the first ablation of some, and their outputs.
        """
        readout: Callable[[Tensor], Tensor] | None = None
        if self.norm == "final":
            noted = self._noted()
            noted.ran(args, kwargs, only)
            readout = noted.readout("final")
        for k in range(len(self.sets)):
            yield k, self._one(k, args, kwargs, only, readout if k else None)[None]

    def shared(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], only: Tensor | None = None
    ) -> Iterator[tuple[int, Float[Tensor, "component ..."]]]:
        """All ablations in one pass: the same numbers as of `alone`, but for rounding.

        Of "tail" the module runs once and its readout is applied to the stream behind every block. Of the others copies of the prompts
        join the batch where they part from it; these are to be of one length, without a mask. The first time an ablation is
        held against the same one made alone. Parameters: as of `alone`. Raises `Unshared` where this module cannot be run so.
        """
        try:
            coming = self._together(args, kwargs, only)
            first = next(coming)
        except (InputError, MapError):
            raise
        except Exception as wrong:  # whatever the module says of such a batch; alone it says what is wrong, if anything is
            raise Unshared(f"{type(wrong).__name__}: {wrong}".strip().splitlines()[0]) from wrong
        return _joined(first, coming)

    def _together(self, args: Any, kwargs: Any, only: Tensor | None) -> Iterator[tuple[int, Tensor]]:
        noted, states, output = (self._tail if self.side == "tail" else self._copies)(args, kwargs, only)
        if not self.proved:
            self._prove(states, args, kwargs)
            self.proved = True
        read = noted.readout(self.norm)
        step = max(1, _BYTES // max(1, output.numel() * output.element_size()))
        for k in range(0, len(states), step):
            found = every(read, states[k : k + step])
            if k == 0:
                if not same(found[0], output):
                    raise ValueError("the readout that was noted is not the module's.")
                found = torch.cat([output[None], found[1:]])
            yield k, found

    @torch.no_grad()
    def _tail(self, args: Any, kwargs: Any, only: Tensor | None) -> tuple[Noted, Tensor, Tensor]:
        points, ends = self.stream.points, {0, *(b.last for b in self.blocks)}
        keys = {k for p in points[:-1] for k in (*p.face.keys(), *p.onward.keys())} | {points[t].site.key for t in ends}
        noted = self._noted(keys)
        output, double = noted.ran(args, kwargs, only), is_double(self.module)
        states = noted.captured.at(points[0].site)[None]
        for before, (t, p) in zip(points, enumerate(points[1:], 1), strict=False):
            for program in (before.face, before.onward):
                states = every(live(noted.captured, program, double).live, states) if program.steps else states
            states = states if p.factor == 1 else p.factor * states
            if t in ends:
                states = torch.cat([noted.captured.at(p.site)[None], states])
        return noted, states, output

    def _copies(self, args: Any, kwargs: Any, only: Tensor | None) -> tuple[Noted, Tensor, Tensor]:
        apart = runs_through(self.stream, self.blocks[0], self.side)
        first = self._without_first(args, kwargs) if apart else None
        copies = Copies(self.stream, self.blocks, self.side, first)
        noted = self._noted(patches=copies.patches())
        output = noted.ran(args, kwargs, only)
        return noted, copies.states, output

    def _without_first(self, args: Any, kwargs: Any) -> Tensor:
        """The point behind the first block without that block, by a pass that ends there."""
        found: list[Tensor] = []

        def reached(x: Tensor) -> Tensor:
            found.append(x.clone())
            raise _Reached

        patches = (
            *removal(self.stream, self.blocks, (0,), self.side),
            Patch(self.stream.points[self.blocks[0].last].site, reached),
        )
        with suppress(_Reached):
            run(self.module, args, kwargs, (), patches, self.found.volatile, is_double(self.module))
        return found[0]

    @torch.no_grad()
    def _prove(self, states: Tensor, args: Any, kwargs: Any) -> None:
        """Holds the last point of two ablations against what it is when they are made alone: the whole module, and one that lacks much."""
        site = self.stream.points[-1].site
        exact = self.side == "tail" and not any(p.face.steps or p.onward.steps for p in self.stream.points[:-1])
        for k in () if exact else (0, len(self.sets) - 1 if self.side == "tail" else len(self.sets) // 2):
            seen = run(self.module, args, kwargs, {site.key}, self._removal(k), self.found.volatile, is_double(self.module))
            if not same(states[k], seen.at(site)):
                raise ValueError("the module says other things of copies that run together.")

    @torch.no_grad()
    def _one(
        self, k: int, args: Any, kwargs: Any, only: Tensor | None, readout: Callable[[Tensor], Tensor] | None
    ) -> Float[Tensor, "..."]:
        output, site = self.stream.output, self.stream.points[-1].site
        assert output is not None
        cut = None if only is None else cut_at(self.stream, only, args, kwargs)
        patches = (*self._removal(k), *((cut.patch(),) if cut is not None and readout is None else ()))
        seen = run(self.module, args, kwargs, {output.key, site.key}, patches, self.found.volatile, is_double(self.module))
        return seen.at(output) if readout is None else readout(seen.at(site))

    def _removal(self, k: int) -> Any:
        return removal(self.stream, self.blocks, self.sets[k], self.side)

    def _noted(self, keys: Any = (), patches: Any = ()) -> Noted:
        return Noted(self.module, self.found, self.stream, keys, patches)


@torch.no_grad()
def every(f: Callable[[Tensor], Tensor], stack: Float[Tensor, "component ..."]) -> Float[Tensor, "component ..."]:
    """A function of each of a stack, at once where torch can. Parameters: `f`; `stack`."""
    try:
        return torch.vmap(f, randomness="same")(stack)
    except Exception:  # an operation that torch cannot batch; one by one it says what is wrong, if anything is
        return torch.stack([f(x) for x in stack])


def same(found: Tensor, want: Tensor) -> bool:
    """Whether two tensors agree to the root of the precision. Parameters: `found`; `want`."""
    if found.shape != want.shape:
        return False
    if not bool(want.isfinite().all()):
        return torch.equal(found.nan_to_num(), want.nan_to_num())
    return error(found, want) <= torch.finfo(found.dtype).eps ** 0.5 * (float(want.abs().max()) or 1.0)


def _joined(first: tuple[int, Tensor], coming: Iterator[tuple[int, Tensor]]) -> Iterator[tuple[int, Tensor]]:
    yield first
    yield from coming
