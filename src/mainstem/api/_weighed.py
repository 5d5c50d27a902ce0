"""What a model's weights say of themselves, with no prompt of one's own."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mainstem.models import Loaded, example

from ._erasers import ErasersResult
from ._erasing import erasers_over

if TYPE_CHECKING:
    from ._trace import Trace


class Weighed:
    """The part of a model that reads its weights as rows on the stream."""

    if TYPE_CHECKING:
        loaded: Loaded

        def trace(self, data: Any) -> Trace: ...

    def erasers(
        self, data: Any = None, column: str | None = None, batch_tokens: int = 1024, length: int | None = None
    ) -> ErasersResult:
        """Neurons whose weights write against what they read, and heads that take away what stands at their own token.

        A neuron's score is cos(W_in, W_out); a head's sum Re(l) / sum |l| over the eigenvalues l of W_V W_O, times its mean attention to
        the present token, as of `Trace.erasers`.

        Parameters: `data`, that the attention is averaged over, as of `mainstem.measure` (a file, a folder, a list of texts or images) or
        token ids, by default the example that the model is mapped with: give some, if heads matter; `column`, `batch_tokens` and
        `length`, as of `measure`. Raises `InputError` where no weights can be read, and for data that cannot be.
        """
        if data is None or _ids(data):
            return self._traced(data).erasers()
        return erasers_over(self.loaded, self.trace, data, column, batch_tokens, length)

    def composition(self) -> Any:
        """How much every head reads of what each earlier head writes, as of `Trace.composition`: a tidy polars frame.

        Raises `InputError` where no two heads follow each other.
        """
        return self._traced(None).composition()

    def _traced(self, data: Any) -> "Trace":
        if data is not None:
            return self.trace(data)
        made = example(self.loaded)
        return self.trace(made.ids if made.ids is not None else made.args[0])


def _ids(data: Any) -> bool:
    """Whether these are a tensor or token ids, which only a trace reads."""
    first = data[0] if isinstance(data, Sequence) and len(data) else data
    return (
        isinstance(first, Tensor | int | list | tuple)
        and not isinstance(first, bool)
        and not (first is data and isinstance(data, int | list | tuple))
    )
