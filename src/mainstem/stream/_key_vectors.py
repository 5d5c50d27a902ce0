"""Keys as vectors: for every neuron, or dim of a value head, what it reads, as weights on the stream."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.algebra import Affine, unscaled
from mainstem.core import InputError, parse_label
from mainstem.find import Captured, Source, Subkey, Write

from ._activation import key_of, read_at, rows_of, source_of
from ._attention import heads
from ._parts import needed
from ._pass import Pass, graded
from ._places import placed

_CHUNK = 2**26  # bytes of what is pushed through at once


@dataclass(frozen=True, eq=False)
class KeyVectors:
    """The rows that a write's coordinates are switched on by: <row, x> / sigma + bias is the pre-activation, x what is read.

    Parameters: `raw`, the weights with the norm's gain folded in; `centred`, the same less its mean over features where the norm
    subtracts one (a layer norm), else the same; `bias`, the weights' own with the norm's shift through them; `activation`, the
    pre-activations of the run; `point`, what is read, as the face of this point. sigma is the norm's scale there, 1 without norm.
    """

    raw: Float[Tensor, "coordinate d_model"]
    centred: Float[Tensor, "coordinate d_model"]
    bias: Float[Tensor, "coordinate"]
    activation: Float[Tensor, "*places coordinate"]
    point: str


@graded
def key_vectors(run: Pass, label: str, key: str | None = None) -> KeyVectors:
    """The keys of all neurons of a write, or of its values: value head by value head, dim by dim.

    K_k = gain * W_k, taken off the module's own operations with the norm's scale left out.

    Parameters: `run`; `label`, of a write such as "L3.mlp" or "L3.attn"; `key`, "gate" or "up" where there are two.

    Raises `InputError` where nothing is known to switch these on, where there are several keys, or where experts are chosen.
    """
    if parse_label(label).at:
        raise InputError(f"{label} is a part: name a write, such as {parse_label(label).write}.")
    write, at, source = source_of(run, parse_label(label))
    chosen = key_of(source, label, key)
    start = read_at(run, label, chosen)
    seen = run.again({*needed(write), chosen.site.key, *chosen.program.keys()})
    pick = _Pick(run, write, at, source, chosen, seen)
    face = run.affine(run.stream.points[start].face).live(run.lift(run.raw_point(start)))
    affine = run.affine(chosen.program, seen)
    raw, centred = (_pushed(unscaled(affine, c), face, pick) for c in (False, True))
    bias = pick(affine.constant(face)[None])[0]
    return KeyVectors(raw, centred, bias, pick.everywhere(run.lift(seen.at(chosen.site))), chosen.point)


def _pushed(affine: Affine, like: Tensor, pick: "_Pick") -> Tensor:
    """Every feature of the stream at the first place by itself, through the map: the rows' columns."""
    width, found = like.shape[-1], []
    size = max(like.numel(), pick.size) * like.element_size()
    for some in torch.eye(width, dtype=like.dtype, device=like.device).split(max(1, _CHUNK // size)):
        alone = torch.zeros(len(some), *like.shape, dtype=like.dtype, device=like.device)
        for one, values in zip(alone, some, strict=True):
            placed(one, pick.run.spread)[pick.place] = values
        found.append(pick(affine.linear(alone)))
    return torch.cat(found).T.contiguous()


@dataclass(frozen=True)
class _Pick:
    """Takes the coordinates of the first place out of a stack of pre-activations."""

    run: Pass
    write: Write
    at: int
    source: Source
    key: Subkey
    seen: Captured

    @property
    def place(self) -> tuple[int, ...]:
        """Where weights are read off: they are the same everywhere."""
        return (0,) * len(self.run.spread)

    @property
    def size(self) -> int:
        """How many numbers the pre-activation holds."""
        return self.seen.at(self.key.site).numel()

    def __call__(self, stack: Tensor) -> Tensor:
        """[some, coordinate]. Parameters: `stack`, [some, ...], each of the pre-activation's shape in any layout."""
        if self.source.attention is not None:
            return stack.reshape(len(stack), *self._values().shape)[:, 0, :, 0].flatten(1)
        return stack.reshape(len(stack), -1, self.source.sizes[-1])[:, self._row()]

    def everywhere(self, value: Tensor) -> Tensor:
        """[batch, pos, coordinate] of the pre-activation itself. Parameters: `value`."""
        if self.source.attention is not None:
            return heads(value, self.run.prompts).transpose(1, 2).flatten(2)
        return placed(value, self.run.spread).flatten(len(self.run.spread))

    def _values(self) -> Tensor:
        found = heads(self.seen.at(self.key.site), self.run.prompts)
        if (found.shape[0], found.shape[2]) != self.run.spread:
            raise InputError(f"{self.write.label} does not look at the positions of a prompt as they stand.")
        return found

    def _row(self) -> int:
        rows = rows_of(self.run, self.write, self.at, self.place, self.seen)
        whole = torch.Size(self.run.spread).numel() * self.source.sizes[-1]
        if self.source.groups is not None or rows.tolist() != [0] or self.size != whole:
            raise InputError(f"{self.write.label} has experts, or rows of another order: its keys differ from place to place.")
        return 0
