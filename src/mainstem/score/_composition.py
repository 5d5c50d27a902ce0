"""Virtual weights: what later components read of what earlier ones add, through the stream alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, parse_label, tracked
from mainstem.stream import Matrices, Pass, carried_rows, find_write, matrices

VIA = ("query", "key", "value")


@dataclass(frozen=True, eq=False)
class Composition:
    """Composition of the heads of two writes by one input of the later ones.

    Parameters: `later` and `earlier`, labels of the writes; `via`, "query", "key" or "value"; `score`, |A B| / (|A| |B|), [later
    head, earlier head]; `baseline`, what its root mean square is with a random rotation in between; `deviations`, how many standard
    deviations of such rotations its square is off.
    """

    later: str
    earlier: str
    via: str
    score: Float[Tensor, "head head"]
    baseline: float
    deviations: Float[Tensor, "head head"]


@torch.no_grad()
def virtual_weights(run: Pass, later: str, earlier: str, key: str | None = None) -> Float[Tensor, "later earlier"]:
    """W_in of a later write times W_out of an earlier one: what each coordinate of the later reads of each of the earlier.

    The norm's gain is in W_in, less its mean where a layer norm centres; its scale is left out. What lies between the two, such as
    a post-norm, is frozen at this input, at its first place.

    Parameters: `run`, best of one token; `later` and `earlier`, labels of writes or heads; `key`, what the later one reads by:
    "query", "key" or "value" of an attention, "gate" or "up" of a gated MLP. Raises `InputError` where these have no such weights,
    or the earlier one is added after the later one reads.
    """
    into, out = _matrices(run, later), _matrices(run, earlier)
    names = list(into.reads)
    if (key is None and len(names) != 1) or (key is not None and key not in names):
        raise InputError(f"{later} reads by {', '.join(names) or 'nothing that is known'}: name one of them with key.")
    name = key or names[0]
    start = _entering(run, out)
    if start > into.points[name]:
        turned = (
            f" The later one is named first: virtual_weights({earlier!r}, {later!r})."
            if _entering(run, into) <= min(out.points.values(), default=-1)
            else ""
        )
        raise InputError(f"{earlier} is added after {later} has read the stream: take an earlier one.{turned}")
    adds = carried_rows(run, out.adds, start, into.points[name])
    return _part(into.reads[name], into, later) @ _part(adds, out, earlier).T


@torch.no_grad()
def composition(run: Pass) -> Iterator[Composition]:
    """Every pair of an earlier and a later head, by queries, keys and values apart.

    |A B|_F / (|A|_F |B|_F) with B = W_O W_V of the earlier head, A = W_O W_V of the later one by values, W_K^T W_Q by queries, W_Q^T
    W_K by keys. With a random rotation R of the stream between the two, E |A R B|^2 = |A|^2 |B|^2 / d_model whatever A and B are,
    so the baseline is d_model^-1/2; the variance of |A R B|^2 / (|A| |B|)^2 is 2 (p_A - 1/d) (p_B - 1/d) / ((d - 1) (d + 2)), with p =
    sum s^4 / (sum s^2)^2 over the singular values s. Source: Elhage et al., "A mathematical framework for transformer circuits"
    (2021), who take random matrices of the same shapes for the baseline.

    Parameters: `run`, to read weights off, best of one token. Raises `InputError` where no two heads follow each other.
    """
    heads = [made for w in run.stream.writes if (made := matrices(run, w)) and len(made.sizes) == 2 and "value" in made.reads]
    pairs = [(b, a) for b in heads for a in heads if _entering(run, a) <= min(b.points.values())]
    if not pairs:
        raise InputError("no two attentions of this model follow each other with weights that can be read.")
    for later, earlier in tracked(pairs, "pairs of attentions", len(pairs)):
        yield from _composed(run, later, earlier)


def _composed(run: Pass, later: Matrices, earlier: Matrices) -> Iterator[Composition]:
    count, width = later.sizes
    asks = {name: _by_head(rows, count, width) for name, rows in later.reads.items() if name in VIA}
    beyond = {"query": asks.get("key"), "key": asks.get("query"), "value": _by_head(later.adds, count, width)}
    values = _by_head(earlier.reads["value"], *earlier.sizes)
    for via, reads in asks.items():
        other = beyond[via]
        if other is None or via not in later.points:
            continue
        adds = carried_rows(run, earlier.adds, _entering(run, earlier), later.points[via]).to(reads.device)
        ends = _by_head(adds, *earlier.sizes)
        outer, inner = _triangle(other), _triangle(values.to(reads.device))
        between = torch.einsum("hid,gjd->hgij", reads, ends)
        whole = (outer[:, None] @ between @ inner[None].mT).flatten(2).norm(dim=-1)
        a, b = (_spread(*pair) for pair in ((outer, _triangle(reads)), (_triangle(ends), inner)))
        yield _scored((later.write.label, earlier.write.label, via), whole, a, b, adds.shape[1])


def _scored(said: tuple[str, str, str], whole: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], d: int) -> Composition:
    score = whole / (a[0][:, None] * b[0])
    variance = 2 * (a[1][:, None] - 1 / d) * (b[1] - 1 / d) / ((d - 1) * (d + 2))
    return Composition(*said, score, d**-0.5, (score.square() - 1 / d) / variance.sqrt())


def _spread(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """|left right^T| and sum s^4 / (sum s^2)^2 of its singular values s."""
    squares = torch.linalg.svdvals(left @ right.mT).square()
    return squares.sum(-1).sqrt(), squares.square().sum(-1) / squares.sum(-1).square()


def _triangle(rows: Tensor) -> Tensor:
    """R with |rows^T X| = |R X| for every X. Parameters: `rows`, [head, dim, d_model]."""
    return torch.linalg.qr(rows.mT, mode="r")[1]


def _by_head(rows: Tensor, count: int, width: int) -> Tensor:
    """[head, dim, d_model]; several heads may share one key and value."""
    each = rows.double().unflatten(0, (-1, width))
    return each.repeat_interleave(count // len(each), 0)


def _matrices(run: Pass, label: str) -> Matrices:
    write = find_write(run.stream, label)
    made = matrices(run, write)
    if made is None:
        raise InputError(f"{write.label} has no weights that can be read as rows; its kind is {write.kind}.")
    return made


def _entering(run: Pass, made: Matrices) -> int:
    return next(t for t, p in enumerate(run.stream.points) if made.write in p.writes)


def _part(rows: Tensor, made: Matrices, label: str) -> Tensor:
    """The rows of a whole write, or of the head that a label is of."""
    at = dict(parse_label(label).at)
    if not at:
        return rows
    if set(at) == {"neuron"} and len(made.sizes) == 1 and at["neuron"] < len(rows):
        return rows[at["neuron"]][None]
    if set(at) == {"head"} and len(made.sizes) == 2 and at["head"] < made.sizes[0]:
        each = rows.unflatten(0, (-1, made.sizes[1]))
        return each[at["head"] * len(each) // made.sizes[0]]
    raise InputError(f"{label} does not exist: {made.write.label} has {' x '.join(map(str, made.sizes))} coordinates.")
