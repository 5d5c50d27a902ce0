"""Who is let in: whoever has the token, from this machine, by its own name."""

from collections.abc import Awaitable, Callable, MutableMapping
from secrets import compare_digest
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",  # the address holds the token
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Guard:
    """Stands before the application. Without the token there is an empty 403, whatever was asked for.

    The host must be this machine by name or number: a page elsewhere whose name was made to point here (DNS rebinding) has its own.
    What changes anything comes from our own page: where the browser says an origin, it must be ours.

    Parameters: `app`; `token`, the first part of every path.
    """

    def __init__(self, app: App, token: str) -> None:
        self.app, self._token = app, token.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers for the application, or lets the request through. Parameters: as of ASGI."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif not self._known(scope):
            await send({"type": "http.response.start", "status": 403, "headers": _headers([])})
            await send({"type": "http.response.body", "body": b""})
        else:
            await self.app(scope, receive, _closed(send))

    def _known(self, scope: Message) -> bool:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        first = bytes(scope.get("raw_path") or scope["path"].encode("utf-8", "replace")).split(b"/")[1:2]
        ours = compare_digest(first[0] if first else b"", self._token)
        host = headers.get(b"host", b"")
        origin = headers.get(b"origin")
        return ours and _local(host, scope) and (origin is None or origin == b"http://" + host)


def _local(host: bytes, scope: Message) -> bool:
    """Whether a request was addressed to this server as it is reached from this machine."""
    port = str(scope["server"][1]).encode()
    return host in (b"127.0.0.1:" + port, b"localhost:" + port)


def _headers(given: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*given, *((name.encode(), value.encode()) for name, value in _HEADERS.items())]


def _closed(send: Send) -> Send:
    """Sends with the headers that every reply has."""

    async def sends(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = _headers(list(message.get("headers", [])))
        await send(message)

    return sends
