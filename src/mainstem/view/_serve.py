"""Runs the server beside whatever else the process does."""

import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Mapping
from typing import Any

from mainstem.core import InputError

from ._server import application
from ._turns import Answer, Turns

_PATIENCE = 20.0  # seconds for the server to begin


class Served:
    """A page that is being served on this machine, until `stop`. Made by `serve`.

    Parameters: `url`, where it is, its token included: who has the address has the page; `server`, what runs; `thread`, that it runs in;
    `turns`, its questions.
    """

    def __init__(self, url: str, server: Any, thread: threading.Thread, turns: Turns) -> None:
        self.url, self._server, self._thread, self._turns = url, server, thread, turns

    def wait(self) -> None:
        """Returns when the server has ended."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def stop(self) -> None:
        """Ends the server; questions that are open are given up."""
        self._turns.close()
        self._server.should_exit = True
        self._thread.join(5)

    def __repr__(self) -> str:
        return f"Served({self.url})" if self._thread.is_alive() else "Served(stopped)"


def serve(answers: Mapping[str, Answer], opening: Mapping[str, Any], port: int = 0, browser: bool = True, at: str = "") -> Served:
    """Serves the page on 127.0.0.1, to whoever knows its token.

    Parameters: `answers` and `opening`, as of `application`; `port`, 0 for any that is free; `browser`, whether the address is opened in the
    user's browser; `at`, what stands behind the address's `#`. Raises `InputError` for a port that is taken, and where FastAPI or uvicorn is missing.
    """
    token, turns = secrets.token_urlsafe(24), Turns()
    app = application(answers, opening, token, turns)
    import uvicorn

    held = _bound(port)
    config = uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False, ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [held]}, name="mainstem view server", daemon=True)
    thread.start()
    _await(server, thread)
    url = f"http://127.0.0.1:{held.getsockname()[1]}/{token}/{at}"
    if browser:
        webbrowser.open(url)
    return Served(url, server, thread, turns)


def _bound(port: int) -> socket.socket:
    if not 0 <= port < 2**16:
        raise InputError(f"a port is a number from 0 (any that is free) to 65535, not {port}.")
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        held.bind(("127.0.0.1", port))
    except OSError as error:
        held.close()
        raise InputError(f"port {port} cannot be had ({error.strerror}): choose another, or 0 for any that is free.") from error
    return held


def _await(server: Any, thread: threading.Thread) -> None:
    until = time.monotonic() + _PATIENCE
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise InputError("the server did not begin: is another program in its way?")
        time.sleep(0.01)
