"""Serves one table of (scope, method, path, handler): whoever asks, whatever goes wrong.

Everything but the inference routes is served by it: those are bare ASGI, because they are hot.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router

from adapters.resources import BadField, Resource
from router.errors import (
    MethodNotAllowed,
    NotFound,
    Refused,
    RouterError,
    error_body,
    unexpected,
)
from router.wire.asgi import (
    ClientLeft,
    Message,
    Receive,
    Scope,
    Send,
    encode_headers,
    error_headers,
    send_json,
)

Authorize = Callable[[Request, Resource[None]], None]
"""Raises what refuses a request that asks for this row."""
Explain = Callable[[Exception], RouterError | None]
"""What an error of a handler's own tells the client; None: nobody foresaw it."""
Bound = Resource[None]
Handler = Callable[[None, Request], Awaitable[Response]]
_log = logging.getLogger("graftwork.router")


def bound(resources: Iterable[Resource[Any]], needed: Any) -> list[Bound]:
    """The rows with what their handlers need filled in."""
    return [row._replace(handler=_filled(row.handler, needed)) for row in resources]


def _filled(handler: Callable[[Any, Request], Awaitable[Response]], needed: Any) -> Handler:
    @wraps(handler)
    async def call(_: None, request: Request) -> Response:
        return await handler(needed, request)

    return call


class ResourceApp:
    """An ASGI application of a table's rows."""

    def __init__(
        self,
        rows: Iterable[Bound],
        *,
        authorize: Authorize = lambda _request, _row: None,
        explain: Explain = lambda _error: None,
        hint: Callable[[str], str | None] = lambda _path: None,
    ) -> None:
        """``hint`` knows the right spelling of a path that is wrong."""
        by_path: dict[str, dict[str, Bound]] = {}
        for row in rows:
            by_path.setdefault(row.path, {})[row.method] = row
        routes: list[BaseRoute] = [
            Route(path, _Methods(methods, authorize)) for path, methods in by_path.items()
        ]
        self._router = Router(routes, redirect_slashes=False, default=self._unknown)
        self._explain = explain
        self._hint = hint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            inner: Any = watched
            await self._router(scope, receive, inner)
        except ClientLeft:
            return
        except Exception as error:
            known = self._known(error)
            if known is None or started:
                # The row's path, not what was typed in its places: that may be anybody's name.
                asked = scope.get("row", "a path that no row has")
                _log.exception("unexpected error on %s %s", scope["method"], asked)
            if started:
                raise  # the response has begun: cutting it is the only honest end
            await refuse(scope, known or unexpected(), send)

    def _known(self, error: Exception) -> RouterError | None:
        if isinstance(error, RouterError):
            return error
        if isinstance(error, BadField):
            return Refused(
                error.status, error.message, code=error.code, param=error.param, more=error.more
            )
        return self._explain(error)

    async def _unknown(self, scope: Any, _receive: Any, _send: Any) -> None:
        path = scope["path"]
        right = self._hint(path)
        advice = f"did you mean {right!r}?" if right else "GET /docs lists what there is."
        raise NotFound(f"There is no {path!r} here; {advice}")


class _Methods:
    """The rows of one path."""

    def __init__(self, rows: dict[str, Bound], authorize: Authorize) -> None:
        self._rows = rows
        self._authorize = authorize
        self._allowed = ", ".join(sorted(rows))
        self._path = next(iter(rows.values())).path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        method = scope["method"]
        scope["row"] = self._path
        if method == "OPTIONS":
            await Response(status_code=204, headers={"allow": self._allowed})(scope, receive, send)
            return
        row = self._rows.get("GET" if method == "HEAD" else method)
        if row is None:
            raise MethodNotAllowed(scope["path"], method, self._allowed)
        request = Request(scope, receive, send)
        self._authorize(request, row)
        response = await row.handler(None, request)
        await response(scope, receive, send)


class Direct(Response):
    """An answer that an ASGI application gives by itself."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Have the application answer."""
        await self._app(scope, receive, send)


async def refuse(scope: Scope, error: RouterError, send: Send) -> None:
    """An error as a complete response, in the shape of the API that was called."""
    request_id = scope.get("request_id", "")
    headers = error_headers(error)
    if request_id:
        headers["x-request-id"] = request_id
    body = error_body(scope["path"], error, request_id)
    await send_json(send, error.status, body, encode_headers(headers))
