"""A JupyterLab of a test's own: on loopback, with a token, in a home that goes with the test."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

QUIET = ("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.extension_manager=readonly")
NO_NEWS = Path("lab", "user-settings", "@jupyterlab", "apputils-extension", "notification.jupyterlab-settings")
PATIENCE = 180.0  # seconds that a server may take to answer on a busy machine


def notebook(path: Path, *cells: str) -> None:
    """Writes a notebook. Parameters: `path`; `cells`, their code."""
    made = [
        {"cell_type": "code", "id": f"cell{i}", "metadata": {}, "execution_count": None, "outputs": [], "source": text}
        for i, text in enumerate(cells)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole), encoding="utf-8")


def environment(home: Path) -> dict[str, str]:
    """What a server and its kernels see: nothing of the user's own settings, and this mainstem. Parameters: `home`."""
    own = {
        name: str(home / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    }
    source = str(Path(__file__).parents[2] / "src")
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **own, "HOME": str(home), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


@contextmanager
def jupyterlab(folder: Path, home: Path) -> Iterator[str]:
    """Its address, up to the token, while it runs; skips, with the reason, where it is not installed.

    Parameters: `folder`, that it shows; `home`, of its own.
    """
    for name in ("jupyterlab", "ipykernel", "anywidget"):
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install {name}")
    seen = environment(home)
    token, port = secrets.token_hex(16), free()
    own = ("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0")
    call = [
        sys.executable,
        "-m",
        "jupyterlab",
        *own,
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={folder}",
        *QUIET,
    ]
    settings = Path(seen["JUPYTER_CONFIG_DIR"]) / NO_NEWS
    settings.parent.mkdir(parents=True)
    settings.write_text('{"fetchNews": "false"}', encoding="utf-8")
    log = home / "log"
    with log.open("wb") as out:
        running = subprocess.Popen(call, env=seen, cwd=folder, stdout=out, stderr=out, start_new_session=True)
    try:
        listening(port, running, log)
        yield f"http://127.0.0.1:{port}/lab/tree/NAME?token={token}"
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)


def free() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def listening(port: int, running: Any, log: Path) -> None:
    """Waits until something listens. Parameters: `port`; `running`, the process that is to; `log`, what it said."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and running.poll() is None:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer: {log.read_text(encoding='utf-8', errors='replace')[-2000:]}")
