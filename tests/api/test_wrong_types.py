"""Arguments of the wrong type: one clear `InputError` that names them, never an error from inside."""

import json
import subprocess
import sys
from pathlib import Path

from mainstem import api

SOURCE = Path(api.__file__).parents[2]


def all_said(folder: Path, which: str) -> dict[str, tuple[str, str]]:
    """Errors by call, as `wrong.py` has them. Parameters: `folder`; `which`, "calls" or "choices"."""
    script = Path(__file__).with_name("wrong.py")
    words = [sys.executable, script, folder, which]
    done = subprocess.run(
        words, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    )
    return {name: tuple(both) for name, both in json.loads(done.stdout).items()}


WORDS = {
    "persistence(5)": "a label is text",
    "perturbed(norms=[])": "some of live, frozen, absent",
    "virtual_weights turned": "virtual_weights('L1.mlp', 'L0.mlp')",
    "figures(threshold='a')": "threshold is a number, not 'a'",
    "merge(5)": "named by text or a Path, not by 5",
    "load(parquet)": "holds numbers as a table",
    "load(folder)": "mainstem.merge(",
    "erasers(path)": "there is no file or folder",
    "measure(column='text')": "leave it out",
    "measure(choices of another)": "'outliers', which is not asked for",
    "scan(luck=5)": "has no argument 'luck'",
}


def test_one_clear_error_for_every_wrong_type(tmp_path):
    found = all_said(tmp_path, "calls")
    assert {name: both for name, both in found.items() if both[0] != "InputError"} == {}
    for name, words in WORDS.items():
        assert words in found[name][1]
    assert len(found) > 50 and all(text.endswith(".") and "\n" not in text for _, text in found.values())


def test_choices_of_measures_are_of_their_own_types(tmp_path):
    found = all_said(tmp_path, "choices")
    assert {kind for kind, _ in found.values()} == {"InputError", "nothing"}
    passed = {name for name, (kind, _) in found.items() if kind == "nothing"}
    seeds = {f"{name}({{'seed': -1}})" for name in ("alignment", "rotated_kurtosis")}
    assert passed == {*seeds, "subspace({'rank': None})", "subspace({'centred': True})"}
