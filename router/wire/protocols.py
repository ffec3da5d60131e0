"""Clients that speak something else than HTTP/1.1: older ones, and those that offer WebSockets."""

from __future__ import annotations

from router.errors import RouterError
from router.wire.asgi import Message, Receive, Scope, Send

_MAX_HELD_BYTES = 64 * 1024 * 1024


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


def whole(send: Send) -> Send:
    """The same ``send`` for an HTTP/1.0 client, which cannot read chunks: it gets the length.

    The server below writes chunk sizes into whatever comes without a length, whoever asks.
    """
    start: Message = {}
    parts: list[bytes] = []
    size = 0

    async def holding(message: Message) -> None:
        nonlocal start, size
        if message["type"] == "http.response.start":
            if any(name.lower() == b"content-length" for name, _ in message["headers"]):
                await send(message)
            else:
                start = message
            return
        if not start:
            await send(message)
            return
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > _MAX_HELD_BYTES:
            raise UpgradeRequired("So long an answer needs HTTP/1.1.", code="http_version")
        if not message.get("more_body", False):
            length = (b"content-length", str(size).encode())
            await send({**start, "headers": [*start["headers"], length]})
            await send({"type": "http.response.body", "body": b"".join(parts)})

    return holding
