"""The ``router`` deployment: every request's way in, behind Ray Serve's HAProxy."""

from __future__ import annotations

import os
from typing import Any

from ray import serve

from adapters.jobs.periodic import Every
from serving.config.settings import Settings
from serving.heap import settle_heap
from serving.internal.reports import RouterReply, RouterReport
from serving.internal.server import InternalServer
from serving.names import ROUTER
from serving.node import http_options, internal_host, replica_id
from serving.router.compose import RouterProcess
from serving.router.hosting import ending_first, refuse_open, without_request_id
from serving.router.waking import Waker
from serving.telemetry.logs import get_logger, setup_logging
from serving.telemetry.traces import traced

HEARTBEAT_S = 1.0
HEARTBEAT_LIMIT_S = 10.0


@serve.deployment(name=ROUTER, max_ongoing_requests=1_000_000)
@serve.ingress()
class RouterDeployment:
    """Builds the door late, in its own process, and keeps its routing table fresh."""

    async def __init__(self, settings: dict[str, Any], registry: Any, engine: Any) -> None:  # type: ignore[misc]
        options = await http_options()
        given = Settings.model_validate(settings)
        refuse_open(options.host, given.router.auth)
        parsed = ending_first(given, options.request_timeout_s)
        self._registry = registry
        setup_logging(parsed, "router")
        self._log = get_logger("graftwork.router")
        if parsed is not given:
            ours = parsed.router.limits.request_timeout_s
            self._log.warning(
                "request_timeout_lowered", seconds=ours, ray=options.request_timeout_s
            )
        self._identity = replica_id()
        self._router = RouterProcess(parsed, self._identity, os.environ)
        self._server = InternalServer(internal_host(parsed))
        await self._server.start(self._router.surface)
        self._router.start()
        await self._report_once()
        await self._router.settle()
        settle_heap()
        waker = Waker(engine.ping.remote, self._router.requests, self._router.has_engine)
        jobs = self._router.jobs
        jobs.add("heartbeat", self._report_once, Every(HEARTBEAT_S, limit_s=HEARTBEAT_LIMIT_S))
        jobs.add("wake-engine", waker.look, Every(HEARTBEAT_S, limit_s=None))
        jobs.start()
        self._closed = False
        self._log.info("router_started", replica=self._identity)

    def __serve_build_asgi_app__(self) -> Any:
        """Ray Serve asks for the ASGI app after the constructor."""
        return without_request_id(traced(self._router.door))

    async def _report_once(self) -> None:
        holder = self._router.holder
        report = RouterReport(
            peer=self._server.peer(self._identity),
            revision=holder.current.revision,
            knows=frozenset(r.id for r in holder.current.replicas if r.ready),
        )
        answer = await self._registry.router_report.remote(report.model_dump(mode="json"))
        reply = RouterReply.model_validate(answer)
        if reply.table is not None:
            holder.apply(reply.table)
        self._router.pricing.heard(reply.work)

    async def check_health(self) -> None:
        """Called by Ray Serve; background work that ended replaces this replica."""
        self._router.check()
        self._server.check()

    async def __del__(self) -> None:
        """Called once by Ray Serve when the replica has drained."""
        if getattr(self, "_closed", True):
            return
        self._closed = True
        # No heartbeat any more: the registry must not take it for alive.
        await self._router.jobs.aclose()
        await self._server.stop()
        await self._router.aclose()
