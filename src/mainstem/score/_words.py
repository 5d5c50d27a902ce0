"""First and last words: the tokens that a vector in the stream raises most and least."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from mainstem.core import InputError, parse_label
from mainstem.stream import Pass, find_point, find_write, graded, needed, spot, subvector, unembed

OF = ("write", "row")
Place = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Words:
    """Token ids with the change of their logits, [component, word]: the most raised first, the most lowered first."""

    first: Tensor
    first_logits: Tensor
    last: Tensor
    last_logits: Tensor


@graded
def words(run: Pass, labels: Sequence[str], place: Place, first: int = 10, last: int = 10, of: str = "write") -> Words:
    """The tokens whose logits components raise and lower most at one place.

    A component's vector is carried to the logits through everything after it, frozen at this input: A v. Source: Geva et
    al., arXiv 2203.14680, there of the rows of weights alone, without the final norm's scale and what lies in between.

    Parameters: `run`; `labels`, of writes, heads, neurons, points; `place`, prompt and position; `first` and `last`, how many
    words at each end; `of`, "write" for what a component adds here, "row" for its row of weights, whatever its coefficient.
    """
    return ends(values(run, labels, place, of), first, last)


def ends(logits: Tensor, first: int, last: int) -> Words:
    """The highest and the lowest numbers of every row, and where they are. Parameters: `logits`; `first`; `last`, how many."""
    most = logits.shape[-1]
    high, low = logits.topk(min(first, most)), logits.topk(min(last, most), largest=False)
    return Words(high.indices, high.values, low.indices, low.values)


@graded
def values(run: Pass, labels: Sequence[str], place: Place, of: str = "write") -> Tensor:
    """Before-softmax values of components at one place, [component, vocab]. Parameters: as of `words`."""
    here, rows, starts = spot(run, place), [], []
    for start, vector in vectors(run, labels, of):
        rows.append(here.of(vector)[0])
        starts.append(start)
    return unembed(run, rows, starts, place)


def vectors(run: Pass, labels: Iterable[str], of: str = "write") -> Iterator[tuple[int, Tensor]]:
    """Components one by one: the point that each enters at, and what it adds there, of the stream's shape.

    Parameters: `run`; `labels`; `of`, as of `words`. Raises `InputError` for what does not exist or has no row.
    """
    if of not in OF:
        raise InputError(f"words are of {' or '.join(map(repr, OF))}, not of {of!r}.")
    labels = list(labels)
    writes = {label: find_write(run.stream, label) for label in labels if find_point(run.stream, label) is None}
    inner = [write for label, write in writes.items() if parse_label(label) != parse_label(write.label)]
    seen = run.again({key for write in inner for key in needed(write)})
    for label in labels:
        at = find_point(run.stream, label)
        if of == "row" and (at is not None or not parse_label(label).at):
            raise InputError(
                f"{label} has no row of its own: name a neuron, such as L0.mlp.N0, or a dim of a head, such as L0.attn.H0.D0."
            )
        if at is not None:
            yield at, run.point(at)
            continue
        write, parsed = writes[label], parse_label(label)
        t = next(t for t, p in enumerate(run.stream.points) if write in p.writes)
        whole = parsed.write == write.label and not parsed.at
        value = run.write(write) if whole else subvector(run, write, parsed, seen, of == "row")
        yield t, value.expand_as(run.point(t))


@graded
def component(run: Pass, label: str, of: str = "write") -> Tensor:
    """What a component adds to the stream, of the stream's shape: a write, a head, an edge, a neuron.

    Parameters: `run`; `label`, such as "L3.attn", "L3.attn.bias", "L3.attn.H7", "L3.attn.H7<-5", "L3.mlp.N120"; `of`, "row" for
    what it would add with a coefficient of one.
    """
    ((_, vector),) = vectors(run, [label], of)
    return vector
