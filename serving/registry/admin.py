"""The registry's HTTP surface: the admin plane's resources that live here, and what routers ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import Response

from adapters.admin import errors
from adapters.admin.parts import Parts
from adapters.admin.table import PREFIX, RESOURCES
from adapters.errors import AdapterError
from adapters.records.writer import RecordLog
from adapters.resources import Resource
from router.admin import documents, drift, policy, usage
from router.errors import Refused, RouterError
from router.wire.asgi import Receive, Scope, Send
from router.wire.table import Bound, ResourceApp, bound
from serving.internal.paths import METRICS
from serving.registry.recorded import RecordedAdmin


class Books(usage.Books, drift.Watched, Protocol):
    """Where usage, budgets and what drifts are kept."""


def registry_surface(
    resources: Iterable[Bound],
    internal: Iterable[Bound],
    metrics: CollectorRegistry,
    log: RecordLog,
) -> Any:
    """The ASGI application, to be guarded by a secret: whoever reaches it may do everything.

    ``resources`` are the admin plane's, ``internal`` what routers ask. Every admin action is on
    record before its answer leaves.
    """
    admin: Any = RecordedAdmin(ResourceApp(resources, explain=explain), log, PREFIX)
    scraped = Resource("internal", "GET", METRICS, _metrics)
    private = ResourceApp([*internal, *bound([scraped], metrics)], explain=explain)

    async def surface(scope: Scope, receive: Receive, send: Send) -> None:
        app = admin if scope["path"].startswith(PREFIX + "/") else private
        await app(scope, receive, send)

    return surface


def admin_rows(
    parts: Parts, books: Books, library: documents.DocumentsAdmin, rules: policy.PolicyAdmin
) -> list[Bound]:
    """The admin plane's resources about adapters, usage, documents and rules."""
    return [
        *bound(RESOURCES, parts),
        *bound(usage.RESOURCES, books),
        *bound(drift.RESOURCES, books),
        *bound(documents.RESOURCES, library),
        *bound(policy.RESOURCES, rules),
    ]


async def _metrics(registry: CollectorRegistry, _: Request) -> Response:
    """Prometheus text."""
    # It reads databases and directories, and everything else here waits for the event loop.
    text = await asyncio.to_thread(generate_latest, registry)
    return Response(text, media_type="text/plain")


def explain(error: Exception) -> RouterError | None:
    """An error of the adapters' own, or of the database, as the door answers it."""
    if isinstance(error, SQLAlchemyError):
        return Refused(503, f"the registry's database fails: {error}", code="database_error")
    if not isinstance(error, AdapterError):
        return None
    found = errors.explain(error)
    return Refused(
        found.status,
        found.message,
        code=found.code,
        param=found.param,
        retry_after_s=found.retry_after_s,
        more=found.more,
    )
