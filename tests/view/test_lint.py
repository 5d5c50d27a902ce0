"""What lints the page's scripts catches a fault that is planted: a checker that cannot fail checks nothing."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ASSETS = ROOT / "src" / "mainstem" / "view" / "assets"
TOOLS = ROOT / "node_modules" / ".bin"
pytestmark = pytest.mark.slow
FAULTS = {
    "no-unused-vars": "const left = 1;\n",
    "eqeqeq": "export const same = (a, b) => a == b;\n",
    "prefer-const": "let one = 1;\nexport const two = () => one + 1;\n",
    "no-undef": "leaked = 1;\n",
    "no-restricted-properties": "export const put = (node, text) => { node.innerHTML = text; };\n",
}


def ran(tool: str, *call: str | Path, given: str | None = None) -> subprocess.CompletedProcess[str]:
    if shutil.which("node") is None or not (TOOLS / tool).exists():
        pytest.skip(f"{tool} is not installed (make lint installs it)")
    return subprocess.run([TOOLS / tool, *call], cwd=ROOT, capture_output=True, text=True, timeout=120, input=given)


def test_a_planted_fault_is_caught():
    found = ran("eslint", "--stdin", "--stdin-filename", ASSETS / "planted.js", given="".join(FAULTS.values()))
    assert found.returncode == 1 and not [rule for rule in FAULTS if rule not in found.stdout], found.stdout + found.stderr


def test_a_planted_type_error_is_caught(tmp_path: Path):
    (tmp_path / "planted.js").write_text(
        "/** @param {string} text */\nexport const long = (text) => text.lenght;\n", encoding="utf-8"
    )
    (tmp_path / "tsconfig.json").write_text(f'{{"extends": "{ROOT}/tsconfig.json", "include": ["*.js"]}}', encoding="utf-8")
    found = ran("tsc", "--project", tmp_path)
    assert found.returncode != 0 and "TS2551" in found.stdout, found.stdout + found.stderr


def test_every_script_is_read_by_both():
    every = {file.name for file in ASSETS.glob("*.js")}
    assert {Path(line).name for line in ran("tsc", "--listFilesOnly").stdout.split() if str(ASSETS) in line} == every
    linted = ran("eslint", "--format", "json", "src").stdout
    assert {name for name in every if f"/{name}" in linted} == every
