"""Where a tuned lens starts: the affine map that is nearest to the last point by least squares."""

import torch
from torch import Tensor

from mainstem.stream import Pass

from ._reader import face
from ._translators import Translators


class Moments:
    """Second moments of every point's face and of what lies between it and the last, summed over runs, in float64.

    Parameters: `run`, of the stream that is looked at; its own values are not counted yet.
    """

    def __init__(self, run: Pass) -> None:
        like = run.point(len(run.stream.points) - 1).double()
        points, d = len(run.stream.points) - 1, run.stream.width
        self.count = 0
        self._dtype = run.dtype
        self._outer, self._cross = like.new_zeros(points, d, d), like.new_zeros(points, d, d)
        self._sum, self._missing, self._sizes = like.new_zeros(points, d), like.new_zeros(points, d), like.new_zeros(points)

    def add(self, run: Pass, real: Tensor | None) -> None:
        """Counts a run. Parameters: `run`; `real`, [batch, pos], which are tokens, None for all."""
        last = _features(run, len(self._sum), real)
        for t in range(len(self._sum)):
            x = _features(run, t, real)
            missing = last - x
            self._outer[t] += x.mT @ x
            self._cross[t] += x.mT @ missing
            self._sum[t] += x.sum(0)
            self._missing[t] += missing.sum(0)
            self._sizes[t] += x.square().mean(1).clamp_min(torch.finfo(x.dtype).tiny).log().sum()
        self.count += len(last)

    def scales(self) -> Tensor:
        """The usual size of a feature at every point: the geometric mean over tokens, since a few are very much larger."""
        return (self._sizes / (2 * self.count)).exp().to(self._dtype)

    def solve(self) -> Translators:
        """The translators that bring every point nearest to the last, in squared distance.

        (A, b) = argmin mean |x + A x + b - x_last|^2 + r |A|^2, r the variance of a usual feature times features / tokens:
        what few tokens cannot tell stays as the logit lens has it.
        """
        matrices, shifts = [], []
        for t in range(len(self._sum)):
            mean, missing = self._sum[t] / self.count, self._missing[t] / self.count
            spread = self._outer[t] / self.count - torch.outer(mean, mean)
            both = self._cross[t] / self.count - torch.outer(mean, missing)
            a = torch.linalg.solve(spread + torch.diag(self._ridge(spread)), both).mT
            matrices.append(a)
            shifts.append(missing - a @ mean)
        return Translators(torch.stack(matrices).to(self._dtype), torch.stack(shifts).to(self._dtype))

    def _ridge(self, spread: Tensor) -> Tensor:
        variances = spread.diagonal().clamp_min(0)
        least = 1e-12 * variances.mean() + torch.finfo(spread.dtype).tiny  # where most features never change
        return (variances.median() * len(variances) / self.count + least).expand_as(variances)


def _features(run: Pass, t: int, real: Tensor | None) -> Tensor:
    """[token, d_model] of a face, in float64."""
    value = face(run, t).movedim(run.stream.points[-1].axis, -1)
    if real is not None and value.ndim == 3:
        for mask in (real, real.mT):  # some modules have positions before prompts
            if mask.shape == value.shape[:2]:
                return value[mask].double()
    return value.flatten(0, -2).double()
