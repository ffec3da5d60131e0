"""A client of an ASGI application in the same process, which can leave in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

App = Callable[[dict[str, Any], Any, Any], Any]


@dataclass
class Reply:
    """What came back, as far as it came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)


async def ask(
    app: App,
    path: str,
    body: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None = None,
    leave: asyncio.Event | None = None,
    reply: Reply | None = None,
) -> Reply:
    """POST a JSON body, or GET without one; ``leave`` closes the connection when it is set.

    ``reply`` fills up while the answer comes.
    """
    raw, found = b"" if body is None else orjson.dumps(body), reply or Reply()
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": raw, "more_body": False}
        await (leave or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {k.decode().lower(): v.decode() for k, v in message["headers"]}
        else:
            found.body += message.get("body", b"")

    given = {"host": "127.0.0.1", "content-type": "application/json", **(headers or {})}
    scope = {
        "type": "http",
        "method": "GET" if body is None else "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    await app(scope, receive, send)
    return found
