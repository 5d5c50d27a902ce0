"""The part of a model that is run with edits: in a block of code, over a data set for means, token by token."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from mainstem.core import InputError
from mainstem.models import provenance, stamp
from mainstem.stream import Edit

from ._generate import Generation, Plan, generated
from ._mapped import Mapped
from ._means import Means, means


class Changed(Mapped):
    """A model's edits."""

    def __init__(self) -> None:
        self._edits: ContextVar[Edit | None] = ContextVar("edits", default=None)
        self._hashed: tuple[Any, str | None] = (None, None)

    @contextmanager
    def edited(self, edit: Edit) -> Iterator[Self]:
        """Everything that is run inside is run with the edit; undone on leaving, also by an error. Parameters: `edit`."""
        token = self._edits.set(self._with(edit))
        try:
            yield self
        finally:
            self._edits.reset(token)

    def _with(self, edit: Edit | None) -> Edit:
        """What is in force here, and an edit behind it. Raises `InputError` where that is of other weights."""
        if edit is not None and not isinstance(edit, Edit):
            raise InputError(f"edits are what mainstem.zero and its like give, joined with +, not {type(edit).__name__}.")
        for change in edit.changes if edit else ():
            if change.weights is not None and change.weights != self._sha():
                raise InputError(
                    f"{change}: these means are of other weights; take them of this model, with model.means(data, labels)."
                )
        return (self._edits.get() or Edit()) + (edit or Edit())

    def _sha(self) -> str | None:
        now = stamp(self.loaded.module)
        if self._hashed[0] != now:
            self._hashed = now, provenance(self.loaded).weights
        return self._hashed[1]

    def means(
        self, data: Any, *labels: str, column: str | None = None, batch_tokens: int = 4096, length: int | None = None
    ) -> Means:
        """What components are in the mean over the real tokens of a data set, or over the places of images.

        Parameters: `data` and `column`, as of `mainstem.measure`; `labels`, writes, points, heads, neurons, blocks, as of
        `mainstem.zero`; `batch_tokens` and `length`, as of `mainstem.measure`.

        Returns the means, for `mainstem.mean`; they keep which data and which weights they are of. Raises `InputError` for labels that
        there are not, data that cannot be read, and values that are no numbers.
        """
        return means(self, data, labels, column, batch_tokens, length)

    def generate(
        self,
        data: Any,
        tokens: int = 20,
        edits: Edit | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        cache: bool = True,
        stop: int | None = None,
        padding: str = "left",
        **inputs: Any,
    ) -> Generation:
        """Goes on with prompts, token by token, with edits in force in every forward pass.

        A module that has a `generate` of its own, as those of transformers do, goes on by it, from a cache where it has one; others
        read everything anew for each token. Positions of edits are counted in the prompts.

        Parameters: `data`, one prompt or several, or token ids; `tokens`, how many to say; `edits`; `temperature`, 0 for the likeliest
        token each time; `seed`, of the drawing; `cache`, False to read everything anew; `stop`, the id behind which nothing is said,
        by default the tokenizer's end; `padding`, "left" or "right" for prompts of different lengths; `inputs`, further arguments of
        the module.

        Returns what was said. Raises `InputError` for a model that says no tokens, for more of them than it can read, and for an
        argument that neither this nor the module knows.
        """
        return generated(self, data, self._with(edits), Plan(tokens, temperature, seed, cache, stop), padding, inputs)
