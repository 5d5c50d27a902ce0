"""The local server of the page: a fixed table of files, and questions that are answered by functions it is given."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from mainstem.core import InputError

from ._guard import Guard
from ._shell import assets, shell
from ._turns import Answer, Turns
from ._written import written

MOST = 16 * 2**20  # bytes of a question, an uploaded file included


def application(answers: Mapping[str, Answer], opening: Mapping[str, Any], token: str, turns: Turns) -> Any:
    """The application, behind its guard.

    Parameters: `answers`, a function for each kind of question: given what was asked and its `Turn`, it returns plain data;
    `opening`, what the page is told when it opens; `token`; `turns`, the queue. Raises `InputError` where FastAPI is missing.
    """
    try:
        from fastapi import FastAPI, Request, Response
        from fastapi.responses import StreamingResponse
    except ImportError as error:
        raise InputError('the page needs FastAPI and uvicorn: pip install "mainstem[view]"') from error

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    files, first = assets(), shell(opening)

    @app.get("/{_}/")
    def page() -> Response:
        return Response(first, media_type="text/html")

    @app.get("/{_}/assets/{name}")
    def asset(name: str) -> Response:
        found = files.get(name)
        return Response(found[1], media_type=found[0]) if found else Response(status_code=404)

    @app.post("/{_}/ask/{kind}")
    async def ask(kind: str, request: Request) -> Response:
        asked = await _read(request)
        if isinstance(asked, int):
            return Response(status_code=asked)
        if kind not in answers:
            return Response(status_code=404)
        return StreamingResponse(_lines(turns, kind, answers[kind], asked), media_type="application/x-ndjson")

    return Guard(app, token)


async def _read(request: Any) -> dict[str, Any] | int:
    """What was asked; or a status: what is too long is not read to its end, and what is not JSON of ours could be a form of another page."""
    if request.headers.get("content-type") != "application/json":
        return 415
    held = bytearray()
    async for some in request.stream():
        held += some
        if len(held) > MOST:
            return 413
    try:
        asked = json.loads(held)
    except (ValueError, RecursionError):
        return 400
    return asked if isinstance(asked, dict) and isinstance(asked.get("asked"), dict) else 400


async def _lines(turns: Turns, kind: str, answer: Answer, asked: dict[str, Any]) -> AsyncIterator[str]:
    """The reply, a line of JSON at a time: progress, and at the end the answer, an error, or that it was superseded."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()

    def put(line: dict[str, Any] | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(queue.put_nowait, line)

    lane = str(asked.get("page", ""))[:64], str(asked.get("lane", kind))[:64]
    drop: Callable[[], None] = turns.take(lane, answer, asked["asked"], put)
    try:
        while (line := await queue.get()) is not None:
            yield written(line) + "\n"
    finally:
        drop()
