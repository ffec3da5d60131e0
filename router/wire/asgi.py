"""The little of ASGI that the door needs: read a bounded body, answer JSON, notice who left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import orjson

from router.errors import RouterError, TooLarge

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


async def read_body(scope: Scope, receive: Receive, limit_bytes: int) -> bytes:
    """The whole body. Raises ``TooLarge`` as soon as that is sure, ``ClientLeft`` when cut."""
    declared = next((v for n, v in scope["headers"] if n == b"content-length"), None)
    if declared is not None and declared.isdigit() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
        return body
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"The body is larger than {limit_bytes} bytes, which is the limit here.")


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
    if error.retry_after_s is None:
        return {}
    return {"retry-after": str(max(1, round(error.retry_after_s)))}
