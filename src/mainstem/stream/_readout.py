"""The readout with nothing frozen, to be applied to other vectors than the last point."""

from collections.abc import Callable
from typing import Any

from mainstem.algebra import Affine, Call, Program, Step, Wire, dig, tensors
from mainstem.core import Key, Path
from mainstem.find import Tap, Watch

from ._pass import Pass, graded


@graded
def readout(run: Pass) -> Affine:
    """The calls that lead from the last point's face to the output, recorded in a run of their own.

    `live` of it is the model's own readout at any vector. The map's way on is not: it freezes what it does not carry, and
    of a norm that is spelled out, x * rsqrt(mean(x^2) + eps), it carries x alone.

    Parameters: `run`.
    """
    trail = _Trail(run)
    with trail.watch:
        run.module(*run.args, **run.kwargs)
    return trail.affine(run)


class _Trail(Tap):
    """Notes every call that depends on the last point's face, and which of its operands do."""

    def __init__(self, run: Pass) -> None:
        super().__init__(run.module, (), run.patches, run.map.volatile, run.double)
        self.watch = Watch(run.module, self)  # every call, since any may depend on the face
        last = run.stream.points[-1]
        self.start: tuple[Key, Path] = (
            (last.face.steps[-1].key, last.face.output) if last.face.steps else (last.site.key, last.site.path)
        )
        self.steps: list[Step] = []
        self.calls: list[Call] = []
        self.made: dict[int, tuple[int, Path]] = {}

    def __call__(self, key: Key, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        wires = tuple(Wire(path, *self.made[id(t)]) for path, t in [*tensors(args), *tensors(kwargs)] if id(t) in self.made)
        out = super().__call__(key, name, func, args, kwargs)
        if wires:
            self.made |= {id(t): (len(self.steps), path) for path, t in tensors(out)}
            self.steps.append(Step(key, wires))
            self.calls.append(Call(name, func, args, kwargs, out))
        if key == self.start[0]:
            self.kept = dig(out, self.start[1])  # alive, so that no other tensor takes its id
            self.made[id(self.kept)] = (-1, ())
        return out

    def affine(self, run: Pass) -> Affine:
        """What was noted up to the output, in the precision of the algebra. Parameters: `run`."""
        end = run.stream.output
        assert end is not None
        n = next((i for i, step in enumerate(self.steps, 1) if step.key == end.key), 0)
        return Affine(Program(tuple(self.steps[:n]), end.path), tuple(map(run.raised, self.calls[:n])))
