"""The little of ASGI that the door needs: answer JSON, notice who left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson

from router.errors import (
    MethodNotAllowed,
    RouterError,
    TooLarge,
    TooSlow,
    Unauthenticated,
    UnsupportedEncoding,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = b"application/json"


class ClientLeft(Exception):
    """The client closed the connection; there is nobody to answer."""


def header_map(scope: Scope) -> dict[str, str]:
    """Request headers, lower-case names; of repeated ones the last counts."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


class Present:
    """For ``with``: cancels the work inside when the client leaves, which raises ``ClientLeft``.

    The work runs in the caller's own task: a task of its own would cost more than watching does.
    """

    __slots__ = ("_left", "_me", "_receive", "_watcher")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._left = False

    def __enter__(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        self._me = me
        self._watcher = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await _disconnected(self._receive)
        self._left = True
        self._me.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watcher.cancel()
        # Counted down only if it was ours alone: who else cancelled this task must be heard.
        if kind is asyncio.CancelledError and self._left and not self._me.uncancel():
            raise ClientLeft from None


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_body(
    send: Send, status: int, body: bytes, content_type: bytes, headers: Iterable[Header] = ()
) -> None:
    """One complete response."""
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [
                (b"content-type", content_type),
                (b"content-length", str(len(body)).encode()),
                *headers,
            ],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: Any, headers: Iterable[Header] = ()) -> None:
    """One complete JSON response."""
    await send_body(send, status, orjson.dumps(value), JSON, headers)


def encode_headers(values: Mapping[str, str]) -> list[Header]:
    """Response headers; what cannot be a header value is made harmless."""
    return [(name.encode("latin-1"), _safe(value)) for name, value in values.items()]


def _safe(value: str) -> bytes:
    if value.isprintable():
        return value.encode("latin-1", "replace")
    clean = "".join(c if c.isprintable() else "?" for c in value)
    return clean.encode("latin-1", "replace")


def error_headers(error: RouterError) -> dict[str, str]:
    """Headers that an error brings along."""
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allowed
    if error.status == 426:
        headers["upgrade"] = "HTTP/1.1"  # the answer must name what would be spoken
    if isinstance(error, UnsupportedEncoding):
        headers["accept-encoding"] = "gzip, deflate, zstd"
    if isinstance(error, TooLarge | TooSlow):
        headers["connection"] = "close"  # or what is left of the body would still be read
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return headers
