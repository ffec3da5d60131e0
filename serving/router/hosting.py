"""What Ray Serve does around the door, and must not be done twice."""

from __future__ import annotations

from router.wire.asgi import ASGIApp, Message, Receive, Scope, Send

_REQUEST_ID = b"x-request-id"


def without_request_id(app: ASGIApp) -> ASGIApp:
    """Drop the door's own ``x-request-id``: Ray Serve hands the id in and appends it itself."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [h for h in message["headers"] if h[0] != _REQUEST_ID]
                message = {**message, "headers": headers}
            await send(message)

        await app(scope, receive, send_once)

    return wrapped
