"""Affine maps as replays of calls that happened.

A `Program` is plain data: which calls, in order, which of their operands carry the vector, and from where. `bind` joins
it with the calls of one run and gives an `Affine`, the map frozen at that run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import Key, Path

from ._calls import Call, dig
from ._rules import rule

Vectors = Float[Tensor, "component ..."]
Vector = Float[Tensor, "..."]


@dataclass(frozen=True, slots=True)
class Wire:
    """One operand that carries: its place in the call, the step it comes from (-1 - i: the program's input i), which output."""

    operand: Path
    source: int
    output: Path = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One call to replay, with the operands that carry the vector."""

    key: Key
    wires: tuple[Wire, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """Calls that lead from one tensor to another, as data. No steps: the identity."""

    steps: tuple[Step, ...] = ()
    output: Path = ()

    def bind(self, calls: Mapping[Key, Call]) -> "Affine":
        """The affine map that this program is at one run. Parameters: `calls`, that run's calls by key."""
        return Affine(self, tuple(calls[step.key] for step in self.steps))

    def keys(self) -> tuple[Key, ...]:
        """The calls to be captured for `bind`."""
        return tuple(step.key for step in self.steps)


@dataclass(frozen=True)
class Affine:
    """(v_1, ..., v_n) -> sum_i A_i v_i + c, with every A_i and c frozen at one run. Most programs have one input."""

    program: Program
    calls: tuple[Call, ...]

    @property
    def idle(self) -> bool:
        """Whether it leaves every number as it is, whatever device it brings it to."""
        return all(call.moves for call in self.calls)

    def __call__(self, *v: Tensor) -> Tensor:
        """The frozen map: at the vectors of the run itself this is what the run computed."""
        return self._replay(v, _frozen)

    def live(self, *x: Tensor) -> Tensor:
        """The true map, nothing along the carried path frozen, at other vectors."""
        return self._replay(x, _live)

    def linear(self, vectors: Vectors, likes: tuple[Tensor, ...] = (), at: int = 0, chunk: int = 64) -> Tensor:
        """A_i v for every vector of a stack; the component axis comes first.

        Parameters: `vectors`, the stack; `likes`, a tensor of each input's shape where there are several; `at`, which
        input the vectors enter by; `chunk`, how many are pushed through at once.
        """
        if not self.program.steps:
            return vectors
        zeros = tuple(torch.zeros_like(like) for like in likes) or (torch.zeros_like(vectors[0]),)

        def push(v: Tensor) -> Tensor:
            tangents = tuple(v if i == at else torch.zeros_like(z) for i, z in enumerate(zeros))
            return torch.func.jvp(self, zeros, tangents)[1]

        return torch.vmap(push, chunk_size=chunk, randomness="same")(vectors)

    def constant(self, *likes: Tensor) -> Tensor:
        """c, the part that depends on no input. Parameters: `likes`, a tensor of each input's shape."""
        return self(*(torch.zeros_like(like) for like in likes))

    def adjoint(self, *likes: Tensor) -> Callable[[Tensor], tuple[Tensor, ...]]:
        """The transposes. Parameters: `likes`, a tensor of each input's shape. Returns g -> (A_1^T g, ..., A_n^T g)."""
        if not self.program.steps:
            return lambda g: (g,)
        pull = torch.func.vjp(self, *(torch.zeros_like(like) for like in likes))[1]
        return lambda g: pull(g)

    def _replay(self, inputs: tuple[Tensor, ...], form: Callable[[Call, Mapping[Path, Tensor]], Any]) -> Tensor:
        values: list[Any] = []
        for step, call in zip(self.program.steps, self.calls, strict=True):
            live = {w.operand: inputs[-1 - w.source] if w.source < 0 else dig(values[w.source], w.output) for w in step.wires}
            values.append(form(call, {path: _beside(call, path, value) for path, value in live.items()}))
        return dig(values[-1], self.program.output) if values else inputs[0]


def _beside(call: Call, path: Path, value: Tensor) -> Tensor:
    """A carried value where the call had its own operand: models are spread over devices."""
    operand = call.arg(path)
    return value.to(operand.device) if isinstance(operand, Tensor) and operand.device != value.device else value


def _live(call: Call, live: Mapping[Path, Tensor]) -> Any:
    return call.again(live)


def _frozen(call: Call, live: Mapping[Path, Tensor]) -> Any:
    found = rule(call.name)
    assert found is not None, f"no frozen form for {call.name}"
    return found.form(call, live)
