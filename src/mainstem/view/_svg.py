"""What the pictures are made of: escaped text, shapes, numbers as people read them, the frame with its own colours."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files

Number = int | float
MINUS, TIMES = "\u2212", "\u00d7"
KINDS = ("entry", "attn", "cross", "mlp", "conv", "mixer", "skip", "constant")
_MARKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}


def asset(name: str) -> str:
    """The text of a file in `assets`. Parameters: `name`."""
    return (files(__name__.rpartition(".")[0]) / "assets" / name).read_text(encoding="utf-8")


def visible(text: str) -> str:
    """Text with its spaces, line ends and control characters made visible, and nothing in it that XML forbids.

    Parameters: `text`, such as a token.
    """
    return "".join(_MARKS.get(c) or _safe(c) for c in text)


def plain(text: str) -> str:
    """Text that stays as it is but for characters that XML forbids. Parameters: `text`."""
    return "".join(c if c == " " else _safe(c) for c in text)


def short(text: str, most: int, keep: str = "head") -> str:
    """Text cut to a length. Parameters: `text`; `most`, characters; `keep`, its "head" or its "tail"."""
    if len(text) <= most:
        return text
    return f"{text[: most - 1]}…" if keep == "head" else f"…{text[1 - most :].lstrip('.')}"


def number(value: Number, digits: int = 2, sign: bool = False) -> str:
    """A number with a true minus sign, and none before zero.

    Parameters: `value`; `digits` behind the point; `sign`, whether a plus is written too.
    """
    return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", MINUS)


def small(value: Number) -> str:
    """An error or a bound: two figures and a power of ten. Parameters: `value`."""
    if not value:
        return "0"
    figures, power = f"{value:.1e}".split("e")
    return f"{figures}e{int(power)}".replace("-", MINUS)


def kind_class(kind: str) -> str:
    """The class that colours a write. Parameters: `kind`; one without a colour of its own is a plain write."""
    return f"k-{kind if kind in KINDS else 'write'}"


def element(tag: str, content: str | Iterable[str] = "", /, **attributes: object) -> str:
    """One element.

    Parameters: `tag`; `content`, markup; `attributes`, escaped here, an underscore in a name standing for a hyphen and
    one at its end for nothing.
    """
    named = ((name.rstrip("_").replace("_", "-"), _value(value)) for name, value in attributes.items())
    pairs = "".join(f' {name}="{escape(value)}"' for name, value in named)
    inside = content if isinstance(content, str) else "".join(content)
    return f"<{tag}{pairs}>{inside}</{tag}>" if inside else f"<{tag}{pairs}/>"


def text(x: Number, y: Number, words: str, kind: str = "", title: str = "") -> str:
    """Words at a place. Parameters: `x`; `y`, their baseline; `words`; `kind`, classes; `title`, shown on hover."""
    return element("text", escape(words) + tooltip(title), x=x, y=y, class_=kind)


def tooltip(words: str) -> str:
    """What a reader is told on hover; nothing for no words. Parameters: `words`."""
    return element("title", escape(words)) if words else ""


class Picture(str):
    """An SVG as text, which a notebook draws."""

    def _repr_svg_(self) -> str:
        return str(self)


def picture(name: str, width: Number, height: Number, title: str, parts: Iterable[str]) -> Picture:
    """A whole SVG with its colours, light and dark, and its own background.

    Parameters: `name`, its class; `width`; `height`; `title`, for those who cannot see it; `parts`, markup.
    """
    paper = element("rect", class_="paper", width=width, height=height, rx=10)
    inside = [tooltip(title), element("style", asset("picture.css")), paper]
    drawn = element(
        "svg",
        [*inside, *parts],
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        class_=f"ms-picture {name}",
    )
    return Picture(drawn)


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _safe(c: str) -> str:
    code = ord(c)
    if code < 32:
        return chr(0x2400 + code)
    return "\ufffd" if 127 <= code < 160 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE else c
