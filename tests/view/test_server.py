"""The server: nothing without the token, nothing of the disk, one question of a lane at a time."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from mainstem.core import InputError
from mainstem.view import Superseded, Turn, serve
from mainstem.view._turns import Turns

httpx = pytest.importorskip("httpx")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

GO = threading.Event()
HEARD: list[str] = []


def echo(asked: Any, turn: Turn) -> Any:
    turn.say("echoing", 1, 2)
    return asked


def slow(asked: Any, turn: Turn) -> Any:
    """Takes until it is let go, and looks then whether anybody still waits."""
    HEARD.append(asked["name"])
    GO.wait(20)
    try:
        turn.check()
    except Superseded:
        HEARD.append(f"{asked['name']} given up")
        raise
    return asked["name"]


def patient(asked: Any, turn: Turn) -> Any:
    """Goes on until it is given up."""
    try:
        while True:
            turn.say("waiting")
            time.sleep(0.01)
    except Superseded:
        GO.set()
        raise


def wrong(asked: Any, turn: Turn) -> Any:
    raise InputError("say it otherwise.") if asked else ZeroDivisionError("oh")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    served = serve(
        {"echo": echo, "slow": slow, "patient": patient, "wrong": wrong}, {"model": "</script><b>", "pages": []}, browser=False
    )
    yield served.url
    served.stop()


def ask(url: str, kind: str, asked: Any, **more: Any) -> Any:
    body = json.dumps({"page": "p", "asked": asked, **more})
    return httpx.post(f"{url}ask/{kind}", content=body, headers={"content-type": "application/json"}, timeout=30)


def last(reply: Any) -> Any:
    return json.loads(reply.text.splitlines()[-1])


def test_progress_and_then_the_answer(url: str):
    lines = [json.loads(line) for line in ask(url, "echo", {"a": "</script>\ud83d", "b": None}).text.splitlines()]
    assert lines == [
        {"progress": {"what": "echoing", "done": 1, "of": 2}},
        {"answer": {"a": "</script>\ud83d", "b": None}},
    ]


def test_errors_are_said_and_the_thread_lives_on(url: str, capfd: pytest.CaptureFixture[str]):
    assert last(ask(url, "wrong", {"x": 1})) == {"error": "say it otherwise."}
    assert "ZeroDivisionError: oh. This is a fault" in last(ask(url, "wrong", {}))["error"]
    assert "Traceback" in capfd.readouterr().err
    assert last(ask(url, "echo", {"x": 1})) == {"answer": {"x": 1}}


PATHS = [
    "",
    "/",
    "/assets/page.css",
    "/docs",
    "/openapi.json",
    "/favicon.ico",
    "/ask/echo",
    "/{first}",
    "/{half}/",
    "/{token}x/",
    "/%00/",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_without_the_token_there_is_nothing(url: str, path: str, method: str):
    at = urlsplit(url)
    token = at.path.strip("/")
    reply = httpx.request(method, f"http://{at.netloc}{path.format(token=token, first=token[0], half=token[:-1])}")
    assert (reply.status_code, reply.content) == (403, b"")


def test_with_it_there_is(url: str):
    assert httpx.get(url).status_code == httpx.get(f"{url}assets/page.css").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", "", "127.0.0.1:{port}.evil.example"]
)
def test_another_name_for_this_machine_is_refused(url: str, host: str):
    port = urlsplit(url).port
    assert httpx.get(url, headers={"host": f"localhost:{port}"}).status_code == 200
    assert httpx.get(url, headers={"host": host.format(port=port)}).status_code == 403


def test_another_origin_is_refused(url: str):
    own = f"http://{urlsplit(url).netloc}"
    said = {origin: httpx.get(url, headers={"origin": origin}).status_code for origin in (own, "http://evil.example", "null")}
    assert said == {own: 200, "http://evil.example": 403, "null": 403}


HIDDEN = [
    "../_page.py",
    "..%2f_page.py",
    "%2e%2e/_page.py",
    "..\\_page.py",
    "/etc/passwd",
    "%2fetc%2fpasswd",
    "page.css%00.js",
    "",
    ".",
    "picture.svg",
]


@pytest.mark.parametrize("name", HIDDEN)
def test_no_path_reaches_the_disk(url: str, name: str):
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), 10) as line:
        path = urlsplit(url).path
        line.sendall(f"GET {path}assets/{name} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nConnection: close\r\n\r\n".encode())
        reply = b"".join(iter(lambda: line.recv(65536), b""))
    assert reply.split(b" ")[1] in (b"404", b"400", b"403")
    assert b"def " not in reply and b"root:" not in reply


def test_every_reply_is_closed_to_others(url: str):
    for reply in (httpx.get(url), httpx.get(f"{url}assets/dom.js"), ask(url, "echo", {}), httpx.get(f"{url}none")):
        said = reply.headers
        assert "default-src 'none'" in said["content-security-policy"] and "unsafe" not in said["content-security-policy"]
        assert (said["referrer-policy"], said["x-content-type-options"], said["cache-control"]) == (
            "no-referrer",
            "nosniff",
            "no-store",
        )


def test_what_is_no_question_is_refused(url: str):
    place = f"{url}ask/echo"
    assert httpx.post(place, content=b'{"asked": {}}', headers={"content-type": "text/plain"}).status_code == 415
    for body in (b"", b"[]", b"{", b'{"asked": 1}', b"\xff", b"[" * 100_000):
        assert httpx.post(place, content=body, headers={"content-type": "application/json"}).status_code == 400
    assert ask(url, "none", {}).status_code == 404
    large = b'{"asked": {"x": "' + b"a" * 2**24 + b'"}}'
    assert httpx.post(place, content=large, headers={"content-type": "application/json"}).status_code == 413


def test_the_opening_stands_in_the_page_as_data(url: str):
    html = httpx.get(url).text
    assert "<b>" not in html.replace("<b></b>", "")
    assert "\\u003c/script\\u003e\\u003cb\\u003e" in html


def test_a_newer_question_takes_the_place_of_older_ones():
    GO.clear()
    HEARD.clear()
    turns, done = Turns(), threading.Semaphore(0)
    replies: dict[str, list[Any]] = {}

    def take(name: str, page: str = "p") -> Any:
        heard = replies.setdefault(name, [])
        return turns.take((page, "slow"), slow, {"name": name}, lambda line: heard.append(line) if line else done.release())

    take("running")
    while HEARD != ["running"]:
        pass
    take("queued")
    take("another page", "q")
    take("left alone", "r")()
    take("newest")
    GO.set()
    assert all(done.acquire(timeout=20) for _ in range(5))
    gone = [{"superseded": True}]
    kept = {name: [{"answer": name}] for name in ("another page", "newest")}
    assert replies == {"running": gone, "queued": gone, "left alone": gone, **kept}
    assert HEARD == ["running", "running given up", "another page", "newest"]
    turns.close()


def test_what_the_page_no_longer_waits_for_is_given_up(url: str):
    GO.clear()
    with httpx.Client() as client, client.stream("POST", f"{url}ask/patient", json={"page": "z", "asked": {}}) as reply:
        assert "waiting" in next(reply.iter_lines())
    assert GO.wait(20)
    assert last(ask(url, "echo", {})) == {"answer": {}}


def test_a_port_that_is_taken_is_said(url: str):
    with pytest.raises(InputError, match="cannot be had"):
        serve({}, {}, urlsplit(url).port or 0, browser=False)
