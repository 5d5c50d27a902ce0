"""One attention head as users look at it: what it takes from every source token, what it reads there and writes here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError
from mainstem.find import Write
from mainstem.models import Inputs, Loaded
from mainstem.score import ends, likeliest, vectors, words
from mainstem.stream import Head, Pass, find_write, head_of, spot, through_head, unembed

from ._fitted import fitted
from ._result import Result
from ._target import Target, TokenSequence
from ._words import Worded, WordsResult


@dataclass(frozen=True, eq=False)
class HeadResult:
    """What one head does at one position, source token by source token.

    Parameters: `model`, its name; `label` of the head; `target`, what was scored, in words; `by`, the score; `prompt`, its
    number; `position`, that is written to; `tokens`, the pieces of the prompt; `sources`, the key positions; `scores`, of
    each source; `pattern`, what the head takes of each, the row of its pattern; `reads`, for each source the words that the
    stream says there, `raises` and `lowers` those that the head's write from there raises and lowers most.
    """

    model: str
    label: str
    target: str
    by: str
    prompt: int
    position: int
    tokens: tuple[str, ...]
    sources: tuple[int, ...]
    scores: Float[Tensor, "key_pos"]
    pattern: Float[Tensor, "key_pos"]
    reads: tuple[tuple[str, ...], ...]
    raises: tuple[tuple[str, ...], ...]
    lowers: tuple[tuple[str, ...], ...]

    @property
    def whole(self) -> float:
        """The sum over the sources: by "dla" the head's own score."""
        return float(self.scores.sum())

    def frame(self) -> Any:
        """A tidy polars frame, a row a source: model, target, by, prompt, position, component, write, layer, head, key_pos, token,
        value, pattern, and lists of words: reads, raises, lowers."""
        import polars as pl

        from ._frame import coordinates

        about = {"model": self.model, "target": self.target, "by": self.by, "prompt": self.prompt, "position": self.position}
        numbers = zip(self.sources, self.scores.tolist(), self.pattern.tolist(), strict=True)
        rows = []
        for (j, value, weight), *said in zip(numbers, self.reads, self.raises, self.lowers, strict=True):
            at = coordinates(f"{self.label}<-{j}")
            where = {name: at[name] for name in ("component", "write", "layer", "head", "key_pos")}
            words = dict(zip(("reads", "raises", "lowers"), map(list, said), strict=True))
            rows.append({**about, **where, "token": self._token(j), "value": value, "pattern": weight, **words})
        lists = dict.fromkeys(("reads", "raises", "lowers"), pl.List(pl.String))
        return pl.DataFrame(rows, schema_overrides={"token": pl.String, **lists})

    def _token(self, position: int) -> str | None:
        return self.tokens[position] if position < len(self.tokens) else None

    def __repr__(self) -> str:
        head = f"{self.label} at token {self.position}, {self.target} by {self.by}: {self.whole:+.4f}"
        strongest = self.scores.abs().argsort(descending=True)[:8].tolist()
        return "\n".join([head, *(self._line(i) for i in strongest)])

    def _line(self, i: int) -> str:
        j, value, weight = self.sources[i], float(self.scores[i]), float(self.pattern[i])
        said = f"reads {_list(self.reads[i])}, raises {_list(self.raises[i])}" if self.raises[i] else ""
        return f"  <-{j:<4} {self._token(j) or ''!r:<14} {value:+.4f}  {weight:.3f}  {said}".rstrip()


def _list(said: tuple[str, ...]) -> str:
    return " ".join(map(repr, said[:3]))


