"""What switches a neuron or an attention value on, as a number that the stream before it is taken apart for.

The pre-activation of neuron k at one place is a row of weights times what its block reads there: with the norm frozen,
<K_k, x> / sigma + B_k, the norm's gain folded into K_k and its shift into B_k. A value of attention is such a number too, at its
key position.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mainstem.algebra import Affine, Call, Program, Step, Wire
from mainstem.core import InputError, Key, Label, parse_label
from mainstem.find import Captured, Source, Subkey, Write

from ._aim import Aimed, transport
from ._attention import factors, heads
from ._parts import branch, fits, inside, needed, writer_map
from ._pass import Pass, find_point, find_write, graded
from ._places import Places, placed
from ._target import experts_of

_NEURON, _DIM = "neurons, such as N0", "dims of heads, such as H0.D2, and their values at a key position, such as H0<-1.D2"


@dataclass(frozen=True)
class Coordinate:
    """One coordinate that is switched on: its label, the name of its key (None where it has one), prompt and position."""

    label: str
    key: str | None
    place: Places


def keys_of(run: Pass, label: str) -> tuple[str, ...]:
    """Names of the keys of a neuron or attention dim: "key", or "gate" and "up", or "value".

    Parameters: `run`; `label`, such as "L3.mlp.N120" or "L3.attn.H7<-5.D12". Raises `InputError` where there is no such thing, or
    the module's operations do not show what switches it on.
    """
    keys = _source(run, parse_label(label))[2].keys
    for key in keys:
        read_at(run, label, key)
    return tuple(key.name for key in keys)


@graded
def activations(run: Pass, asked: Sequence[Coordinate]) -> list[Aimed]:
    """The pre-activations of coordinates, each affine in the stream: [batch], zero but for the prompt that is asked for.

    Parameters: `run`; `asked`, neurons; attention dims at a key position, whose value there it is; or attention dims alone: the
    sum of their values over key positions, weighed by the pattern. Raises `InputError` where a label does not exist, has no key
    or several, is off at this place, or reads another stream than the run's.
    """
    found = [(one, *_of(run, one)) for one in asked]
    reader = _Reader(run, run.again(_captured(found)))
    return [reader.aim(*each) for each in found]


@graded
def by_key_position(run: Pass, labels: Sequence[str], place: Places) -> list[Tensor]:
    """What every key position gives attention dims, pattern times value: [key_pos] for each.

    Parameters: `run`; `labels`, such as "L3.attn.H7.D12"; `place`, prompt and position.
    """
    found = [(one, *_of(run, one)) for one in (Coordinate(label, None, place) for label in labels)]
    reader = _Reader(run, run.again(_captured(found)))
    picked = [(reader.picked(*each), each[-1]) for each in found]
    return [run.lift(reader.seen.at(key.site)).reshape(-1)[index] * weights for (index, weights), key in picked]


def _captured(found: Sequence[tuple[Coordinate, Write, int, Source, Subkey]]) -> set[Key]:
    return {k for _, write, _, _, key in found for k in (*needed(write), key.site.key, *key.program.keys())}


def _source(run: Pass, label: Label) -> tuple[Write, int, Source]:
    write, at, source = source_of(run, label)
    axes = [axis for axis, _ in label.at]
    if source.attention is None:
        fits(label, axes in (["neuron"], ["expert", "neuron"][source.groups is None :]), _NEURON)
    else:
        fits(label, axes in (["head", "dim"], ["head", "key_pos", "dim"]), _DIM)
    return write, at, source


def source_of(run: Pass, label: Label) -> tuple[Write, int, Source]:
    """The coordinates that a label is of, if something is known to switch them on. Parameters: `run`; `label`."""
    write = find_write(run.stream, str(label))
    if write.writer is None:
        raise InputError(f"{label} does not exist: {write.label} has no parts.")
    at = branch(write, label)
    source = write.writer.sources[at]
    if not source.keys:
        raise InputError(
            f"{label} has no key: the operations of {write.label} ({write.kind}) do not make its coordinates, one by one, of numbers "
            "that are linear in the stream."
        )
    return write, at, source


def key_of(source: Source, label: str, name: str | None) -> Subkey:
    """The key of a name. Parameters: `source`; `label`, for the message; `name`, None where there is one."""
    found = [key for key in source.keys if name in (None, key.name)]
    if len(found) != 1:
        names = " and ".join(repr(key.name) for key in source.keys)
        fix = f"name one of them, key={source.keys[0].name!r}" if len(source.keys) > 1 else "leave key out"
        raise InputError(f"{label} has the keys {names}: {fix}.")
    return found[0]


def read_at(run: Pass, label: str, key: Subkey) -> int:
    """The point that a key reads. Parameters: `run`; `label`, for the message; `key`."""
    found = find_point(run.stream, key.point)
    if found is None:
        raise InputError(f"{label} reads {key.point}, a point of another stream: only what this stream holds is taken apart.")
    return found


def _of(run: Pass, asked: Coordinate) -> tuple[Write, int, Source, Subkey]:
    write, at, source = _source(run, parse_label(asked.label))
    return write, at, source, key_of(source, asked.label, asked.key)


@dataclass(frozen=True)
class _Reader:
    """Finds coordinates in what a run captured."""

    run: Pass
    seen: Captured

    def aim(self, asked: Coordinate, write: Write, at: int, source: Source, key: Subkey) -> Aimed:
        """The coordinate with the way to it from the point that its block reads."""
        run, start = self.run, read_at(self.run, asked.label, key)
        index, weights = self.picked(asked, write, at, source, key)
        own = torch.zeros(run.prompts, dtype=weights.dtype, device=weights.device)
        own[asked.place[0]] = 1
        pick = _step(lambda values: (values.reshape(-1)[index] * weights).sum() * own)
        output = pick(run.lift(self.seen.at(key.site)))
        maps = (*transport(run, start, onward=False), run.affine(key.program, self.seen), pick)
        return Aimed(self._laid(start, maps), torch.ones_like(output), output, start, name=key.name)

    def _laid(self, start: int, maps: tuple[Affine, ...]) -> tuple[Affine, ...]:
        """Points are looked at with an axis each for prompts and positions; calls made on other shapes get those."""
        raw = self.run.raw_point(start).shape
        return maps if raw == self.run.point(start).shape else (_step(lambda values: values.reshape(raw)), *maps)

    def picked(self, asked: Coordinate, write: Write, at: int, source: Source, key: Subkey) -> tuple[Tensor, Tensor]:
        """Which numbers of a pre-activation are asked for, counted through, and what each is multiplied by."""
        label = parse_label(asked.label)
        if source.attention is not None:
            return self._values(dict(label.at), source, key, asked.place)
        size = source.sizes[-1]
        neuron = inside(dict(label.at)["neuron"], size, "neuron")
        rows = rows_of(self.run, write, at, asked.place, self.seen)
        if source.groups is not None:
            ends = self.seen.at(source.groups)
            expert = inside(dict(label.at)["expert"], ends.shape[0], "expert")
            rows = rows[experts_of(ends, self.seen.at(source.site))[rows] == expert]
        if rows.numel() != 1:
            said = (
                "is off at this place: it adds nothing there"
                if not rows.numel()
                else f"stands in {rows.numel()} rows at this place"
            )
            raise InputError(f"{asked.label} {said}.")
        return rows * size + neuron, torch.ones(1, dtype=self.run.dtype, device=rows.device)

    def _values(self, at: dict[str, int], source: Source, key: Subkey, place: Places) -> tuple[Tensor, Tensor]:
        run, attention = self.run, source.attention
        values, z = heads(self.seen.at(key.site), run.prompts), heads(run.lift(self.seen.at(source.site)), run.prompts)
        if values.shape[0] != run.prompts or len(place) != 2 or z.shape[2] <= place[1]:
            raise InputError(
                "this attention does not look at the positions of a prompt, so its values have no key position to name."
            )
        assert attention is not None
        (batch, position), (_, several, length, size) = place, values.shape
        head, dim = inside(at["head"], z.shape[1], "head"), inside(at["dim"], size, "dim")
        first = (batch * several + head * several // z.shape[1]) * length
        if "key_pos" in at:
            index = torch.tensor([inside(at["key_pos"], length, "key position")], device=z.device)
            return (first + index) * size + dim, torch.ones(1, dtype=z.dtype, device=z.device)
        index = torch.arange(length, device=z.device)
        pattern, _ = factors(attention, self.seen, z, run.prompts, run.edited(source.site))
        return (first + index) * size + dim, pattern[batch, head, position]


def rows_of(run: Pass, write: Write, at: int, place: Places, seen: Captured) -> Tensor:
    """The rows of a write's coordinates that the write has at one place; an expert's are some of the stream's, in any order.

    Parameters: `run`; `write`; `at`, which of its sources; `place`; `seen`.
    """
    affine, likes = writer_map(run, write, seen)
    g = torch.zeros(run.seen.at(write.site).shape, dtype=likes[at].dtype, device=likes[at].device)
    spot = placed(g, run.spread)[place]
    spot.copy_(torch.rand(spot.shape, generator=torch.Generator().manual_seed(0)) + 0.5)
    back = affine.adjoint(*likes)(g)[at]
    return back.reshape(-1, back.shape[-1]).any(-1).nonzero()[:, 0]


def _step(func: Callable[[Tensor], Tensor]) -> Affine:
    """A linear function of one tensor as a map of its own."""
    return Affine(Program((Step(("", 0, "reshape", 0), (Wire((0,), -1),)),)), (Call("reshape", func, (None,), {}, None),))
