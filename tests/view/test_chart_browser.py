"""Charts' pages in a real browser: drawn, with a silent console, by nothing but themselves."""

from pathlib import Path

import pytest

from view._tables import CHARTS, TOKENS
from view.test_browser import POLICY, browse

pytest.importorskip("altair")
pytest.importorskip("vl_convert")
SAYS = """<script>fetch("https://example.org/x").catch(() => console.log("refused"))</script>"""


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn(name: str, tmp_path: Path):
    page = CHARTS[name]().save(tmp_path / "chart.html").read_text(encoding="utf-8")
    dom = browse(tmp_path, page)
    assert 'data-ready="true"' in dom
    assert not dom.console
    shown = dom[: dom.index('<script type="application/json"')]
    assert "<svg" in shown and shown.count("<path") > 10
    assert "<img" not in shown and "</script>" not in shown
    if name in TOKENS:
        assert "&lt;/script&gt;" in shown


def test_a_script_that_is_not_its_own_does_not_run(tmp_path: Path):
    page = CHARTS["heads"]().save(tmp_path / "chart.html").read_text(encoding="utf-8")
    planted = page.replace("</body>", f"{SAYS}</body>")
    assert any("Content Security Policy" in line for line in browse(tmp_path, planted).console)
    assert any("refused" in line for line in browse(tmp_path, POLICY.sub("", planted)).console)
