"""Labels of components and points: written in one way, read in a few.

`entry.embed`, `L3.attn`, `L3.mlp`, `L3.attn.H7`, `L3.attn.H7<-5` (key position 5), `L3.attn.H7.D12`, `L3.mlp.N120`,
`L3.mlp.E4.N120`, `L3.attn.bias`, `dec.L2.cross.H1`, `L3.resid_post`. Short forms `L3H7`, `L3N120` and `L3E4N120` are read too.
"""

import re
from dataclasses import dataclass

from ._errors import InputError

_MARKS = {"head": ".H{}", "key_pos": "<-{}", "dim": ".D{}", "expert": ".E{}", "neuron": ".N{}"}
_TAIL = re.compile(r"(?:\.H(?P<head>\d+)(?:<-(?P<key_pos>\d+))?(?:\.D(?P<dim>\d+))?|(?:\.E(?P<expert>\d+))?\.N(?P<neuron>\d+))$")
_SHORT = re.compile(r"^(?P<stream>(?:\w+\.)?)L(?P<block>\d+)(?:E(?P<expert>\d+)(?=N))?(?P<kind>[HN])(?P<rest>\d+(?:<-\d+)?)$")


@dataclass(frozen=True, slots=True)
class Label:
    """A component's label taken apart: the write (or point) and the coordinates inside it."""

    write: str
    at: tuple[tuple[str, int], ...] = ()

    def __str__(self) -> str:
        return self.write + "".join(_MARKS[axis].format(i) for axis, i in self.at)


def parse_label(text: str) -> Label:
    """Reads a label.

    Parameters: `text`, such as `L3.attn.H7<-5` or `L3H7`. Raises `InputError` where it is none.
    """
    if not isinstance(text, str):
        raise InputError(f"a label is text such as 'L3.mlp', not {text!r}.")
    text = text.strip()
    short = _SHORT.match(text)
    if short:
        kind = "attn.H" if short["kind"] == "H" else f"mlp.E{short['expert']}.N" if short["expert"] else "mlp.N"
        text = f"{short['stream']}L{short['block']}.{kind}{short['rest']}"
    if not text or not re.match(r"^[A-Za-z]", text):
        raise InputError(
            f"{text!r} is not a component's label. Labels look like L3.attn, L3.attn.H7, L3.mlp.N120, L3.resid_post, entry.embed."
        )
    tail = _TAIL.search(text)
    if tail is None:
        return Label(text)
    return Label(text[: tail.start()], tuple((axis, int(i)) for axis, i in tail.groupdict().items() if i is not None))