class Headed(Worded):
    """What a trace says of single attention heads."""

    if TYPE_CHECKING:
        _inputs: Inputs
        _positions: int | str | None

        def __init__(self, loaded: Loaded, run: Pass, inputs: Inputs, positions: int | str | None = None) -> None: ...

        @property
        def _dot(self) -> str: ...

        def _layer(self, layer: int) -> int: ...

        def scores(
            self, target: Target = None, level: str = "write", by: str = "dla", positions: int | str | None = None
        ) -> Any: ...

    def head(
        self,
        layer: int,
        head: int,
        target: Target = None,
        by: str = "dla",
        k: int = 5,
        top: int = 10,
        prompt: int = 0,
        position: int | None = None,
        kind: str = "attn",
    ) -> HeadResult:
        """One head at one position: for every source token its score, its weight in the pattern, and what is read and written.

        The write from source j is alpha_j (W_V n(x_j) + b_V) W_O, its words those of `words`; the words that are read are what
        the logit lens says of x_j, the point that the head reads. By "dla" the scores sum to the head's. Source: Yu & Ananiadou,
        arXiv 2312.12141, who score position and head alike and read both ends in words, without the values' bias.

        Parameters: `layer`; `head`; `target` and `by`, as of `scores`; `k`, how many words; `top`, for how many sources, those
        with the scores of largest size; `prompt`; `position`, that is written to, the trace's own by default, or else the mask token
        or the last real one; `kind`, "attn" or "cross". Raises `InputError` where the write has no heads or was edited inside.
        """
        place = self._place(prompt, position)[1]
        if len(place) != 2:
            raise InputError('this model\'s output has no positions to see a head at: take scores(level="edge").')
        edges, whole = self._edges(target, by, prompt, position), self._spots("all")[0].run
        return self._seen(whole, layer, head, kind, edges, by, k, top, place)

    def _edges(self, target: Target, by: str, prompt: int, position: int | None) -> Result:
        """The scores of every head and key position. Parameters: as of `head`."""
        if isinstance(target, TokenSequence):
            raise InputError("a head is looked at at one position: name one token, not a sequence.")
        one = self if self._positions != "all" else type(self)(self._loaded, self.run, self._inputs)
        found = one.scores(target, "edge", by, position)
        assert isinstance(found, Result)
        return found.prompt(prompt)

    @fitted
    def _seen(
        self, run: Pass, layer: int, head: int, kind: str, edges: Result, by: str, k: int, top: int, place: tuple[int, ...]
    ) -> HeadResult:
        at = head_of(run, self._attention_of(run, layer, kind), head)
        label = f"{at.write.label}.H{head}"
        if not any(g.label == at.write.label and "key_pos" in g.axes for g in edges.parts.groups):
            raise InputError(f"{label} was edited: what it writes is no longer a sum over what it reads.")
        pattern = at.pattern(run)[place[0], place[1]]
        own = kind == "attn"
        sources = self._sources(place[0], len(pattern)) if own else torch.arange(len(pattern), device=pattern.device)
        scores = edges[label].flatten()[sources]
        said = self._both_ends(run, at, place, sources, scores.abs() * (pattern[sources] != 0), k, top)
        tokens = self.tokens[place[0]] if self.tokens and own else ()
        text = edges.target if isinstance(edges.target, str) else edges.target[0]
        where = (tuple(sources.tolist()), scores, pattern[sources])
        return HeadResult(self._loaded.name, label, text, by, place[0], place[1], tokens, *where, *said)

    def _attention_of(self, run: Pass, layer: int, kind: str) -> Write:
        return find_write(run.stream, f"{self._dot}L{self._layer(layer)}.{kind}")

    def _sources(self, prompt: int, count: int) -> Tensor:
        """The positions of a prompt's own tokens."""
        mask = self._inputs.mask
        every = torch.arange(count, device=self.run.output().device)
        return every if mask is None else every[mask[prompt].bool()]

    def _both_ends(
        self, run: Pass, at: Head, place: tuple[int, ...], sources: Tensor, size: Tensor, k: int, top: int
    ) -> tuple[tuple[tuple[str, ...], ...], ...]:
        """What the head reads, raises and lowers in words, for the sources with the largest scores; nothing for the others."""
        best = [i for i in size.argsort(descending=True)[: max(top, 0)].tolist() if float(size[i]) > 0]
        reads: list[tuple[str, ...]] = [()] * len(sources)
        raises, lowers = list(reads), list(reads)
        if not best or k < 1:
            return tuple(reads), tuple(raises), tuple(lowers)
        found = words(run, [f"{at.write.label}.H{at.head}<-{int(sources[i])}" for i in best], place, k, k)
        ids = None if at.read is None else likeliest(run, at.read, k)[place[0]]
        for i, first, last in zip(best, found.first, found.last, strict=True):
            raises[i], lowers[i] = self._texts(first), self._texts(last)
            reads[i] = () if ids is None else self._texts(ids[sources[i]])
        return tuple(reads), tuple(raises), tuple(lowers)

    def _texts(self, ids: Tensor) -> tuple[str, ...]:
        return tuple(self.word(int(i)) for i in ids)

    def through_ov(
        self,
        component: str | Sequence[str],
        layer: int,
        head: int,
        source: int | None = None,
        weight: float | str = 1.0,
        of: str = "row",
        first: int = 10,
        last: int = 10,
        prompt: int = 0,
        position: int | None = None,
        kind: str = "attn",
    ) -> WordsResult:
        """What components become through a later head, in words: weight * O V n(v), carried to the logits.

        v, a neuron's row of weights or what is added at the source, is carried to the point that the head reads, through the
        norm n that stands there, frozen at the source, through the head's values and its output. Constants (the norm's and the
        values' biases) are left out. Source: Yu & Ananiadou, arXiv 2312.12141, who norm the row of weights by its own scale,
        its bias included; of a pre-norm model the words are the same but for that bias, since a scale turns nothing round.

        Parameters: `component`, a label such as "L1.mlp.N120", or several, added before the head reads; `layer` and `head`;
        `source`, the position read from, counted as `position`, which it is by default; `weight`, what the head takes of the
        source, a number or "pattern" for what it takes here; `of`, "row" or "write", and `first`, `last`, as of `words`;
        `prompt`; `position`, that is written to, as of `words`; `kind`, "attn".
        Raises `InputError` for what is added after the head reads, and for values that are no linear map of the stream.
        """
        labels = (component,) if isinstance(component, str) else tuple(component)
        run, query = self._place(prompt, position)
        other = query if source is None else self._place(prompt, source)[1]
        if len(query) != 2:
            raise InputError("this model's output has no positions, which a head reads from and writes to.")
        return self._through(run, labels, layer, head, other, query, weight, of, first, last, kind)

    @fitted
    def _through(
        self,
        run: Pass,
        labels: tuple[str, ...],
        layer: int,
        head: int,
        source: tuple[int, ...],
        query: tuple[int, ...],
        weight: float | str,
        of: str,
        first: int,
        last: int,
        kind: str,
    ) -> WordsResult:
        at = head_of(run, self._attention_of(run, layer, kind), head)
        if isinstance(weight, str) and weight != "pattern":
            raise InputError(f"weight is a number or 'pattern', not {weight!r}.")
        taken = float(at.pattern(run)[query[0], query[1], source[1]]) if isinstance(weight, str) else weight
        here = spot(run, source)
        rows = [
            through_head(run, here.of(vector), start, at, (source[0], source[1]), query[1], taken)[0]
            for start, vector in vectors(run, labels, of)
        ]
        t = next(t for t, p in enumerate(run.stream.points) if at.write in p.writes)
        found = ends(unembed(run, rows, t, query), first, last)
        raised, lowered = self._said(found.first, found.first_logits), self._said(found.last, found.last_logits)
        return self._result(labels, of, raised, lowered, query, f"{at.write.label}.H{head}<-{source[1]}")
