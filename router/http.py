"""The door: which path leads where, and an OpenAI-shaped error for everything else."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import unquote, urlsplit

from structlog.contextvars import bind_contextvars

from router import models
from router.admin.proxy import AdminProxy
from router.admit.keys import Keyring
from router.audit import feedback
from router.audit.lookup import Records
from router.config.auth import KeyScope
from router.config.root import RouterConfig
from router.docs import DOCS_HTML, OPENAPI
from router.errors import Forbidden, MethodNotAllowed, NotFound, RouterError, error_body
from router.ids import Ids
from router.pipeline import Pipeline
from router.replicas.table import TableHolder
from router.request import Decision, Exchange, Request
from router.respond import Client, Onlooker
from router.targets.directory import Catalog
from router.wire.asgi import (
    ClientLeft,
    Receive,
    Scope,
    Send,
    encode_headers,
    error_headers,
    header_map,
    read_body,
    send_body,
    send_json,
)
from router.wire.endpoint import Endpoint

_INFERENCE = {endpoint.value: endpoint for endpoint in Endpoint}
_SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_HTML = b"text/html; charset=utf-8"
_METRICS = b"text/plain; version=0.0.4; charset=utf-8"
_log = logging.getLogger("graftwork.router")

Handler = Callable[[Scope, Receive, Send, dict[str, str]], Awaitable[None]]


class Door:
    """The router's ASGI application."""

    def __init__(
        self,
        config: RouterConfig,
        keyring: Keyring,
        pipeline: Pipeline,
        catalog: Catalog,
        holder: TableHolder,
        admin: AdminProxy,
        records: Records,
        scrape: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._config = config
        self._keyring = keyring
        self._pipeline = pipeline
        self._catalog = catalog
        self._holder = holder
        self._admin = admin
        self._records = records
        self._scrape = scrape
        self._ids = Ids()
        self._routes: dict[str, tuple[str, Handler]] = {
            "/v1/models": ("GET", self._models),
            "/v1/decision": ("POST", self._decision),
            "/v1/feedback": ("POST", self._feedback),
            "/healthz": ("GET", self._healthz),
            "/readyz": ("GET", self._readyz),
            "/metrics": ("GET", self._metrics),
            "/docs": ("GET", self._docs),
            "/openapi.json": ("GET", self._openapi),
            "/admin/v1/decisions": ("GET", self._decisions),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = header_map(scope)
        endpoint = _INFERENCE.get(scope["path"])
        try:
            self._guard_browsers(headers)
            if endpoint is not None and scope["method"] == "POST":
                await self._infer(endpoint, headers, scope, receive, send)
                return
            handler = self._route(scope)
            await handler(scope, receive, send, headers)
        except ClientLeft:
            return
        except RouterError as error:
            await self._refuse(scope, error, send)
        except Exception:  # noqa: BLE001 - the last stop: whatever it is, the client gets an answer
            _log.exception("unexpected error on %s %s", scope["method"], scope["path"])
            await self._refuse(scope, RouterError("An unexpected error; see the log."), send)

    async def _refuse(self, scope: Scope, error: RouterError, send: Send) -> None:
        request_id = self._request_id(header_map(scope))
        body = error_body(scope["path"], error, request_id)
        headers = {"x-request-id": request_id, **error_headers(error)}
        if isinstance(error, MethodNotAllowed):
            headers["allow"] = self._allowed(scope["path"])
        await send_json(send, error.status, body, encode_headers(headers))

    def _request_id(self, headers: dict[str, str]) -> str:
        given = headers.get("x-request-id", "")
        return given if _SAFE_ID.fullmatch(given) else self._ids.new("req")

    def _route(self, scope: Scope) -> Handler:
        path, method = scope["path"], scope["method"]
        wanted, handler = self._routes.get(path, ("", None))
        if handler is None and path.startswith("/v1/models/"):
            wanted, handler = "GET", self._model
        if handler is None and path.startswith("/admin/v1/decisions/"):
            wanted, handler = "GET", self._one_decision
        if handler is None and (path == "/admin/v1" or path.startswith("/admin/v1/")):
            return self._forward
        if handler is None and path not in _INFERENCE:
            raise NotFound(f"There is no {path!r} here; GET /docs lists what there is.")
        if handler is None or method not in (wanted, "HEAD" if wanted == "GET" else wanted):
            raise MethodNotAllowed(f"{path} takes {self._allowed(path)}, not {method}.")
        return handler

    def _allowed(self, path: str) -> str:
        if path in _INFERENCE:
            return "POST"
        return self._routes.get(path, ("GET",))[0]

    def _guard_browsers(self, headers: dict[str, str]) -> None:
        """Without keys, a page from elsewhere must not drive this process through a browser."""
        if not self._keyring.is_open:
            return
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        origin = urlsplit(headers.get("origin", "")).hostname
        if (host is not None and host not in _LOOPBACK) or (
            origin is not None and origin not in _LOOPBACK
        ):
            raise Forbidden(
                "Without API keys only loopback hosts and origins are served; configure keys.",
                code="host_not_allowed",
            )

    # Inference

    def _exchange(self, endpoint: Endpoint, headers: dict[str, str]) -> Exchange:
        request = Request(self._request_id(headers), self._ids.new("dec"), endpoint, headers)
        # Whatever is logged while it is answered names it.
        bind_contextvars(request_id=request.id)
        return Exchange(request, Decision(self._holder.current))

    async def _infer(
        self,
        endpoint: Endpoint,
        headers: dict[str, str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        client = Client(scope, receive, send, self._config.limits.max_body_bytes)
        await self._pipeline.run(self._exchange(endpoint, headers), client)

    async def _decision(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        onlooker = Onlooker(scope, receive, send, self._config.limits.max_body_bytes)
        await self._pipeline.run(self._exchange(Endpoint.CHAT, headers), onlooker)

    # What there is

    async def _models(self, _: Scope, __: Receive, send: Send, headers: dict[str, str]) -> None:
        self._require(headers, KeyScope.INFERENCE)
        await send_json(send, 200, models.list_models(self._holder.current, self._catalog))

    async def _model(self, scope: Scope, _: Receive, send: Send, headers: dict[str, str]) -> None:
        self._require(headers, KeyScope.INFERENCE)
        name = unquote(scope["path"].removeprefix("/v1/models/"))
        await send_json(send, 200, models.find_model(self._holder.current, self._catalog, name))

    async def _feedback(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        caller = self._keyring.identify(headers.get("authorization"), headers.get("x-api-key"))
        self._keyring.authorize(caller, KeyScope.INFERENCE)
        raw = await read_body(scope, receive, self._config.limits.max_body_bytes)
        given = feedback.parse(raw)
        await self._records.add_feedback(given, caller)
        await send_json(send, 200, {"object": "feedback", "decision_id": given.decision_id})

    # Health, metrics, documentation

    async def _healthz(self, _: Scope, __: Receive, send: Send, ___: dict[str, str]) -> None:
        await send_json(send, 200, {"status": "ok"})

    async def _readyz(self, _: Scope, __: Receive, send: Send, ___: dict[str, str]) -> None:
        missing = self._holder.missing()
        status = "ready" if not missing else "not ready"
        table = self._holder.current
        answer = {
            "status": status,
            "missing": missing,
            "cold": table.cold,
            "epoch": table.epoch,
            "base": table.base_id,
        }
        await send_json(send, 200 if not missing else 503, answer)

    async def _metrics(self, _: Scope, __: Receive, send: Send, headers: dict[str, str]) -> None:
        self._require(headers, KeyScope.ADMIN, KeyScope.AUDITOR)
        await send_body(send, 200, await self._scrape(), _METRICS)

    async def _docs(self, _: Scope, __: Receive, send: Send, ___: dict[str, str]) -> None:
        await send_body(send, 200, DOCS_HTML, _HTML)

    async def _openapi(self, _: Scope, __: Receive, send: Send, ___: dict[str, str]) -> None:
        await send_json(send, 200, OPENAPI)

    # Admin plane

    async def _decisions(
        self, scope: Scope, _: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        self._require(headers, KeyScope.ADMIN, KeyScope.AUDITOR)
        records = await self._records.newest(scope.get("query_string", b"").decode("latin-1"))
        await send_json(send, 200, {"object": "list", "data": records})

    async def _one_decision(
        self, scope: Scope, _: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        self._require(headers, KeyScope.ADMIN, KeyScope.AUDITOR)
        identity = unquote(scope["path"].rpartition("/")[2])
        await send_json(send, 200, await self._records.find(identity))

    async def _forward(
        self, scope: Scope, receive: Receive, send: Send, headers: dict[str, str]
    ) -> None:
        actor = self._require(headers, KeyScope.ADMIN)
        await self._admin.forward(scope, receive, send, actor)

    def _require(self, headers: dict[str, str], *scopes: KeyScope) -> str:
        """The caller's name when it has one of the scopes. Raises what refuses it."""
        caller = self._keyring.identify(headers.get("authorization"), headers.get("x-api-key"))
        if not caller.scopes.intersection(scopes):
            self._keyring.authorize(caller, scopes[0])
        return caller.name
