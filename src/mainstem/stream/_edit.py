"""Edits of a forward pass as values: printable, picklable, added with `+`. Each is a change of one operand of one addition."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from itertools import combinations
from sys import float_info

import torch
from torch import Tensor

from mainstem.algebra import tensors
from mainstem.core import InputError, parse_label
from mainstem.find import Patch, StreamMap

from ._changes import Change, Made, Scale, Steer, WithoutSkip, Zero, ZeroDims
from ._pass import Pass
from ._targets import block_range
from ._tokens import Positions, Tokens


@dataclass(frozen=True, slots=True)
class Edit:
    """Changes to make in one forward pass, in order. Made by `zero`, `scale`, `steer`, `mean`, `patch` and their like, joined with `+`.

    Parameters: `changes`.
    """

    changes: tuple[Change, ...] = ()

    def __add__(self, other: "Edit") -> "Edit":
        if not isinstance(other, Edit):
            raise InputError(f"an edit is added to an edit, not to {type(other).__name__}.")
        return Edit(self.changes + other.changes)

    def __radd__(self, other: object) -> "Edit":
        if other == 0:  # what `sum` begins with
            return self
        raise InputError(f"an edit is added to an edit, not to {type(other).__name__}.")

    def digest(self) -> str:
        """The sha256 of all that the edit says, numbers included: two edits with the same one change a model alike."""
        found = sha256()
        for change in self.changes:
            found.update(f"{type(change).__name__} {change}\n".encode())
            for field in fields(change):  # type: ignore[arg-type]
                for path, tensor in tensors(getattr(change, field.name)):
                    found.update(f"{field.name} {path} {tuple(tensor.shape)}\n".encode())
                    found.update(tensor.detach().cpu().double().numpy().tobytes())
        return found.hexdigest()

    def __str__(self) -> str:
        return " + ".join(map(str, self.changes)) or "no edit"


def zero(*labels: str, positions: int | Sequence[int] | None = None, along: Tensor | None = None) -> Edit:
    """An edit that takes components out of the stream: writes, heads, neurons, parts of the entry, blocks, or whole points.

    What a head takes from one key position is an edge, p_ij v_j W_O: it is taken out of the head's sum over key positions, the pattern
    stays. Where a norm stands behind the heads, it is live. Parameters: `labels`, such as "L3.mlp", "L3.attn.H7", "L3.attn.H7<-5" (what it
    takes from token 5 of every prompt), "L3.mlp.N120", "L3.mlp.E4.N120" (of expert 4; "L3.mlp.N120" is that of every expert),
    "entry.pos", "L3.resid_post", "L3" for all writes of a block, "L3-L5" for those of several; `positions`, tokens of every prompt counted from 0 or back from -1, None for all; `along`,
    directions [d_model] or [direction, d_model], or a `Direction`: only what lies in their span is taken out.

    Returns the edit; it is checked against a model when it is used: there it raises `InputError` for what the model does not have, for
    a key position that none of the positions reads in any prompt, as no causal head reads a later token, and in a model's own `generate`
    for positions of an expert's neurons: which of its rows is which token's, only a run that is made beforehand tells. A token that is not routed to the
    expert has nothing there to change. Raises `InputError` for text that is no label.
    """
    if along is not None:
        return scale(*labels, by=0.0, positions=positions, along=along)
    return Edit(tuple(Zero(label, places(positions)) for label in named(labels, "zero")))


def scale(*labels: str, by: float, positions: int | Sequence[int] | None = None, along: Tensor | None = None) -> Edit:
    """An edit that multiplies components or points by a number: above 1 they are amplified, below 0 turned round.

    With P onto the span of directions, x + (by - 1) P x.

    Parameters: `labels` and `positions`, as of `zero`; `by`; `along`, directions [d_model] or [direction, d_model], which need not be
    orthogonal: only what lies in their span is multiplied.

    Returns the edit. Raises `InputError` for a factor that is no number and for directions that span nothing.
    """
    span = None if along is None else _span(along)
    return Edit(tuple(Scale(label, _number(by, "by"), places(positions), span) for label in named(labels, "scale")))


def steer(vector: Tensor, at: str, by: float = 1.0, positions: int | Sequence[int] | None = None) -> Edit:
    """An edit that adds a vector to the stream at a point, or to a write, a head or a neuron: x + by v. Gradients reach the vector.

    Parameters: `vector`, [d_model], or a `Direction`; `at`, a label, such as "L5.resid_post"; `by`; `positions`, as of `zero`.

    Returns the edit. Raises `InputError` for a vector that is not one row of numbers.
    """
    try:
        made = torch.as_tensor(getattr(vector, "vector", vector))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"a vector to steer with is one row of numbers, not {type(vector).__name__}.") from error
    if made.is_complex():
        raise InputError("a vector to steer with is one row of real numbers, not of complex ones.")
    made = made if made.is_floating_point() else made.float()
    if made.ndim != 1 or not bool(made.isfinite().all()):
        raise InputError(
            f"a vector to steer with is one row of numbers, not of shape {tuple(made.shape)}, and none is NaN or infinite."
        )
    return Edit((Steer(named((at,), "steer")[0], made, _number(by, "by"), places(positions)),))


def without_skip(*labels: str) -> Edit:
    """An edit that takes away what the stream carries past a block: x + f(x) becomes f(x).

    Parameters: `labels`, a write's ("L3.attn"), for the addition that it enters, a block's ("L3") or several blocks' ("L3-L5"), for every
    addition of it.

    Returns the edit. Raises `InputError` for text that is no label.
    """
    return Edit(tuple(WithoutSkip(label) for label in named(labels, "take the skip from")))


def zero_dims(*dims: int, at: str | Sequence[str] = ()) -> Edit:
    """An edit that takes features out of the stream itself: x_i = 0 at points, for features i, or channels of an image.

    At every point, nothing that a write adds to these features is read by anything, the readout included.

    Parameters: `dims`, counted from 0; `at`, a point's label or several, such as "L3.resid_post", none for every point of the main
    stream.

    Returns the edit; it is checked against a model when it is used: it raises `InputError` there for a feature or a point that there is
    not, and at a point behind which a norm stands before anything reads, since no feature of that is one of the sum. Raises
    `InputError` for no dims and for such as are no whole numbers from 0.
    """
    if not dims or any(not isinstance(i, int) or isinstance(i, bool) or i < 0 for i in dims):
        raise InputError(f"name features, whole numbers from 0, such as mainstem.zero_dims(3, 17), not {dims!r}.")
    points = (at,) if isinstance(at, str) else tuple(at)
    return Edit((ZeroDims(tuple(dict.fromkeys(dims)), tuple(str(parse_label(label)) for label in points)),))


def patches(found: StreamMap, edit: Edit | None, tokens: Mapping[str, Tokens] | None = None) -> tuple[Patch, ...]:
    """The edit as replacements of tensors in this module's forward pass.

    Parameters: `found`, the map; `edit`; `tokens`, the real ones of every stream by its name, where positions are asked for. Raises
    `InputError` where a label does not exist in this model, and for changes of which one undoes another.
    """
    made = [(change, one) for change in (edit.changes if edit else ()) for one in change.made(found, dict(tokens or {}))]
    for (first, one), (second, two) in combinations(made, 2):
        gone = _undone(one, two) or _of_nothing(first, second, one, two) or _swallowed(one, two) or _swallowed(two, one)
        if _twice(one, two) or (gone and first != second):
            raise InputError(
                f"two edits of {two.target.label} contradict each other: {first}, and {second}. Leave one of them out."
            )
    return tuple(one.patch for _, one in made)


def check_finite(run: Pass, edit: Edit, tokens: Tokens) -> None:
    """Raises `InputError` where the last point of an edited run holds no numbers. Parameters: `run`; `edit`; `tokens`, of the stream."""
    last = run.point(len(run.stream.points) - 1).detach()
    known = tokens.mask is not None and last.shape[:2] == tokens.mask.shape
    if not bool((last[tokens.mask.bool().to(last.device)] if known and tokens.mask is not None else last).isfinite().all()):
        raise InputError(
            f"with {edit} the stream holds numbers that are none (NaN or inf), too large for {str(run.raw_point(0).dtype)[6:]}. "
            "Make the edit smaller."
        )


def _undone(one: Made, two: Made) -> bool:
    """Whether nothing is left of the first change behind the second."""
    return two.sets and two.target.covers(one.target) and _meet(one.positions, two.positions)


def _of_nothing(first: Change, second: Change, one: Made, two: Made) -> bool:
    """Whether the second multiplies what the first made zero."""
    both = isinstance(first, Zero) and isinstance(second, Scale)
    return both and one.target.covers(two.target) and _meet(one.positions, two.positions)


def _twice(one: Made, two: Made) -> bool:
    """Whether a share of a head is changed with the head, or again: each is a change of what the model itself makes."""
    edges = "edge" in (one.target.kind, two.target.kind)
    return edges and (one.target.covers(two.target) or two.target.covers(one.target)) and _meet(one.positions, two.positions)


def _swallowed(inner: Made, outer: Made) -> bool:
    """Whether the first changes what the second, which sets all that it is made into, leaves nothing of."""
    return outer.sets and inner.target.site in outer.target.inside and _meet(inner.positions, outer.positions)


def _meet(one: Positions, two: Positions) -> bool:
    return one is None or two is None or bool(set(one) & set(two))


def named(labels: Sequence[str], what: str) -> list[str]:
    """Labels as they are written out. Parameters: `labels`; `what`, is done to them. Raises `InputError` for none, and for other text."""
    if not labels or not all(isinstance(label, str) for label in labels):
        raise InputError(
            f'name what to {what}, such as "L3.mlp", not {labels!r}.' if labels else f'name what to {what}, such as "L3.mlp".'
        )
    return [label if block_range(label)[0] is not None else str(parse_label(label)) for label in labels]


def places(positions: int | Sequence[int] | None) -> Positions:
    """Positions as a tuple. Parameters: `positions`. Raises `InputError` for such as are no whole numbers."""
    if positions is None:
        return None
    some = tuple(positions) if isinstance(positions, Iterable) else (positions,)
    if not some or any(not isinstance(i, int) or isinstance(i, bool) for i in some):
        raise InputError(f"positions are whole numbers, from 0 or back from -1, not {positions!r}.")
    return tuple(dict.fromkeys(some))


def _number(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= float_info.max:
        raise InputError(f"{name} is a finite number, not {value!r}.")
    return float(value)


def _span(along: Tensor) -> Tensor:
    """An orthonormal basis [direction, d_model] of what directions span. Parameters: `along`."""
    rows = torch.atleast_2d(torch.as_tensor(getattr(along, "vector", along)))
    rows = rows if rows.is_floating_point() else rows.float()
    if rows.ndim != 2 or not bool(rows.isfinite().all()) or not bool((rows != 0).any()):
        raise InputError(f"directions are rows of numbers that are not all zero, not of shape {tuple(rows.shape)}.")
    _, sizes, basis = torch.linalg.svd(rows.double(), full_matrices=False)
    return basis[sizes > sizes[0] * max(rows.shape) * torch.finfo(rows.dtype).eps]
