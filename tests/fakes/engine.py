"""An engine replica on loopback: a real HTTP server that answers as vLLM does, with logprobs.

    async with FakeEngine({"tiny": Says("a lamp", logprob=-0.1)}) as engine:
        ...  # point a replica at engine.url

What each model says is one token a word. ``requests`` has the bodies that came, ``paths`` where to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web

from tests.fakes.engine_speech import DIALECTS, Dialect, Json, Says, refuses

__all__ = ["FakeEngine", "Says"]


class FakeEngine:
    """The server; an asynchronous context manager."""

    def __init__(self, models: Mapping[str, Says]) -> None:
        self.models = dict(models)
        self.requests: list[Json] = []
        self.paths: list[str] = []
        self.left_early = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        for path in DIALECTS:
            app.router.add_post(path, self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    def asked(self) -> list[str]:
        """The models that were called, in order."""
        return [str(body["model"]) for body in self.requests]

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.requests.append(body)
        self.paths.append(request.path)
        says = self.models.get(body["model"])
        if says is None or says.status != 200:
            error = {"message": "no", "type": "server_error", "code": None}
            return web.json_response({"error": error}, status=503 if says is None else says.status)
        if refuses(request.path, body, says):
            error = {"message": "no", "type": "invalid_request_error", "param": "logprobs"}
            return web.json_response({"error": {**error, "code": 400}}, status=400)
        dialect = DIALECTS[request.path]
        if body.get("stream"):
            return await self._stream(request, body, says, dialect)
        return web.json_response(dialect.whole(body, says), dumps=_compact)

    async def _stream(
        self, request: web.Request, body: Json, says: Says, dialect: Dialect
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            if opening := dialect.opening(body, says):
                await response.write(opening)
            for place in range(len(says.tokens)):
                if place == says.cut_after:
                    await response.write_eof()
                    return response
                if place == says.pause_after:
                    await says.go.wait()
                await response.write(dialect.piece(body, says, place))
            await response.write(dialect.closing(body, says))
        except (asyncio.CancelledError, ConnectionError):
            self.left_early += 1
            raise
        await response.write_eof()
        return response


def _compact(value: object) -> str:
    return orjson.dumps(value).decode()
