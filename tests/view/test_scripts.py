"""The page's scripts: their own tests under node, their syntax, and what joining them to one text asks of them."""

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from mainstem.view._modules import joined
from mainstem.view._shell import assets, scripts

TESTS = Path(__file__).parent / "js"
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function)\*? (\w+)", re.MULTILINE)
FORBIDDEN = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://(?!www\.w3\.org/)|console\."
MOST = 1_000_000  # bytes of all that the page is made of


def node(*call: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("node")
    if program is None:
        pytest.skip("node is not installed (apt-get install nodejs)")
    return subprocess.run([program, *map(str, call)], capture_output=True, text=True, timeout=120, input=given)


@pytest.mark.parametrize("file", sorted(p.name for p in TESTS.glob("*.test.mjs")))
def test_under_node(file: str):
    ran = node("--test", TESTS / file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert re.search(r"^# pass [1-9]", ran.stdout, re.MULTILINE) and "# fail 0" in ran.stdout


@pytest.mark.parametrize("name", sorted(scripts()))
def test_it_is_a_module_in_strict_javascript(name: str):
    ran = node("--input-type=module", "--check", given=scripts()[name])
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize("name", sorted(scripts()))
def test_it_makes_no_markup_and_fetches_nothing(name: str):
    assert not re.findall(FORBIDDEN, scripts()[name])


def test_a_module_that_makes_markup_is_caught():
    assert re.findall(FORBIDDEN, "node.innerHTML = text") and re.findall(FORBIDDEN, 'import "https://cdn.example/x.js"')


@pytest.mark.parametrize("name", sorted(scripts()))
def test_what_is_imported_is_exported_and_used(name: str):
    text = scripts()[name]
    for names, module in re.findall(r'^import \{([^}]*)\} from "\./([\w-]+\.js)";$', text, re.MULTILINE):
        for word in (n.strip() for n in names.split(",") if n.strip()):
            assert re.search(rf"^export (?:async )?(?:const|let|class|function) {word}\b", scripts()[module], re.MULTILINE), (
                word,
                module,
            )
            assert len(re.findall(rf"\b{word}\b", text)) > 1, f"{word} is imported and not used"


def test_no_two_modules_declare_the_same_name():
    every = Counter(word for text in scripts().values() for word in set(DECLARED.findall(text)))
    assert not [word for word, n in every.items() if n > 1]


@pytest.mark.parametrize("name", ["held.js", "page.js", "shell.js", "widget.js"])
def test_joined_they_are_one_script(name: str):
    text = joined(name, scripts())
    assert not re.search(r"^\s*(import|export)\b", text, re.MULTILINE)
    assert text.index("function make(") < text.index("function themeSwitch(") if name == "shell.js" else True
    ran = node("--check", "-", given=f"(() => {{\n{text}}})();")
    assert ran.returncode == 0, ran.stderr


def test_all_of_it_is_small():
    assert 10_000 < sum(len(text.encode()) for _, text in assets().values()) < MOST
