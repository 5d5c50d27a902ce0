"""What the prompt page asks, answered in plain data by traces of one model."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mainstem.core import InputError, give_back

from ._apart import inside, parts, scored
from ._cells import Asked, cell, columns, grid, text
from ._model import Model
from ._trace import Trace

_KEPT = 4  # traces held: the one looked at, and those that "back" returns to
_TOKENS = 2**11  # of those that are returned to: a trace of 2,000 tokens of a small model is a gigabyte
_LARGE = 2**9  # tokens from which on what an answer freed is given back to the system
_LETTERS = 2**20  # of a prompt, also where the model itself would read any


class Looking:
    """Answers about prompts. Parameters: `model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._traces: OrderedDict[str, Trace] = OrderedDict()

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it: given what was asked and its turn, plain data."""
        kinds = {"open": grid, "columns": columns, "cell": cell, "parts": parts, "inside": inside, "frame": frame}
        return {f"prompt.{name}": self._of(answer) for name, answer in kinds.items()}

    def _of(self, answer: Callable[[Trace, Asked], Any]) -> Callable[[Asked, Any], Any]:
        def answered(asked: Asked, turn: Any) -> Any:
            trace = self._traced(asked, turn)
            turn.check()
            try:
                return answer(trace, asked)
            finally:
                if answer not in (cell, columns) and sum(map(len, trace.tokens)) > _LARGE:
                    give_back()

        return answered

    def _traced(self, asked: Asked, turn: Any) -> Trace:
        """The trace of the prompt that is asked about, made once; `turn` is told, and gives up where nobody waits any more."""
        prompt = text(asked, "prompt")
        if prompt is None:
            raise InputError("there is no prompt: type one.")
        if len(prompt) > _LETTERS:
            raise InputError(f"the prompt has {len(prompt):,} characters: this page takes {_LETTERS:,} at most. Shorten it.")
        if prompt not in self._traces:
            turn.say("taking the stream apart")
            self._traces[prompt] = self.model.trace(prompt)
        self._traces.move_to_end(prompt)
        while len(self._traces) > _KEPT or (len(self._traces) > 1 and self._tokens() > _TOKENS):
            self._traces.popitem(last=False)
        return self._traces[prompt]

    def _tokens(self) -> int:
        return sum(len(trace.tokens[0]) for trace in self._traces.values() if trace.tokens)


def frame(trace: Trace, asked: Asked) -> dict[str, Any]:
    """A whole table as text: of the grid, or of scores at a level. Parameters: `trace`; `asked`, {what}, "lens" or a level; as of `parts`."""
    what = text(asked, "what") or "lens"
    found = trace.lens(norm=text(asked, "lens") or "own") if what == "lens" else scored(trace, asked, what)
    return {"csv": found.frame().write_csv()}
