"""The page in a notebook's cell: questions and answers go through its kernel."""

from collections.abc import Mapping
from typing import Any

from mainstem.core import InputError

from ._modules import joined
from ._shell import scripts
from ._svg import asset
from ._turns import Answer, Turn, answered
from ._written import plain


def module() -> str:
    """The widget's front end: one module with everything in it, which nothing is fetched for."""
    return f"{joined('widget.js', scripts())}\nexport default {{ render }};\n"


def widget(answers: Mapping[str, Answer], opening: Mapping[str, Any]) -> Any:
    """A widget that shows the prompt page.

    Parameters: `answers` and `opening`, as of `serve`. Raises `InputError` where anywidget is missing.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise InputError('the widget needs anywidget: pip install "mainstem[view]"') from error

    class Look(anywidget.AnyWidget):
        _esm, _css = module(), asset("page.css") + asset("look.css")
        opening = traitlets.Dict().tag(sync=True)

    made = Look(opening=dict(opening))
    made.on_msg(lambda _, content, __: reply(answers, content, made.send))
    return made


def reply(answers: Mapping[str, Answer], content: Any, send: Any) -> None:
    """Answers one message of the front end, line by line.

    Parameters: `answers`; `content`, {number, kind, asked}; `send`, which sends {number} with a line of the reply.
    """
    number, kind, asked = (content.get(name) for name in ("number", "kind", "asked"))

    def put(line: dict[str, Any] | None) -> None:
        if line is not None:
            send(plain({"number": number, **line}))

    if kind not in answers or not isinstance(asked, dict):
        return put({"error": f"the widget has no answer to {kind!r}."})
    answered(answers[kind], asked, Turn(lambda: True, put), put)
