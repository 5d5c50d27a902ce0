"""Directions that a model has by itself: of tokens, neurons and heads; and those that data gives it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Label, parse_label, tracked
from mainstem.measure import principal, signed
from mainstem.score import component, unembedding
from mainstem.stream import Matrices, find_write, matrices

from ._direction import Direction

if TYPE_CHECKING:
    from mainstem.models import Loaded

    from ._trace import Trace

SIDES, ENDS = ("unembedding", "embedding"), ("writes", "reads")


class Directed:
    """The part of a model that names directions of its stream."""

    if TYPE_CHECKING:
        loaded: Loaded

        @property
        def name(self) -> str: ...
        def trace(self, data: Any) -> Trace: ...
        def _traced(self, data: Any) -> Trace: ...

    def direction(
        self, of: str | int, against: str | int | None = None, side: str = "unembedding", end: str = "writes"
    ) -> Direction:
        """The direction of a token, of the difference of two, of a neuron or of a head.

        A token's is its row of the unembedding as the module holds it, the final norm's gain left out; or of the embedding, as it
        enters the stream. A neuron's is the row that it adds. A head's is a leading singular vector of O V = sum_i s_i u_i v_i^T, with the
        norm's gain: u_0, which it writes, or v_0, which it reads.

        Parameters: `of`, a token's text or id, or a label such as "L3.mlp.N120" or "L3.attn.H7"; `against`, a token whose row is taken
        off; `side`, "unembedding" or "embedding", of tokens; `end`, "writes" or "reads", of heads. Raises `InputError` for what does not
        exist or has no such row.
        """
        if side not in SIDES or end not in ENDS:
            raise InputError(f"side is {' or '.join(SIDES)}, end is {' or '.join(ENDS)}: not {side!r}, {end!r}.")
        trace = self._traced(None)
        label = _inside(trace, of) if isinstance(of, str) and against is None else None
        return self._token(trace, of, against, side) if label is None else self._part(trace, label, end)

    def _part(self, trace: "Trace", label: Label, end: str) -> Direction:
        vector, about = _head(trace, label, end) if label.at[-1][0] == "head" else _row(trace, label)
        return Direction(vector.double(), str(label), "", self.name, about)

    def _named(self, of: str, end: str = "writes") -> Direction:
        """The direction of a part of a write, never of a token. Parameters: `of`, its label; `end`."""
        trace = self._traced(None)
        label = _inside(trace, of)
        if label is None:
            raise InputError(f"there is no neuron or head {of!r}: labels look like L3.mlp.N120 or L3.attn.H2.")
        return self._part(trace, label, end)

    def _token(self, trace: "Trace", of: str | int, against: str | int | None, side: str) -> Direction:
        ids = [trace.index(one) for one in (of, against) if one is not None]
        rows = [self._embedded(i) if side == "embedding" else unembedding(trace.run)[0][i] for i in ids]
        vector = rows[0].double() - (rows[1].double() if len(rows) == 2 else 0.0)
        words = [trace.word(i) for i in ids]
        said = f"{side} row of {words[0]!r}" + (f" less that of {words[1]!r}" if len(ids) == 2 else "")
        return Direction(vector.detach().clone(), " - ".join(words), "", self.name, said)

    def _embedded(self, token: int) -> Tensor:
        """What a token's embedding adds to the stream."""
        trace = self.trace([token])
        found = [w.label for w in trace.stream.entry if w.label.endswith("entry.embed")]
        if not found:
            raise InputError("this model's entry has no embedding of tokens that is a part of its stream by itself.")
        return component(trace.run, found[0])[0, 0]

    def principal(
        self, texts: Sequence[str], point: str, k: int = 30, standardised: bool = False, first: bool = False
    ) -> list[Direction]:
        """The principal directions of the stream at one point over all tokens of some texts, those of most variance first.

        Parameters: `texts`; `point`, a label; `k`, the most directions; `standardised`, whether every coordinate is divided by its own
        deviation before (`mainstem.measure.principal`); `first`, whether first positions count, which in many models are far off all
        others. Raises `InputError` for too few tokens.
        """
        rows = torch.cat(list(self._rows(texts, point, first)) or [torch.zeros(0, 1)])
        return along_data(rows, (len(texts), point, self.name), k, standardised)

    def _rows(self, texts: Sequence[str], point: str, first: bool) -> Iterator[Tensor]:
        for text in tracked(texts, "texts traced", len(texts)):
            yield self.trace(text).point(point)[0, 0 if first else 1 :]


def along_data(rows: Float[Tensor, "row d_model"], of: tuple[int, str, str], k: int, standardised: bool) -> list[Direction]:
    """Principal directions with their names. Parameters: `rows`; `of`, how many texts, the point, the model; `k`; `standardised`."""
    texts, point, model = of
    found = principal(rows.cpu(), k, standardised)
    said = f"{found.count} tokens of {texts} texts at {point}{', standardised' if standardised else ''}"
    return [
        Direction(vector, f"PC {i + 1}", point, model, f"{100 * share:.2f}% of the variance of {said}")
        for i, (vector, share) in enumerate(zip(found.directions, found.shares.tolist(), strict=True))
    ]


def _inside(trace: "Trace", text: str) -> Label | None:
    """The label of a part of a write, None for a text that is none: that is a token."""
    try:
        label = parse_label(text)
    except InputError:
        return None
    return label if label.at and any(label.write == w.label for w in trace.stream.writes) else None


def _row(trace: "Trace", label: Label) -> tuple[Tensor, str]:
    row = component(trace.run, str(label), "row")[0, 0]
    return row.detach().clone(), f"what {label} adds with a coefficient of 1"


def _head(trace: "Trace", label: Label, end: str) -> tuple[Tensor, str]:
    write, head = find_write(trace.stream, label.write), label.at[-1][1]
    made = matrices(trace.run, write)
    if made is None or "value" not in made.reads or len(made.sizes) != 2:
        raise InputError(f"{write.label} has no values and outputs that can be read as rows.")
    if not head < made.sizes[0]:
        raise InputError(f"there is no head {head}: {write.label} has {made.sizes[0]}, counted from 0.")
    writes, reads, share = leading_pair(*_rows_of(made, head))
    return (writes if end == "writes" else reads), f"what {label} {end} most: {share:.3f} of the squares of its O V"


def _rows_of(made: Matrices, head: int) -> tuple[Tensor, Tensor]:
    """What a head's dims add, and what they read; several heads may share their values."""
    adds, reads = (rows.double().unflatten(0, (-1, made.sizes[1])) for rows in (made.adds, made.reads["value"]))
    return adds[head], reads[head * len(reads) // made.sizes[0]]


def leading_pair(
    adds: Float[Tensor, "dim d_model"], reads: Float[Tensor, "dim d_model"]
) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"], float]:
    """u_0 and v_0 of adds^T reads = sum_i s_i u_i v_i^T, and s_0^2 / sum_i s_i^2; u_0's largest coordinate is positive.

    Parameters: `adds` and `reads`, rows.
    """
    q, r = torch.linalg.qr(adds.mT)
    left, sizes, right = torch.linalg.svd(r @ reads, full_matrices=False)
    u = q @ left[:, 0]
    sign = 1.0 if torch.equal(signed(u[None])[0], u) else -1.0
    return sign * u, sign * right[0], float(sizes[0] ** 2 / sizes.square().sum())
