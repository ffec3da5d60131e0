"""The door: inference on bare ASGI, everything else by one table of resources."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from structlog.contextvars import bind_contextvars

from adapters.resources import Resource
from router import counting, docs, models
from router.account.gauges import Reading
from router.admin import decisions, feedback, system
from router.admit.browsers import Browsers
from router.admit.keys import Keyring
from router.audit.lookup import Records
from router.config.auth import KeyScope
from router.config.root import RouterConfig
from router.errors import Forbidden, RateLimited, RouterError, error_body, unexpected
from router.exchange import Exchange
from router.govern.detectors import holds_personal, holds_secret, kept_path
from router.pipeline import Pipeline
from router.replicas.table import TableHolder
from router.request import Caller, Request
from router.respond import Client, Onlooker
from router.targets.directory import Catalog
from router.wire.asgi import (
    Bodies,
    ClientLeft,
    Message,
    Receive,
    Scope,
    Send,
    SlowReaders,
    header_map,
)
from router.wire.endpoint import Endpoint
from router.wire.paths import canonical, meant
from router.wire.protocols import WholeAnswers, refuse_websocket, websocket_refused
from router.wire.table import Bound, Direct, ResourceApp, bound, refuse

_INFERENCE = {endpoint.value: endpoint for endpoint in Endpoint}
_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_DIGITS_ID = re.compile(r"[0-9a-f-]*")
_ID_BYTES = 12
_IDS_AT_ONCE = 256
_DATA_PLANE = "/v1/"
_DECISION = "/v1/decision"
_REFUSED = frozenset({401, 403, 429})
_log = logging.getLogger("graftwork.router")


class Door:
    """The router's ASGI application."""

    def __init__(
        self,
        config: RouterConfig,
        keyring: Keyring,
        pipeline: Pipeline,
        catalog: Catalog,
        holder: TableHolder,
        more: Iterable[Bound],
        records: Records,
        scrape: Callable[[], Awaitable[bytes]],
    ) -> None:
        """``more``: resources that are served here and answered elsewhere."""
        self._keyring = keyring
        self._pipeline = pipeline
        self._holder = holder
        self._ids = Ids()
        virtuals = pipeline.chooser.virtuals
        limits = config.limits
        self._bodies = Bodies(limits.max_body_bytes, limits.body_timeout_s)
        judgements = Bodies(limits.max_feedback_bytes, limits.body_timeout_s)
        self._browsers = Browsers(config.auth.allowed_origins, lambda: keyring.is_open)
        self._counts = counting.TokenCounts(holder, catalog, pipeline.admission)
        self._slow = SlowReaders(limits.write_timeout_s)
        self._whole = WholeAnswers()
        self._hot = {
            **dict.fromkeys(_INFERENCE, self._infer),
            _DECISION: self._decide,
            counting.PATH: self._count,
        }
        rows: list[Bound] = [
            *(Resource("inference", "POST", path, self._inferred) for path in _INFERENCE),
            Resource("inference", "POST", _DECISION, self._decided),
            Resource("inference", "POST", counting.PATH, self._counted),
            *bound(models.RESOURCES, models.Models(holder, catalog, virtuals)),
            *bound(feedback.RESOURCES, feedback.Judging(records, judgements, pipeline.admission)),
            *bound(system.RESOURCES, system.System(holder, pipeline.records.durability, scrape)),
            *bound(decisions.RESOURCES, records),
            *more,
        ]
        rows += docs.resources(rows)
        self._paths = frozenset(row.path for row in rows)
        self._table = ResourceApp(
            rows, authorize=self._authorize, hint=lambda path: meant(path, self._paths)
        )

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        return {
            "graftwork_receiving_bytes": (
                "Bodies that are on their way, as far as they arrived.",
                lambda: self._bodies.receiving_bytes,
            ),
            "graftwork_rated_tenants": (
                "Tenants whose requests of this minute are counted.",
                lambda: self._pipeline.admission.tenants,
            ),
            "graftwork_held_for_http10_bytes": (
                "Of answers to HTTP/1.0 clients, which are held until they are whole.",
                lambda: self._whole.held_bytes,
            ),
            "graftwork_slow_readers_given_up": (
                "Answers cut because their client took nothing for too long, since the start.",
                lambda: self.given_up,
            ),
        }

    @property
    def receiving(self) -> int:
        """Requests whose bodies have not arrived."""
        return self._bodies.receiving

    @property
    def given_up(self) -> int:
        """Answers that were cut because their client took nothing for too long."""
        return self._slow.given_up

    @property
    def under_way(self) -> int:
        """Inference requests that were admitted and are not over."""
        return self._pipeline.admission.under_way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._other_protocol(scope, receive, send)
        elif scope.get("http_version") == "1.0":
            with self._whole.held(scope, send) as whole:
                await self._answer(scope, receive, whole)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = header_map(scope)
        send = self._slow.guarded(send)
        if "origin" in headers:
            send = self._browsers.marked(scope, headers["origin"], send)
        path = scope["path"]
        if path not in self._paths:
            path = self._respelled(scope)
        hot = self._hot.get(path)
        try:
            self._browsers.check(scope)
            if hot is not None and scope["method"] == "POST":
                await hot(scope, receive, send)
            else:
                await self._look_up(headers, scope, receive, send)
        except ClientLeft:
            return
        except RouterError as error:
            scope["request_id"] = self._request_id(headers)
            self._count_refused(error.status)
            await refuse(scope, error, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            _log.exception("unexpected error on %s %s", scope["method"], kept_path(scope["path"]))
            scope["request_id"] = self._request_id(headers)
            await _refuse_unless_begun(scope, error, send)

    def _count_refused(self, status: int) -> None:
        """Of requests that leave no records: who has no key, not the scope, or asks too often."""
        if status in _REFUSED:
            self._pipeline.records.refused(status)

    def _respelled(self, scope: Scope) -> str:
        """A wrong spelling of a path of the data plane is answered like the right one.

        Not on the admin plane: a gateway in front may let others through by the path's beginning.
        """
        path: str = scope["path"]
        right = canonical(path)
        if right != path and right.startswith(_DATA_PLANE):
            scope["path"], scope["raw_path"] = right, right.encode()
            return right
        return path

    async def _look_up(
        self, headers: dict[str, str], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if headers.get("upgrade", "").lower() == "websocket":
            raise websocket_refused()
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            more = self._browsers.preflight(scope, headers.get("origin", ""))
            await Response(status_code=204, headers=dict(more))(scope, receive, _any(send))
            return
        scope["request_id"] = self._request_id(headers)
        await self._table(scope, receive, self._named(scope["request_id"], send))

    def _named(self, request_id: str, send: Send) -> Send:
        """The same ``send``; every answer says which request it is of, and refusals are counted."""
        name = (b"x-request-id", request_id.encode())

        async def naming(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count_refused(message["status"])
                headers = [each for each in message["headers"] if each[0] != name[0]]
                message = {**message, "headers": [*headers, name]}
            await send(message)

        return naming

    async def _other_protocol(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            body = orjson.dumps(error_body(scope["path"], websocket_refused(), ""))
            await refuse_websocket(scope, receive, send, body)

    def _request_id(self, headers: dict[str, str]) -> str:
        given = headers.get("x-request-id", "")
        if not _SAFE_ID.fullmatch(given):
            return self._ids.new("req")
        # It goes into logs, records and to providers; gateways' own are of digits and dashes.
        is_secret = not _DIGITS_ID.fullmatch(given) and holds_secret(given)
        return self._ids.new("req") if is_secret or holds_personal(given) else given

    def _authorize(self, request: HttpRequest, row: Bound) -> None:
        if row.scope == "open":
            return
        key = request.headers.get("x-api-key")
        caller = self._keyring.identify(request.headers.get("authorization"), key)
        try:
            self._keyring.authorize(caller, KeyScope(row.scope))
        except Forbidden:
            self._pipeline.records.forbidden(caller.name, f"{row.method} {row.path}")
            raise
        request.scope["caller"] = caller

    def _exchange(self, endpoint: Endpoint, scope: Scope) -> Exchange:
        headers = header_map(scope)
        request = Request(self._request_id(headers), self._ids.new("dec"), endpoint, headers)
        # Whatever is logged while it is answered names it.
        bind_contextvars(request_id=request.id)
        return Exchange.of(request, self._holder.current)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange(_INFERENCE[scope["path"]], scope)
        await self._pipeline.run(exchange, Client(scope, receive, send, self._bodies))

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange(Endpoint.CHAT, scope)
        try:
            await self._pipeline.run(exchange, Onlooker(scope, receive, send, self._bodies))
        finally:
            if exchange.request.caller is None or exchange.account.error == RateLimited.code:
                self._count_refused(exchange.account.status)  # it has no record

    async def _count(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange(Endpoint.MESSAGES, scope)
        records = self._pipeline.records
        counter = counting.TokenCounter(
            scope, receive, send, self._bodies, self._counts, exchange, records
        )
        try:
            await self._pipeline.run(exchange, counter)
        finally:
            counter.end()

    def asked_by(self, caller: Caller, *, only_asks: bool = False) -> Response:
        """A chat body from within the system, answered as a request of this caller is."""

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            exchange = self._exchange(Endpoint.CHAT, scope)
            exchange.request = replace(exchange.request, caller=caller)
            client = (Onlooker if only_asks else Client)(scope, receive, send, self._bodies)
            await self._pipeline.run(exchange, client)

        return Direct(answer)

    async def _inferred(self, _: None, __: HttpRequest) -> Response:
        """Inference, streamed or whole. Body and answer: the reference of the API's own maker."""
        return Direct(self._infer)

    async def _decided(self, _: None, __: HttpRequest) -> Response:
        """A chat body: the decision that would be taken; calls nobody."""
        return Direct(self._decide)

    async def _counted(self, _: None, __: HttpRequest) -> Response:
        """A Messages body: its tokens, counted by who would answer it."""
        return Direct(self._count)


async def _refuse_unless_begun(scope: Scope, error: Exception, send: Send) -> None:
    """A shaped 500. Raises ``error`` when an answer had begun: the server below cuts it then."""
    try:
        await refuse(scope, unexpected(), send)
    except RuntimeError:  # a second beginning
        raise error from None


def _any(value: Any) -> Any:
    """Starlette's own types of ASGI are not the ones of this package."""
    return value


class Ids:
    """Names for requests and decisions: random, and made without a system call for each.

    Draws a few hundred at a time. Belongs to one event loop.
    """

    def __init__(self) -> None:
        self._drawn = b""

    def new(self, prefix: str) -> str:
        """``<prefix>_`` and 24 hexadecimal digits."""
        if not self._drawn:
            self._drawn = os.urandom(_ID_BYTES * _IDS_AT_ONCE)
        mine, self._drawn = self._drawn[:_ID_BYTES], self._drawn[_ID_BYTES:]
        return f"{prefix}_{mine.hex()}"
