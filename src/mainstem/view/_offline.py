"""A chart as one page that fetches nothing: Vega stands in it, and the browser is told to allow no more."""

from html import escape
from typing import Any

from ._page import policy
from ._theme import config
from ._written import written

_DRAW = """
const spec = JSON.parse(document.querySelector("script[type='application/json']").textContent);
const actions = {export: true, source: false, compiled: false, editor: false};
vegaEmbed("main", spec, {mode: "vega-lite", renderer: "svg", ast: true, actions})
  .then(() => { document.querySelector("main").dataset.ready = "true"; });
"""


def offline(spec: dict[str, Any], title: str, bundle: str) -> str:
    """The page.

    Parameters: `spec`, a Vega-Lite specification with its data; `title`, of the page; `bundle`, the text of Vega, Vega-Lite and Vega-Embed, which
    makes `vegaEmbed` known.
    """
    inside = {name: value for name, value in spec.items() if name != "$schema"}
    script = bundle.replace("</script", "<\\/script") + _DRAW
    paper = config()["background"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy(script)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title) or 'mainstem'}</title><style>body {{ margin: 0; background: {paper}; }}</style></head>\n"
        f"<body><main></main><noscript>This chart is drawn by a script.</noscript>"
        f'<script type="application/json">{written(inside)}</script><script>{script}</script></body></html>\n'
    )
