"""An engine replica on loopback: a real HTTP server that answers as vLLM does, with logprobs.

    async with FakeEngine({"tiny": Says("a lamp", logprob=-0.1)}) as engine:
        ...  # point a replica at engine.url

What each model says is one token a word. ``requests`` has the bodies that came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

Json = dict[str, Any]


@dataclass
class Says:
    """What a model answers.

    Attributes:
        text: one token a word.
        logprob: of each token.
        status: other than 200: an error.
        pause_after: tokens of a stream after which ``go`` is waited for.
        cut_after: tokens of a stream after which it ends, without its last event.
        go: lets a paused stream go on.
    """

    text: str = "yes"
    logprob: float = -0.05
    status: int = 200
    pause_after: int | None = None
    cut_after: int | None = None
    go: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def tokens(self) -> list[str]:
        """The words, spaces kept."""
        words = self.text.split(" ")
        return [words[0], *(" " + word for word in words[1:])]


class FakeEngine:
    """The server; an asynchronous context manager."""

    def __init__(self, models: Mapping[str, Says]) -> None:
        self.models = models
        self.requests: list[Json] = []
        self.left_early = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/completions", self._completions)
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

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=True)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, chat=False)

    async def _answer(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.requests.append(body)
        says = self.models.get(body["model"])
        if says is None or says.status != 200:
            error = {"message": "no", "type": "server_error", "code": None}
            return web.json_response({"error": error}, status=503 if says is None else says.status)
        if body.get("stream"):
            return await self._stream(request, body, says, chat=chat)
        return web.json_response(_whole(body, says, chat=chat))

    async def _stream(
        self, request: web.Request, body: Json, says: Says, *, chat: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for place, token in enumerate(says.tokens):
                if place == says.cut_after:
                    await response.write_eof()
                    return response
                if place == says.pause_after:
                    await says.go.wait()
                await _event(response, _chunk(body, says, token, chat=chat))
            if (body.get("stream_options") or {}).get("include_usage"):
                await _event(response, {**_head(body), "choices": [], "usage": _usage(says)})
            await response.write(b"data: [DONE]\n\n")
        except (asyncio.CancelledError, ConnectionError):
            self.left_early += 1
            raise
        await response.write_eof()
        return response


async def _event(response: web.StreamResponse, value: Json) -> None:
    await response.write(b"data: " + orjson.dumps(value) + b"\n\n")


def _head(body: Json) -> Json:
    return {"id": "cmpl-1", "object": "chat.completion", "created": 1, "model": body["model"]}


def _usage(says: Says) -> Json:
    count = len(says.tokens)
    return {"prompt_tokens": 7, "completion_tokens": count, "total_tokens": 7 + count}


def _whole(body: Json, says: Says, *, chat: bool) -> Json:
    choice: Json = {"index": 0, "finish_reason": "stop"}
    if chat:
        choice["message"] = {"role": "assistant", "content": says.text}
    else:
        choice["text"] = says.text
    choice["logprobs"] = _logprobs(body, says.tokens, says, chat=chat)
    return {**_head(body), "choices": [choice], "usage": _usage(says)}


def _chunk(body: Json, says: Says, token: str, *, chat: bool) -> Json:
    choice: Json = {"index": 0, "finish_reason": None}
    choice |= {"delta": {"content": token}} if chat else {"text": token}
    choice["logprobs"] = _logprobs(body, [token], says, chat=chat)
    return {**_head(body), "choices": [choice]}


def _logprobs(body: Json, tokens: list[str], says: Says, *, chat: bool) -> Json | None:
    if body.get("logprobs") is None or body["logprobs"] is False:
        return None
    if not chat:
        return {
            "tokens": tokens,
            "token_logprobs": [says.logprob for _ in tokens],
            "top_logprobs": [{token: says.logprob} for token in tokens],
            "text_offset": [0 for _ in tokens],
        }
    top = body.get("top_logprobs") or 0
    told = [{"token": t, "logprob": says.logprob, "bytes": None} for t in tokens]
    return {"content": [{**each, "top_logprobs": [each] if top else []} for each in told]}
