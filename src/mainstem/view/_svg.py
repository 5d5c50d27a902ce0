"""What the pictures are made of: escaped text, shapes, numbers as people read them, the frame with its own colours."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files

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
    return f"{text[: most - 1]}…" if keep == "head" else f"…{text[1 - most :]}"


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """A number with a true minus sign.

    Parameters: `value`; `digits` behind the point; `sign`, whether a plus is written too.
    """
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def small(value: float) -> str:
    """An error or a bound: two figures and a power of ten. Parameters: `value`."""
    return f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e+").replace("-", "−") if value else "0"


def kind_class(kind: str) -> str:
    """The class that colours a write. Parameters: `kind`; one without a colour of its own is a plain write."""
    return f"k-{kind if kind in KINDS else 'write'}"


def element(tag: str, content: str | Iterable[str] = "", **attributes: object) -> str:
    """One element.

    Parameters: `tag`; `content`, markup; `attributes`, escaped here, an underscore in a name standing for a hyphen and
    one at its end for nothing.
    """
    pairs = "".join(f' {k.rstrip("_").replace("_", "-")}="{escape(_value(v))}"' for k, v in attributes.items())
    inside = content if isinstance(content, str) else "".join(content)
    return f"<{tag}{pairs}>{inside}</{tag}>" if inside else f"<{tag}{pairs}/>"


def text(x: float, y: float, words: str, kind: str = "", title: str = "") -> str:
    """Words at a place, their baseline at y. Parameters: `x`; `y`; `words`; `kind`, classes; `title`, shown on hover."""
    return element("text", escape(words) + tooltip(title), x=x, y=y, class_=kind)


def tooltip(words: str) -> str:
    """What a reader is told on hover; nothing for no words. Parameters: `words`."""
    return element("title", escape(words)) if words else ""


def picture(name: str, width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A whole SVG with its colours, light and dark, and its own background.

    Parameters: `name`, its class; `width`; `height`; `title`, for those who cannot see it; `parts`, markup.
    """
    inside = [tooltip(title), element("style", asset("picture.css")), element("rect", class_="paper", width=width, height=height, rx=10)]
    return element(
        "svg",
        [*inside, *parts],
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        class_=f"ms-picture {name}",
    )


def _value(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _safe(c: str) -> str:
    code = ord(c)
    if code < 32:
        return chr(0x2400 + code)
    return "\ufffd" if 127 <= code < 160 or 0xD800 <= code < 0xE000 or code & 0xFFFE == 0xFFFE else c
