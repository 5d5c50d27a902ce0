"""The page in a real browser: drawn, quiet, safe, twice in one document, and no wider than a phone."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mainstem.view import page
from view._chromium import installed
from view._sample import TOKENS, record
from view.test_page import hostile

MINUS = "\u2212"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --enable-logging=stderr "
    "--virtual-time-budget=3000 --window-size=1280,900 --dump-dom"
)
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
ACTIONS = """<script>
setTimeout(() => {
  document.querySelector("[data-colour=kl]").click();
  document.querySelector(".grid").dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowDown", bubbles: true}));
}, 500);
document.querySelectorAll("[data-part=heads] li")[1].focus();
</script>"""


class Dom(str):
    """A document as the browser left it, and what was said on its console."""

    console: list[str]


def browse(folder: Path, html: str) -> Dom:
    """Opens a page and waits for its scripts. Parameters: `folder`, to work in; `html`."""
    program = installed()
    (folder / "page.html").write_text(html, encoding="utf-8")
    call = [program, *FLAGS.split(), f"--user-data-dir={folder / 'profile'}", (folder / "page.html").as_uri()]
    ran = subprocess.run(call, capture_output=True, text=True, timeout=120, check=True)
    dom = Dom(ran.stdout)
    dom.console = [line for line in ran.stderr.splitlines() if ":CONSOLE" in line]
    return dom


def test_everything_is_drawn_without_a_word_on_the_console(tmp_path: Path):
    made = record()
    dom = browse(tmp_path, page(made))
    assert 'data-ready="true"' in dom
    assert not dom.console
    assert dom.count('role="gridcell"') == len(made["look"]["answers"][0][2]["points"]) * len(TOKENS)
    assert dom.count('class="row"') == len(made["writes"])
    assert dom.count("<li") > dom.count("data-component=") == len(made["writes"])
    assert f"✓ {len(made['writes'])} parts sum to {made['whole']:.3f} within 1.2e{MINUS}6, bound 2.0e{MINUS}5" in dom
    for thing in (*made["heads"], *made["neurons"]):
        assert f'<span class="name">{thing["label"]}</span>' in dom


def test_the_console_is_heard(tmp_path: Path):
    assert browse(tmp_path, "<script>missing()</script>").console


def test_switch_keys_and_heads_work(tmp_path: Path):
    html = POLICY.sub("", page(record())).replace("</body>", f"{ACTIONS}</body>")
    dom = browse(tmp_path, html)
    assert not dom.console
    assert re.search(r'aria-pressed="true" data-colour="kl">KL<', dom)
    assert re.search(r'<p class="where"><b>L5\.resid_mid</b> after token 4 ', dom)
    second = record()["heads"][1]["label"]
    assert re.search(rf'<li [^>]*class="lit"[^>]*><span class="name">{re.escape(second)}<', dom)


GONE = ["heads", "neurons", "look", "heads neurons look lens choices closure prediction tokens position"]


@pytest.mark.parametrize("gone", GONE)
def test_what_a_record_lacks_is_not_shown(tmp_path: Path, gone: str):
    made: dict[str, Any] = {k: v for k, v in record(tokens=[]).items() if k not in gone.split()}
    dom = browse(tmp_path, page(made))
    assert 'data-ready="true"' in dom
    assert not dom.console
    assert not [part for part in ("heads", "neurons", "lens", "look") if part in gone.split() and f' data-part="{part}"' in dom]


def test_hostile_text_stays_text(tmp_path: Path):
    dom = browse(tmp_path, page(hostile()))
    assert 'data-ready="true"' in dom
    assert not dom.console
    assert "<img" not in dom.replace("&lt;", "")
    assert "<title>owned" not in dom


def test_two_pages_in_one_document(tmp_path: Path):
    bodies = [re.search(r"<body>(.*)</body>", page(made), re.DOTALL) for made in (record(), record(2))]
    dom = browse(tmp_path, "<meta charset=utf-8>" + "".join(b[1] for b in bodies if b))
    assert dom.count('data-ready="true"') == 2
    assert not dom.console


def test_a_phone_shows_it_without_scrolling_sideways(tmp_path: Path):
    made = record(12, tokens=[f" token{i}" for i in range(60)])
    inner = json.dumps(page(made)).replace("</", "<\\/")
    outer = (
        "<meta charset=utf-8><body><iframe width=360 height=700></iframe><script>"
        'const f = document.querySelector("iframe"), seen = document.body.dataset; f.onload = () => {'
        'seen.ready = f.contentDocument.querySelector("main").dataset.ready;'
        f"seen.wide = f.contentDocument.documentElement.scrollWidth; }}; f.srcdoc = {inner};</script>"
    )
    dom = browse(tmp_path, outer)
    found = re.search(r'<body data-ready="true" data-wide="(\d+)"', dom)
    assert found
    assert int(found[1]) <= 360
