"""The router itself: is it up, is it ready, what does it count, how is it called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.records.config import Durability
from adapters.resources import Resource
from router.replicas.table import TableHolder


@dataclass(frozen=True)
class System:
    """What is told of this process."""

    holder: TableHolder
    durability: Durability
    """What an answer waits for before it leaves."""
    scrape: Callable[[], Awaitable[bytes]]


async def healthz(_: System, __: Request) -> Response:
    """The process is up."""
    return JSONResponse({"status": "ok"})


async def readyz(system: System, _: Request) -> Response:
    """The base, and every adapter that fits, are resident; cold ones are named."""
    missing, table = system.holder.missing(), system.holder.current
    answer = {
        "status": "not ready" if missing else "ready",
        "missing": missing,
        "cold": table.cold,
        "epoch": table.epoch,
        "base": table.base_id,
        "audit": {"durability": system.durability.value},
    }
    return JSONResponse(answer, 503 if missing else 200)


async def metrics(system: System, _: Request) -> Response:
    """Prometheus: routers, registry and engines in one scrape."""
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return Response(await system.scrape(), headers={"content-type": kind})


RESOURCES: tuple[Resource[System], ...] = (
    Resource("open", "GET", "/healthz", healthz),
    Resource("open", "GET", "/readyz", readyz),
    Resource("auditor", "GET", "/metrics", metrics),
)
