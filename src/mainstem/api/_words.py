"""First and last words of components as users hold them, and the before-softmax values behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from torch import Tensor

from mainstem.core import InputError, Provenance, whole
from mainstem.score import values, words
from mainstem.stream import Pass, find_point, unembed

from ._fitted import fitted
from ._store import parquet, store
from ._weights import Weights

if TYPE_CHECKING:
    from mainstem.models import Loaded

Said = list[tuple[str, float]]


@dataclass(frozen=True, eq=False)
class WordsResult:
    """The words that components raise most and lower most at one place, with the change of their logits.

    Parameters: `model`, its name; `components`, their labels; `of`, "write" or "row"; `raised` and `lowered`, for each
    component its words, the most changed first; `prompt`, its number; `position`, None where the output has none; `token`,
    the piece at that position; `weights`, those of the run; `through`, the head that they went through and the position that it
    read, None for none.
    """

    model: str
    components: tuple[str, ...]
    of: str
    raised: tuple[Said, ...]
    lowered: tuple[Said, ...]
    prompt: int
    position: int | None
    token: str | None
    weights: Weights | None = None
    through: str | None = None

    @property
    def first(self) -> Said:
        """The words that the one component raises most, as (word, change of its logit)."""
        return self.raised[self._only()]

    @property
    def last(self) -> Said:
        """The words that the one component lowers most, the most lowered first."""
        return self.lowered[self._only()]

    def _only(self) -> int:
        if len(self.components) != 1:
            raise InputError(
                f"here are {len(self.components)} components: take one by its label, such as [{self.components[0]!r}]."
            )
        return 0

    def __getitem__(self, component: str) -> dict[str, Said]:
        """The words of one component, {"first": [...], "last": [...]}. Parameters: `component`, its label as it was given."""
        if component not in self.components:
            raise InputError(f"no words of {component!r} here; there are {', '.join(self.components[:8])}.")
        i = self.components.index(component)
        return {"first": self.raised[i], "last": self.lowered[i]}

    @property
    def provenance(self) -> Provenance | None:
        """Where the model came from, and the sha256 of its weights at the run."""
        return self.weights.provenance() if self.weights else None

    def to_dict(self) -> dict[str, Any]:
        """The words as plain JSON types."""
        rows = zip(self.components, self.raised, self.lowered, strict=True)
        each = [{"component": c, "first": _plain(first), "last": _plain(last)} for c, first, last in rows]
        about = {"model": self.model, "position": self.position, "token": self.token, "of": self.of, "through": self.through}
        return {**about, "words": each}

    def frame(self) -> Any:
        """A tidy polars frame, a row a word: model, prompt, position, token, component, write, layer, head, key_pos, dim, expert,
        neuron, of, through, end ("first" or "last"), rank, word, value."""
        from ._words_frame import words_frame

        return words_frame(self.rows())

    def rows(self) -> Iterator[dict[str, Any]]:
        """One record a word, in the order of `frame`."""
        about = {"model": self.model, "prompt": self.prompt, "position": self.position, "token": self.token}
        how = {"of": self.of, "through": self.through}
        for component, *both in zip(self.components, self.raised, self.lowered, strict=True):
            for end, said in zip(("first", "last"), both, strict=True):
                for rank, (word, value) in enumerate(said):
                    yield {**about, "component": component, **how, "end": end, "rank": rank, "word": word, "value": value}

    def save(self, path: str | Path) -> Path:
        """Stores the tidy frame; in Parquet with the model's provenance. Parameters: `path`, ending in `.parquet` or `.csv`."""
        return save_words([self], path)

    def __repr__(self) -> str:
        where = "" if self.position is None else f" after token {self.position}, {self.token!r}"
        rows = zip(self.components, self.raised, self.lowered, strict=True)
        lines = (f"  {c:<16} raises {_short(first)}; lowers {_short(last)}" for c, first, last in rows)
        through = f" through {self.through}" if self.through else ""
        return "\n".join([f"words of the {self.of}{through}{where}:", *lines])


def save_words(found: Sequence[WordsResult], path: str | Path) -> Path:
    """Stores the words of several places of one run as one table. Parameters: `found`; `path`, ending in `.parquet` or `.csv`."""
    from ._words_frame import words_frame

    about = {"model": found[0].model, "of": found[0].of}
    every = [row for one in found for row in one.rows()]
    forms = {
        ".parquet": lambda half: parquet(words_frame(every), about, found[0].provenance, half),
        ".csv": lambda half: words_frame(every).write_csv(half),
    }
    return store(path, forms)


def _plain(said: Said) -> list[dict[str, Any]]:
    return [{"word": word, "value": value} for word, value in said]


def _short(said: Said) -> str:
    return " ".join(repr(word) for word, _ in said[:5]) or "nothing"


