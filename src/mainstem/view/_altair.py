"""A chart of altair's, saved whole and offline, and shown in notebooks."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from mainstem.core import InputError, whole_file

from ._offline import offline
from ._theme import config

_INSTALL = "pip install 'mainstem[view]'"
_MARK = re.compile(r'<(path|line) (aria-label="([^"]*)" role="graphics-symbol"[^>]*)/>')

_NAME = re.compile(r'(\bid="|url\(#|href="#)([^")]*)')


def altair() -> Any:
    """The module altair. Raises `InputError` where it is not installed."""
    try:
        import altair
    except ImportError as error:
        raise InputError(f"charts need altair: {_INSTALL}") from error
    return altair


def vl_convert() -> Any:
    """The module vl_convert, which draws without a browser. Raises `InputError` where it is not installed."""
    try:
        import vl_convert
    except ImportError as error:
        raise InputError(f"drawing a chart needs vl-convert: {_INSTALL}") from error
    return vl_convert


def check_charts() -> None:
    """Raises `InputError` where what draws charts is not installed: before work is done that would be lost."""
    altair()
    vl_convert()


@dataclass(frozen=True, eq=False)
class Chart:
    """A chart that a notebook shows and `save` writes, with no network.

    Parameters: `altair`, a chart of altair's, with no `configure_...` of its own; it can be changed, layered, put beside others
    and wrapped again.
    """

    altair: Any

    def to_dict(self) -> dict[str, Any]:
        """The chart as a Vega-Lite specification, data and colours included."""
        return self.altair.to_dict() | {"config": config()}

    def save(self, path: str | Path, scale: int | float = 2) -> Path:
        """Writes the chart whole or not at all, and returns the path.

        Parameters: `path`, whose ending tells the form: `.png`, `.svg`, `.html` (a page that fetches nothing, with values under
        the pointer) or `.json` (Vega-Lite); `scale`, pixels of a PNG per unit. Raises `InputError` for another ending, a
        missing folder, or where vl-convert is missing.
        """
        place = Path(path)
        forms: dict[str, Callable[[], str | bytes]]
        forms = {".png": lambda: self._png(scale), ".svg": self._svg, ".html": self._html, ".json": self._json}
        if (form := forms.get(place.suffix.lower())) is None:
            raise InputError(f"cannot draw as {place.suffix or place.name!r}: use {', '.join(forms)}.")
        made = form()
        with whole_file(place) as half:
            half.write_bytes(made if isinstance(made, bytes) else made.encode())
        return place

    def _png(self, scale: int | float) -> bytes:
        if not 0 < scale <= 20:
            raise InputError(f"scale is above 0 and at most 20, not {scale}.")
        return vl_convert().vegalite_to_png(self.to_dict(), scale=scale, **self._version())

    def _svg(self) -> str:
        return said(vl_convert().vegalite_to_svg(self.to_dict(), **self._version()))

    def _html(self) -> str:
        spec = self.to_dict()
        return offline(spec, title(spec), vl_convert().javascript_bundle(**self._version()))

    def _json(self) -> str:
        return json.dumps(self.to_dict(), allow_nan=False)

    def _version(self) -> dict[str, str]:
        """The release of Vega-Lite that altair writes for, where vl-convert has it; else its newest."""
        wanted = ".".join(altair().SCHEMA_VERSION.lstrip("v").split(".")[:2])
        return {"vl_version": wanted} if wanted in vl_convert().get_vegalite_versions() else {}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        svg = self._svg()
        return {"text/html": svg, "image/svg+xml": svg, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Chart({title(self.to_dict())!r}; .save('chart.html'), .png, .svg, .json)"


def title(spec: dict[str, Any]) -> str:
    """The heading of a chart on one line. Parameters: `spec`, of Vega-Lite."""
    found = spec.get("title", "")
    words = found.get("text", "") if isinstance(found, dict) else found
    return (words if isinstance(words, str) else " ".join(words)).replace("\u00a0", " ")


def said(svg: str) -> str:
    """An SVG whose marks say their values under the pointer, and whose names are its own, so that two can stand in one document.

    vl-convert counts its gradients and clips through a process: the same chart would not be the same file.

    Parameters: `svg`, as vl-convert draws it.
    """
    found = {name: f"{i}" for i, name in enumerate(dict.fromkeys(re.findall(r'\bid="([^"]*)"', svg)))}
    plain = _NAME.sub(lambda m: f"{m[1]}{found.get(m[2], m[2])}", svg)
    own = f"ms{sha256(plain.encode()).hexdigest()[:8]}-"
    named = _NAME.sub(lambda m: f"{m[1]}{own}{m[2]}", plain)
    return _MARK.sub(lambda m: f"<{m[1]} {m[2]}><title>{m[3]}</title></{m[1]}>", named)
