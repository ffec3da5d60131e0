"""The admin plane at the door: checked here, answered by the registry, streamed both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
from yarl import URL

from router.errors import Overloaded, TooLarge
from router.replicas.table import TableHolder
from router.wire.asgi import ClientLeft, Receive, Scope, Send

_REQUEST_HEADERS = frozenset(
    {b"content-type", b"content-length", b"accept", b"x-request-id", b"last-event-id"}
)
_RESPONSE_HEADERS = frozenset({"content-type", "content-disposition", "cache-control", "location"})
_CONNECT_TIMEOUT_S = 5.0


class AdminProxy:
    """Forwards to the registry's internal surface, wherever the table says that it is."""

    def __init__(self, holder: TableHolder, max_body_bytes: int) -> None:
        self._holder = holder
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None

    async def forward(self, scope: Scope, receive: Receive, send: Send, actor: str) -> None:
        """Pass one request on. Raises ``Overloaded`` while there is no registry."""
        registry = self._holder.current.registry
        if registry is None:
            raise Overloaded("The registry is starting; try again shortly.", retry_after_s=1.0)
        query = scope.get("query_string", b"").decode("latin-1")
        url = registry.url + scope["raw_path"].decode("latin-1") + (f"?{query}" if query else "")
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name in _REQUEST_HEADERS
        ]
        headers += [("authorization", f"Bearer {registry.secret}"), ("x-graftwork-actor", actor)]
        has_body = scope["method"] not in ("GET", "HEAD", "DELETE")
        try:
            async with self._client().request(
                scope["method"],
                URL(url, encoded=True),
                headers=headers,
                data=self._body(receive) if has_body else None,
                allow_redirects=False,
            ) as response:
                await _pass_on(response, send)
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise Overloaded(
                "The registry does not answer; try again shortly.", retry_after_s=1.0
            ) from error

    async def _body(self, receive: Receive) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part = message.get("body", b"")
            size += len(part)
            if size > self._max_body_bytes:
                raise TooLarge(f"The body is larger than {self._max_body_bytes} bytes.")
            if part:
                yield part
            if not message.get("more_body", False):
                return

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S)
            self._session = aiohttp.ClientSession(
                timeout=timeout, trust_env=False, auto_decompress=False
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


async def _pass_on(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in response.headers.items()
        if name.lower() in _RESPONSE_HEADERS
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    async for chunk in response.content.iter_any():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
