"""Where one number of the stream comes from: every part before it, channel by channel."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, bound
from mainstem.stream import Aimed, Pass, Row, Sweep, graded, pull, rows, transport


@dataclass(frozen=True, eq=False)
class Origin:
    """What one part of the stream gives a number: its label and kind, the point it enters at, and its channels' shares, which sum to its own.

    Parameters: `label`; `kind`; `point`; `channels`.
    """

    label: str
    kind: str
    point: str
    channels: Float[Tensor, " channel"]


@dataclass(frozen=True, eq=False)
class Backtrack:
    """A number of the stream with the parts that it is a sum of.

    Parameters: `value`, as the next block reads it; `place`, where in the image; `origins`; `error` and `bound`, of their sum.
    """

    value: float
    place: tuple[int, ...]
    origins: tuple[Origin, ...]
    error: float
    bound: float


@graded
def backtrack(run: Pass, point: int, channel: int) -> Backtrack:
    """A channel where it is largest, taken apart through blocks and shortcuts: every write before it, by the channels that it wrote.

    x_t[c, p] = sum over parts u and channels d of sum_q (d x_t[c, p] / d u[d, q]) u[d, q], what lies between frozen at this input:
    rectifiers at where they were open, shortcuts as they are. Within a stage whose shortcut is the identity only channel c itself leads on.

    Parameters: `run`, of one image; `point`, its index; `channel`. Raises `InputError` for a channel there is not, or several images.
    """
    face = run.face(point)
    if run.prompts != 1 or face.ndim < 3:
        raise InputError("a channel is followed back for one image at a time, in a stream that has channels.")
    if not 0 <= channel < face.shape[1]:
        name, most = run.stream.points[point].name, face.shape[1] - 1
        raise InputError(f"there is no channel {channel} at {name}: there are 0 to {most}.")
    at = int(face[0, channel].argmax())
    place = tuple(int(i) for i in torch.unravel_index(torch.tensor(at), face.shape[2:]))
    one = torch.zeros_like(face)
    one[(0, channel, *place)] = 1
    name = run.stream.points[point].name
    aim = Aimed(transport(run, point, onward=False), one, face, point, name=name)
    sweep = pull(run, aim)
    found = tuple(_origin(run, sweep, row, point) for row in rows(run, aim=aim))
    value = float(face[(0, channel, *place)])
    parts = torch.cat([o.channels for o in found])
    error = abs(float(parts.sum()) - value)
    return Backtrack(value, place, found, error, bound(run.dtype, parts.abs().sum()))


def _origin(run: Pass, sweep: Sweep, row: Row, point: int) -> Origin:
    direction = next((g for name, _, g in sweep.constants if name == row.label), None)
    direction = sweep.at[row.start] if direction is None else direction
    shares = (direction.double() * row.vector.double())[0].flatten(1).sum(1)
    return Origin(row.label, row.kind, run.stream.points[min(row.start, point)].name, shares)
