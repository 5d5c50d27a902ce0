"""Other devices, in a process of their own: two are made out of the processor, which refuse what GPUs refuse."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from house._source import ROOT

SUITE = Path(__file__).with_name("suite.py")


@pytest.mark.slow
def test_every_number_is_the_same_on_another_device_and_on_two():
    pytest.importorskip("ninja", reason="no ninja to build a device with")
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler to build a device with")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(SUITE)]
    said = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")} | {"OMP_NUM_THREADS": "1", "MAX_JOBS": "1"}
    said["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{said['PATH']}"  # torch asks for ninja by name
    done = subprocess.run(command, cwd=ROOT, env=said, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout
