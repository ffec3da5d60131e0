"""What happens, told to open pages: which kind of thing, so that a page knows to look again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

from router.config.auth import KeyScope
from router.errors import Overloaded
from router.request import Caller
from router.wire.asgi import Message, Present, Receive, Scope, Send
from router.wire.table import Bound, Direct, ResourceApp

EVENTS: Final = "/admin/v1/events"
MOST: Final = 256
"""Open pages of one router that are told; further ones ask again and again instead."""
_KINDS: Final = {
    KeyScope.REVIEWER: frozenset({"review"}),
    KeyScope.AUDITOR: frozenset({"decision", "erasure", "policy"}),
}
"""What callers who are no administrators may know of, by scope."""
_MAX_BLOCK_BYTES: Final = 1024 * 1024


class Live:
    """Follows the system's events for open pages.

    Args:
        rows: the admin plane's; of them the events.
    """

    def __init__(self, rows: Iterable[Bound]) -> None:
        self._app = ResourceApp(row for row in rows if row.path == EVENTS)
        self.open = 0

    def stream(self, caller: Caller, request_id: str, after: str) -> Response:
        """Kinds of events, as they happen (SSE). Raises ``Overloaded``."""
        if self.open >= MOST:
            raise Overloaded("Too many pages are open.", retry_after_s=10.0)

        async def told(_: Scope, receive: Receive, send: Send) -> None:
            self.open += 1
            try:
                with Present(receive):
                    scope = _scope(caller, request_id, after)
                    await self._app(scope, _nothing, _Kinds(_known_to(caller), send))
            finally:
                self.open -= 1

        return Direct(told)


class _Kinds:
    """An ASGI ``send`` that passes on of each event only its number and kind."""

    def __init__(self, known: frozenset[str] | None, send: Send) -> None:
        self._known = known
        self._send = send
        self._rest = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if message["status"] == 200:
                headers = [*message["headers"], (b"x-accel-buffering", b"no")]
                message = {**message, "headers": headers}
            await self._send(message)
            return
        *blocks, self._rest = (self._rest + message.get("body", b"")).split(b"\n\n")
        if len(self._rest) > _MAX_BLOCK_BYTES:
            self._rest = b""
        said = b"".join(self._told(block) for block in blocks)
        if said or not message.get("more_body", False):
            await self._send({**message, "body": said})

    def _told(self, block: bytes) -> bytes:
        fields = dict(_fields(block))
        kind = fields.get(b"event", b"")
        if not kind:
            return b": still here\n\n"
        if self._known is not None and kind.decode("latin-1") not in self._known:
            return b""
        return b"id: %b\nevent: change\ndata: %b\n\n" % (fields.get(b"id", b"0"), kind)


def _fields(block: bytes) -> Iterable[tuple[bytes, bytes]]:
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        yield name, value.removeprefix(b" ")


def _known_to(caller: Caller) -> frozenset[str] | None:
    """Kinds; None: all."""
    if KeyScope.ADMIN in caller.scopes:
        return None
    kinds = [found for scope, found in _KINDS.items() if scope in caller.scopes]
    return frozenset().union(*kinds)


def _scope(caller: Caller, request_id: str, after: str) -> dict[str, Any]:
    headers = [(b"host", b"console"), (b"accept", b"text/event-stream")]
    if after.isascii() and after.isdigit():
        headers.append((b"last-event-id", after[:18].encode()))
    return {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": "GET",
        "path": EVENTS,
        "raw_path": EVENTS.encode(),
        "query_string": b"detail=true",
        "headers": headers,
        "client": None,
        "server": ("console", 80),
        "caller": caller,
        "request_id": request_id,
    }


async def _nothing() -> Message:
    """The question has no body, and nobody takes it back."""
    return await asyncio.Future[Message]()
