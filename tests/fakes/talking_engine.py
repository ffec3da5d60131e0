"""An engine for a replica's real surface: it holds adapters and answers as vLLM's own app does.

What a model says names the model, so that a test sees which version answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from tests.fakes.engine_speech import DIALECTS, Says
from tests.fakes.replica_engine import FakeEngine

_Send = Callable[[dict[str, Any]], Awaitable[None]]
_COUNTS = {"/v1/messages/count_tokens": "input_tokens", "/tokenize": "count"}
TOKENS = 7
"""In whatever is counted."""


class TalkingEngine(FakeEngine):
    """Speaks for the base and for what it serves; ``says`` overrides the answer of one model.

    Attributes:
        requests: path and body of each call, oldest first.
    """

    max_model_len = 4096

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.says: dict[str, Says] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def asgi_app(self) -> Any:
        """The routes that routers call."""
        return self._app

    async def _app(self, scope: dict[str, Any], receive: Any, send: _Send) -> None:
        raw = b""
        while True:
            message = await receive()
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        path, body = scope["path"], orjson.loads(raw or b"{}")
        self.requests.append((path, body))
        model = str(body.get("model") or self.base)
        says = self.says.get(model) or Says(f"I am {model}")
        await asyncio.sleep(says.delay_s)
        if model != self.base and model not in self.front:
            message = f"The model `{model}` does not exist."
            error = {"message": message, "type": "NotFoundError", "param": "model", "code": 404}
            await _json(send, 404, {"error": error})
        elif path in _COUNTS:
            await _json(send, 200, {_COUNTS[path]: TOKENS})
        elif path not in DIALECTS:
            await _json(send, 404, {"detail": "Not Found"})
        elif says.status != 200:
            error = {"message": "no", "type": "server_error", "param": None, "code": says.status}
            await _json(send, says.status, {"error": error})
        elif body.get("stream"):
            await _stream(send, path, body, says)
        else:
            await _json(send, 200, DIALECTS[path].whole(body, says))


async def _json(send: _Send, status: int, value: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(value)})


async def _stream(send: _Send, path: str, body: dict[str, Any], says: Says) -> None:
    dialect = DIALECTS[path]
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    pieces = [dialect.piece(body, says, place) for place in range(len(says.tokens))]
    for piece in (dialect.opening(body, says), *pieces, dialect.closing(body, says)):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
