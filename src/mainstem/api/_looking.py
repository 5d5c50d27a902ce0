"""What the prompt page asks, answered in plain data by traces of one model."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from mainstem.core import InputError

from ._model import Model
from ._trace import Trace

Asked = Mapping[str, Any]
_KEPT = 4  # traces held: the one looked at, and those that "back" returns to


class Looking:
    """Answers about prompts. Parameters: `model`."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._traces: OrderedDict[str, Trace] = OrderedDict()

    def answers(self) -> dict[str, Callable[[Asked, Any], Any]]:
        """Every kind of question with what answers it."""
        return {"prompt.open": self.open}

    def open(self, asked: Asked, turn: Any) -> dict[str, Any]:
        """A prompt's tokens. Parameters: `asked`, {prompt}; `turn`."""
        trace = self.traced(asked, turn)
        return {"tokens": list(trace.tokens[0])}

    def traced(self, asked: Asked, turn: Any) -> Trace:
        """The trace of the prompt that is asked about, made once. Parameters: `asked`, {prompt}; `turn`, which is told."""
        text = asked.get("prompt")
        if not isinstance(text, str) or not text:
            raise InputError("there is no prompt: type one.")
        if text not in self._traces:
            turn.say("taking the stream apart")
            self._traces[text] = self.model.trace(text)
            turn.check()
        self._traces.move_to_end(text)
        while len(self._traces) > _KEPT:
            self._traces.popitem(last=False)
        return self._traces[text]
