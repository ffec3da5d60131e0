"""Clients that speak something else than HTTP/1.1: older ones, and those that offer WebSockets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from router.errors import RouterError
from router.wire.asgi import ClientLeft, Message, Receive, Scope, Send
from router.wire.table import refuse


class UpgradeRequired(RouterError):
    """Something is asked for that needs another protocol, or the offered one is not spoken."""

    status = 426
    type = "invalid_request_error"
    code = "websocket_not_supported"


def websocket_refused() -> UpgradeRequired:
    """The answer to an offer of WebSockets."""
    return UpgradeRequired("WebSockets are not spoken here: POST, and read server-sent events.")


async def refuse_websocket(scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
    """End a handshake that the server has already understood as one."""
    await receive()
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"application/json"), (b"upgrade", b"HTTP/1.1")]
    start = {"type": "websocket.http.response.start", "status": 426, "headers": headers}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": body})


class WholeAnswers:
    """Answers for HTTP/1.0 clients, which cannot read chunks: each gets its length, when it ends.

    The server below writes chunk sizes into whatever comes without a length, whoever asks.

    Args:
        limit_bytes: held at most, of all such answers together.
    """

    def __init__(self, limit_bytes: int = 64 * 1024 * 1024) -> None:
        self._limit_bytes = limit_bytes
        self.held_bytes = 0

    @contextmanager
    def held(self, scope: Scope, send: Send) -> Iterator[Send]:
        """The same ``send``, for one request. An answer without room ends as 426, and the request
        as one whose client has left: nobody generates what cannot be delivered.
        """
        one = _Whole(scope, send)
        try:
            yield partial(self._take, one)
        finally:
            self.held_bytes -= one.size

    async def _take(self, one: _Whole, message: Message) -> None:
        size = 0 if one.passes(message) else len(message.get("body", b""))
        if self.held_bytes + size > self._limit_bytes:
            error = UpgradeRequired("So long an answer needs HTTP/1.1.", code="http_version")
            await refuse(one.scope, error, one.send)
            raise ClientLeft
        self.held_bytes += size
        one.size += size
        await one.take(message)


class _Whole:
    """One answer: its start and its parts, until it is whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = scope
        self.send = send
        self.size = 0
        self._start: Message | None = None
        self._parts: list[bytes] = []

    def passes(self, message: Message) -> bool:
        """Whether it needs not be held: it is of an answer with a length, or not of a body."""
        return message["type"] == "http.response.start" or self._start is None

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start" and not _has_length(message):
            self._start = message
        elif self._start is None:
            await self.send(message)
        else:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._ended(self._start)

    async def _ended(self, start: Message) -> None:
        length = (b"content-length", str(self.size).encode())
        await self.send({**start, "headers": [*start["headers"], length]})
        await self.send({"type": "http.response.body", "body": b"".join(self._parts)})


def _has_length(start: Message) -> bool:
    return any(name.lower() == b"content-length" for name, _ in start["headers"])