class Worded:
    """What a trace says of components in words of the vocabulary."""

    if TYPE_CHECKING:
        run: Pass
        _full: Any
        _loaded: Loaded
        _weights: Weights
        _positions: int | str | None

        @property
        def tokens(self) -> tuple[tuple[str, ...], ...]: ...

        def _spots(self, positions: int | str | None, prompt: int | None = None) -> tuple[Any, Tensor | None]: ...

        def word(self, index: int) -> str: ...

    def words(
        self,
        component: str | Sequence[str],
        first: int = 10,
        last: int = 10,
        of: str = "write",
        prompt: int = 0,
        position: int | None = None,
    ) -> WordsResult:
        """The words that components raise most and lower most at one place, with the change of their logits.

        The vector goes to the logits through all that follows it, frozen at this input, constants left out: A v. A negative
        coefficient turns a row of weights round, and its last words into first ones: `of="write"` has the sign that the
        neuron has here, `of="row"` none. Source: Geva et al., arXiv 2203.14680, who multiply rows of weights with the
        unembedding alone, without the final norm's gain and scale; Yu & Ananiadou, arXiv 2312.12141, freeze the final norm.

        Parameters: `component`, a label such as "L3.mlp.N120", "L2.attn.H1", "L2.attn.H1<-3", a point such as "L3.resid_post",
        or several; `first` and `last`, how many words at each end; `of`, "write" for what is added here, "row" for a
        neuron's or attention dim's row of weights; `prompt`; `position`, the trace's own by default, or else the mask token or the last real one.
        """
        labels = (component,) if isinstance(component, str) else tuple(component)
        if not labels or min(first, last) < 0:
            raise InputError('words are of one component or more, such as trace.words("L0.mlp"), and 0 or more at each end.')
        return self._worded(labels, first, last, of, prompt, position)

    @fitted
    def _worded(self, labels: tuple[str, ...], first: int, last: int, of: str, prompt: int, position: int | None) -> WordsResult:
        run, place = self._place(prompt, position)
        found = words(run, labels, place, first, last, of)
        raised = self._said(found.first, found.first_logits)
        return self._result(labels, of, raised, self._said(found.last, found.last_logits), place)

    def _result(
        self,
        labels: tuple[str, ...],
        of: str,
        raised: tuple[Said, ...],
        lowered: tuple[Said, ...],
        place: tuple[int, ...],
        through: str | None = None,
    ) -> WordsResult:
        prompt, position = place[0], place[1] if len(place) > 1 else None
        token = self.tokens[prompt][position] if self.tokens and position is not None else None
        return WordsResult(self._loaded.name, labels, of, raised, lowered, prompt, position, token, self._weights, through)

    def _said(self, ids: Tensor, logits: Tensor) -> tuple[Said, ...]:
        rows = zip(ids.tolist(), logits.tolist(), strict=True)
        return tuple([(self.word(i), value) for i, value in zip(*row, strict=True)] for row in rows)

    def _place(self, prompt: int, position: int | None) -> tuple[Pass, tuple[int, ...]]:
        """A run that has the output at a place, and the place: that of the trace where none is said and it has one."""
        own = self._positions if isinstance(self._positions, int) else None
        if not 0 <= whole("prompt", prompt) < self.run.prompts:
            raise InputError(f"there is no prompt {prompt}: there are {self.run.prompts}, counted from 0.")
        trace, places = self._spots(own if position is None else position, prompt)
        return trace.run, (prompt,) if places is None else (prompt, int(places[prompt]))

    @fitted
    def bs(
        self,
        what: str | Sequence[str] | Float[Tensor, "..."],
        at: str | None = None,
        prompt: int = 0,
        position: int | None = None,
    ) -> Float[Tensor, "... vocab"]:
        """Before-softmax values: what vectors add to every word's logit at one place, through all that follows, frozen.

        bs_w(x) = e_w . x through the frozen final norm, without constants, so that bs(x + v) = bs(x) + bs(v), and a word
        that is ahead of another in x and in v is ahead in x + v. The last point's values and the readout's constant are the
        logits. Source: Yu & Ananiadou, arXiv 2312.12141; there of the last point and the final norm alone, here of every
        point, through the transports that follow it (post-norms, a ResNet's ReLUs and shortcuts).

        Parameters: `what`, a component's or a point's label, several, or vectors of one place of the stream; `at`, the point
        that vectors enter at, the last by default; `prompt`; `position`, the trace's own by default, or else the mask token or the last real one.
        """
        run, place = self._place(prompt, position)
        if not isinstance(what, Tensor):
            found = values(run, [what] if isinstance(what, str) else list(what), place)
            return found[0] if isinstance(what, str) else found
        start = len(run.stream.points) - 1 if at is None else find_point(run.stream, at)
        if start is None:
            raise InputError(f"no point {at!r}: name one such as {run.stream.points[-1].name!r}.")
        inside = run.point(start).ndim - len(place)
        rows = what.flatten(max(0, what.ndim - inside)) if inside else what[..., None]
        return unembed(run, rows.reshape(-1, rows.shape[-1]), start, place).reshape(*rows.shape[:-1], -1)
