"""Scores that bounds leave open, gathered from many pieces, so that one pass over the vocabulary works them all out."""

from dataclasses import dataclass, field
from itertools import accumulate

import torch
from torch import Tensor

from ._certify import MANY
from ._change import Change
from ._delta import log_mean
from ._reading import Normed
from ._scene import Piece, Scene
from ._survey import Survey


@dataclass(eq=False)
class Later:
    """What bounds leave open of several pieces, worked out in one pass: in float32 where that is near enough, or in float64.

    Each entry ends in where its scores go: an index, [some, 2], and the scores. Parameters: `scene`.
    """

    scene: Scene
    exact: list[tuple[Tensor, ...]] = field(default_factory=list)
    near: list[tuple[Tensor, ...]] = field(default_factory=list)

    @property
    def reading(self) -> Normed:
        """What reads points."""
        assert isinstance(self.scene.reading, Normed)
        return self.scene.reading

    def exactly(self, piece: Piece, left: Tensor, values: Tensor) -> None:
        """Notes scores for float64. Parameters: `piece`; `left`, [some, 2], places and components; `values`, where they go."""
        for pair in left.split(MANY):
            t, where, rows = piece.asked(*pair.T)
            before = self.scene.without[piece.step.write.label][where]
            self.exact.append((self.reading.normed(t, where, rows), where, before, pair, values))
            if sum(len(each[0]) for each in self.exact) >= MANY:
                self._in_float64()

    def nearly(self, at: Survey, moved: Change, left: Tensor, wanted: Tensor, values: Tensor) -> None:
        """Notes scores for float32, without their sign. Parameters: `at`, the survey of the places; `moved`, how what is read
        changes; `left` and `values`, as above; `wanted`, log E_A[exp delta] of all."""
        for pair in left.split(MANY):
            index = tuple(pair.T)
            self.near.append((at.normed, at.logsumexp, moved.rows(*index).float(), wanted[index], pair, values))
            if sum(len(each[2]) for each in self.near) >= MANY:
                self._in_float32()

    def flush(self) -> None:
        """Works all of them out."""
        self._in_float32()
        self._in_float64()

    def _in_float64(self) -> None:
        if not self.exact:
            return
        rows, where, before = (torch.cat(column) for column in list(zip(*self.exact, strict=True))[:3])
        self._put(self.exact, self.reading.unembedding.value(rows, where, self.scene.goal) - before)

    def _in_float32(self) -> None:
        if not self.near:
            return
        normed, logsumexp, moved, wanted, left, _ = zip(*self.near, strict=True)
        first = accumulate(map(len, normed), initial=0)
        at = torch.cat([pair[:, 0] + start for pair, start in zip(left, first, strict=False)])
        mean = log_mean(self.reading.unembedding, torch.cat(normed), torch.cat(logsumexp), at, torch.cat(moved))
        self._put(self.near, torch.cat(wanted) - mean)

    @staticmethod
    def _put(held: list[tuple[Tensor, ...]], found: Tensor) -> None:
        for (*_, pair, values), value in zip(held, found.split([len(each[-2]) for each in held]), strict=True):
            values[tuple(pair.T)] = value
        held.clear()
