"""The admin plane at the door: checked here, answered by the registry, streamed both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import wraps
from typing import Any

import aiohttp
from starlette.requests import Request
from starlette.responses import Response
from yarl import URL

from adapters.aliases import Peer
from adapters.resources import Resource
from router.admin.documents import TENANT_HEADER
from router.admit.keys import LOCAL
from router.errors import Overloaded, TooLarge
from router.replicas.table import TableHolder
from router.request import Caller
from router.wire.asgi import ClientLeft, Present, Receive, Scope, Send
from router.wire.table import Bound, Direct, Handler

_REQUEST_HEADERS = frozenset({b"accept", b"last-event-id"})
_BODY_HEADERS = frozenset({b"content-type", b"content-length"})
_RESPONSE_HEADERS = frozenset(
    {
        "allow",
        "cache-control",
        "content-disposition",
        "content-type",
        "location",
        "retry-after",
    }
)
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})
_ACTOR = b"x-graftwork-actor"
_CONNECT_TIMEOUT_S = 5.0


class AdminProxy:
    """Forwards these resources to the registry's internal surface, wherever the table has it."""

    def __init__(
        self, holder: TableHolder, resources: Iterable[Resource[Any]], max_body_bytes: int
    ) -> None:
        self._resources = tuple(resources)
        self._holder = holder
        self._max_body_bytes = max_body_bytes
        self._session: aiohttp.ClientSession | None = None

    def rows(self) -> list[Bound]:
        """The registry's resources as the door serves them."""
        return [row._replace(handler=self._forwarding(row.handler)) for row in self._resources]

    def _forwarding(self, handler: Handler) -> Handler:
        @wraps(handler)
        async def forward(_: None, __: Request) -> Response:
            return Direct(self.forward)

        return forward

    async def forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on.

        Raises ``Overloaded`` while there is no registry, ``TooLarge``, and ``ClientLeft``: also
        when a stream of events would go on for nobody.
        """
        registry = self._holder.current.registry
        if registry is None:
            raise Overloaded("The registry is starting; try again shortly.", retry_after_s=1.0)
        if scope["method"] in _WITHOUT_BODY:
            with Present(receive):
                await self._forward(registry, scope, receive, send)
        else:
            await self._forward(registry, scope, receive, send)

    async def _forward(self, registry: Peer, scope: Scope, receive: Receive, send: Send) -> None:
        body = _Body(scope, receive, self._max_body_bytes)
        try:
            async with self._client().request(
                scope["method"],
                URL(_url(registry, scope), encoded=True),
                headers=_headers(registry, scope),
                data=body.pieces() if scope["method"] not in _WITHOUT_BODY else None,
                allow_redirects=False,
            ) as response:
                await _pass_on(response, send)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # What the client did wrong comes out of the HTTP library as a broken connection.
            if body.error is not None:
                raise body.error from error
            raise Overloaded(
                "The registry does not answer; try again shortly.", retry_after_s=1.0
            ) from error

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


class _Body:
    """A request's body on its way to the registry."""

    def __init__(self, scope: Scope, receive: Receive, limit_bytes: int) -> None:
        self._receive = receive
        self._limit = limit_bytes
        self.error: ClientLeft | TooLarge | None = None
        """What the client did wrong."""
        declared = next((v for n, v in scope["headers"] if n == b"content-length"), b"")
        if declared.isdigit() and int(declared) > limit_bytes:
            raise self._too_large()

    async def pieces(self) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.error = ClientLeft()
                raise self.error
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                self.error = self._too_large()
                raise self.error
            if part:
                yield part
            if not message.get("more_body", False):
                return

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body is larger than {self._limit} bytes, which is the limit here.")


def _url(registry: Peer, scope: Scope) -> str:
    query = scope.get("query_string", b"").decode("latin-1")
    path: str = scope["raw_path"].decode("latin-1")
    return registry.url + path + (f"?{query}" if query else "")


def _headers(registry: Peer, scope: Scope) -> list[tuple[str, str]]:
    caller: Caller = scope["caller"]
    given = {name: value.decode("latin-1") for name, value in scope["headers"]}
    # Without keys the client says who acts; with keys the key does.
    named = given.get(_ACTOR, "") if caller is LOCAL else ""
    wanted = _REQUEST_HEADERS
    if scope["method"] not in _WITHOUT_BODY:
        wanted |= _BODY_HEADERS  # a length without its body would take the next request's bytes
    passed = [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name in wanted
    ]
    return [
        *passed,
        ("authorization", f"Bearer {registry.secret}"),
        ("x-graftwork-actor", named or caller.name),
        (TENANT_HEADER, caller.tenant),
        ("x-request-id", scope["request_id"]),
    ]


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
