"""A part of one tensor of the forward pass: how it is taken out of it, and put back with something changed."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Bool
from torch import Tensor

from mainstem.algebra import Call
from mainstem.core import InputError, Site
from mainstem.find import Attention, Captured

from ._attention import factors
from ._tokens import Positions, Tokens

Kind = Literal["write", "point", "head", "edge", "neuron", "skip"]
Rows = Tensor  # [row, pos, feature]
Becomes = Callable[[Rows], Rows]


@dataclass(frozen=True)
class Target:
    """A part of one tensor of the forward pass.

    Parameters: `label`; `kind`; `site`; `axis`, that of features, or of neurons; `index`, which head or neuron; `factor`, what the
    tensor is multiplied by in the sum; `width`, how many features, 0 where only a run says; `inside`, where what the
    part is made of stands; `routed`, rows of the tensor are some of the tokens, in an order of their own; `groups`, where it says
    which expert's each is, and `expert`, the only one that is meant, None for all; of an edge, `attention` that makes the tensor, and
    `key`, which token of every prompt, or, where `beyond`, which key position of another stream.
    """

    label: str
    kind: Kind
    site: Site
    axis: int = -1
    index: int = 0
    factor: float = 1.0
    width: int = 0
    inside: tuple[Site, ...] = ()
    routed: bool = False
    groups: Site | None = None
    expert: int | None = None
    attention: Attention | None = None
    key: int = 0
    beyond: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is all of the tensor."""
        return self.kind in ("write", "point", "skip")

    @property
    def seeing(self) -> bool:
        """Whether the tensor alone does not say what is meant, but the call that it is in."""
        return self.expert is not None or self.kind == "edge"

    def covers(self, other: "Target") -> bool:
        """Whether all of another part is in this one. Parameters: `other`."""
        same = (self.site, self.index) == (other.site, other.index)
        of_head = self.kind == "head" and other.kind == "edge"
        alike = self.kind == other.kind and self.key == other.key and self.expert in (None, other.expert)
        return same and (of_head or alike)

    def part(self, value: Tensor, tokens: Tokens) -> Rows:
        """The part of the tensor, [row, pos, feature]. Parameters: `value`; `tokens`. Raises `InputError` where there is none, or no rows of tokens."""
        if self.kind == "edge":
            raise InputError(
                f"{self.label} can be zeroed or scaled: what one key position gives is a share of its head, not a tensor."
            )
        own = self._taken(value)
        return self._dense(own, tokens.seats[self.site]) if self.routed else self._laid(own, tokens)

    def there(self, value: Tensor, tokens: Tokens) -> Bool[Tensor, "row pos feature"]:
        """Where the part is at all: an expert's neuron only at tokens that are routed to it. Parameters: as of `part`."""
        if not self.routed:
            return torch.ones_like(self.part(value, tokens), dtype=torch.bool)
        return self._dense(torch.ones_like(self._taken(value)), tokens.seats[self.site]) > 0

    def changed(
        self, value: Tensor, call: Call | None = None, *, change: Becomes, positions: Positions, tokens: Tokens
    ) -> Tensor:
        """The tensor with its part changed at positions.

        Parameters: `value`; `call`, that it is in, where `seeing`; `change`, of the part as it is to what it becomes; `positions`;
        `tokens`.
        """
        own = self._taken(value)
        if self.routed:
            seats = tokens.seats.get(self.site)
            new = (
                self._of_rows(own, call, change, positions)
                if seats is None
                else self._seated(own, seats, change, positions, tokens)
            )
            return self._put(value, new)
        part = self._laid(own, tokens)
        rows, length, _ = part.shape
        mask = tokens.at(positions, rows, length, value.device)[..., None]
        if self.kind == "edge":
            assert call is not None
            edge, reads = self._edge(value, call, tokens)
            if positions is not None and bool(mask.any()) and not bool((mask[..., 0] & reads).any()):
                raise InputError(self._unread(positions, reads, tokens))
            change = partial(_exchanged, self._laid(edge, tokens), change)
        made = change(part).to(part.dtype)
        new = torch.where(mask, made, part)
        if new.shape[0] != rows:  # one row for all prompts that is changed for some of them
            return new.movedim(-1, self.axis) if self.whole else new
        turned = tokens.layout(tuple(own.shape))[2]
        new = (new.transpose(0, 1) if turned else new).reshape(own.shape)
        return new.movedim(-1, self.axis) if self.whole else self._put(value, new)

    def _laid(self, part: Tensor, tokens: Tokens) -> Rows:
        rows, length, turned = tokens.layout(tuple(part.shape))
        return (part.transpose(0, 1) if turned else part).reshape(rows, length, part.shape[-1])

    def _taken(self, value: Tensor) -> Tensor:
        if self.whole:
            return value.movedim(self.axis, -1)
        if self.kind in ("head", "edge"):
            if value.ndim != 4:
                raise InputError(
                    f"{self.label}: this attention folds heads into the batch; its heads can be read but not edited."
                )
            return value[:, self._known(value.shape[1])]
        return value.select(self.axis, self._known(value.shape[self.axis]))[..., None]

    def _dense(self, own: Tensor, seats: Any) -> Rows:
        """The neuron at its places, of its expert or of each: zero where a token is not routed there."""
        if len(own) != seats.total:
            raise InputError(f"{self.label}: this run has other rows of experts than the one that they were found in.")
        if self.expert is not None and self.expert >= seats.count:
            raise InputError(f"{self.label} does not exist: this write has {seats.count} experts, counted from 0.")
        dense: Tensor = seats.dense(own.reshape(-1, 1))
        return dense if self.expert is None else dense[..., self.expert, None]

    def _seated(self, own: Tensor, seats: Any, change: Becomes, positions: Positions, tokens: Tokens) -> Tensor:
        """The neuron changed at places, and put back into the rows of its expert."""
        part = self._dense(own, seats)
        mask = tokens.at(positions, part.shape[0], part.shape[1], own.device)[..., None]
        new = torch.where(mask, change(part).to(part.dtype), part).flatten(0, 1)
        mine = torch.ones_like(seats.experts, dtype=torch.bool) if self.expert is None else seats.experts == self.expert
        column = seats.experts if self.expert is None else torch.zeros_like(seats.experts)
        rows = seats.rows[mine]
        return own.reshape(-1).index_put((rows,), new[seats.places[mine], column[mine]]).reshape(own.shape)

    def _of_rows(self, own: Tensor, call: Call | None, change: Becomes, positions: Positions) -> Tensor:
        """The neuron in all rows, or in those of its expert."""
        if positions is not None:
            raise InputError(self._unseated("leave positions out, or"))
        part = own.reshape(-1, 1, 1)
        new = change(part).to(part.dtype)
        if self.groups is not None and self.expert is not None:
            assert call is not None
            ends = call.arg(self.groups.path)
            if self.expert >= len(ends):
                raise InputError(f"{self.label} does not exist: this write has {len(ends)} experts, counted from 0.")
            new = torch.where((experts_of(ends, own) == self.expert)[:, None, None], new, part)
        return new.reshape(own.shape)

    def check_seats(self, tokens: Tokens) -> None:
        """Raises `InputError` for an expert's neuron of which it isn't known which rows are which token's. Parameters: `tokens`."""
        if self.routed and self.site not in tokens.seats:
            raise InputError(self._unseated())

    def _unseated(self, instead: str = "") -> str:
        """That rows of experts are some tokens', in an order of their own, which a trace finds and nothing else."""
        fix = f"{instead} use it in a trace, model.trace(..., edits=...), which finds it by a run beforehand".strip()
        return f"{self.label}: which rows of an expert are which token's is not known here; {fix}."

    def _edge(self, value: Tensor, call: Call, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """What the head takes from the key position, [batch, pos, d_head], and where any head takes something, [batch, pos].

        A single head's share can be too small for a number at a place that does read the token; a mask is there for all heads.
        """
        assert self.attention is not None
        pattern, values = factors(self.attention, Captured({self.site.key: call}), call.out, len(value))
        if values.shape[2] < (seen := tokens.start + value.shape[2]) and tokens.start and value.shape[2] != values.shape[2]:
            raise InputError(
                f"{self.label}: the cache keeps {values.shape[2]} of {seen} key positions, so they are no longer counted from the "
                "beginning; give cache=False."
            )
        if self.key >= values.shape[2]:
            raise InputError(f"{self.label} does not exist: there are {values.shape[2]} key positions, counted from 0.")
        asked = Tokens() if self.beyond else tokens
        keys = asked.keys(self.key, len(value), self.label).to(value.device)[:, None, None]
        shares = pattern.take_along_dim(keys[:, None], 3)
        return shares[:, self.index] * values[:, self.index].take_along_dim(keys, 1), (shares != 0).any(1)[..., 0]

    def _unread(self, positions: tuple[int, ...], reads: Tensor, tokens: Tokens) -> str:
        """That the key position is read at none of these positions, and where it is."""
        rows, at = (reads & tokens.real(len(reads), reads.shape[1], reads.device)).nonzero().cpu().T
        found = sorted({int(i) for i in at - tokens.keys(0, len(reads), self.label).cpu()[rows]})
        together = len(found) > 2 and found[-1] - found[0] == len(found) - 1
        where = f"{found[0]} to {found[-1]}" if together else " and ".join(map(str, found)) or "no position"
        asked = ", ".join(map(str, positions))
        return f"{self.label} at {asked}: no prompt reads token {self.key} there, so nothing would change; it is read at {where}."

    def _put(self, value: Tensor, new: Tensor) -> Tensor:
        axis, new = (self.axis, new[..., 0]) if self.kind == "neuron" else (1, new)
        axis = axis % value.ndim
        return torch.cat(
            [
                value.narrow(axis, 0, self.index),
                new.unsqueeze(axis),
                value.narrow(axis, self.index + 1, value.shape[axis] - self.index - 1),
            ],
            axis,
        )

    def _known(self, count: int) -> int:
        if self.index >= count:
            raise InputError(
                f"{self.label} does not exist: this write has {count} {'neurons' if self.kind == 'neuron' else 'heads'}, counted from 0."
            )
        return self.index


def experts_of(ends: Tensor, h: Tensor) -> Tensor:
    """The expert of every row: the first whose end is beyond it. Parameters: `ends`, of the experts' rows; `h`, the rows."""
    return torch.searchsorted(ends.to(torch.long), torch.arange(h.shape[0], device=h.device), right=True)


def _exchanged(edge: Rows, change: Becomes, head: Rows) -> Rows:
    """A head with what it takes from one key position changed."""
    return head + (change(edge.to(head.dtype)) - edge.to(head.dtype))
