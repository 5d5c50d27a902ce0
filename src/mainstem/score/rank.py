"""Rank: how many places nearer to the top the target comes as a part is added to what the stream was before it.

score(v) = rank(w | x) - rank(w | x + v), rank(w | y) how many tokens are likelier than w when y is read: 0 for the likeliest.
Of alternatives it is the rank of the likeliest. Writes and transports telescope to the rank at the entry less that at the last
point; what a write's parts miss it by is the row `interaction`.
"""

import torch
from torch import Tensor

from mainstem.core import InputError, Parts
from mainstem.stream import Pass

from ._certify import pairs
from ._goal import Goal
from ._increase import gathered, loose, opened_scene, telescoped
from ._registry import Choices, Score
from ._scene import Piece


@torch.no_grad()
def _rows(run: Pass, goal: Goal, choices: Choices) -> Parts:
    if goal.against is not None:
        raise InputError("a contrast has no rank: score one token, or alternatives, by='rank'.")
    scene = opened_scene(run, goal, choices, parts=choices.base != "last")
    reading = scene.reading
    at = dict(
        zip((s.write.label for s in scene.steps), reading.ranks([s.asked(scene.every) for s in scene.steps], goal), strict=True)
    )

    def score(piece: Piece) -> Tensor:
        found = torch.cat([reading.ranks([piece.asked(*some.T)], goal)[0] for some in pairs(piece)])
        before = at[piece.step.write.label][piece.vectors.where][:, None]
        return piece.step.sign * (before - found.reshape(piece.vectors.scale.shape))

    parts = {label: (opened, some) for label, opened, some in gathered(scene, choices.level, score)}
    said = {"by": SCORE.name, "level": choices.level, "base": scene.base, **scene.rules}
    if scene.base == "last":
        return loose([one.group(goal) for _, some in parts.values() for one in some], goal, said)
    changes, states = scene.changes()
    return telescoped(scene, changes, [-rank for rank in reading.ranks(states, goal)], parts, said)


SCORE = Score(
    "rank",
    "How many places nearer to the top the target comes when the part is added to what the stream was before it.",
    "places",
    _rows,
    ("base", "norm", "norm_bias"),
)
