"""The ``router`` deployment: every request's way in, behind Ray Serve's HAProxy."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from ray import serve

from adapters.aliases import RoutingTable
from router.admin import AdminProxy
from router.catalog import Catalog
from router.fair import FairQueues, fair_limits
from router.http import Door
from router.keys import Keyring, load_keys
from router.metrics import RouterMetrics
from router.pipeline import Pipeline
from router.records import Records
from router.stages import context
from router.stages.admit import Admission
from router.stages.intent import KeywordClassifier
from router.stages.send import Sender
from router.stages.settle import Ledger, Settlement
from router.stages.shadow import Shadow
from router.table import TableHolder
from router.targets.catalog import frontier_targets
from router.targets.http_client import HttpClient
from router.traffic import Traffic
from serving.config.settings import Settings
from serving.internal import KEEPALIVE_S, InternalServer
from serving.names import ROUTER
from serving.node import internal_host, replica_id
from serving.reports import RouterReply, RouterReport
from serving.router.hosting import without_request_id
from serving.router.internal import RouterSurface
from serving.router.peers import Peers
from serving.telemetry.access_log import AccessLog
from serving.telemetry.logs import get_logger, setup_logging
from serving.telemetry.scrape import merge
from serving.telemetry.traces import traced

HEARTBEAT_S = 1.0


@serve.deployment(name=ROUTER, max_ongoing_requests=1_000_000)
@serve.ingress()
class RouterDeployment:
    """Builds the door late, in its own process, and keeps its routing table fresh."""

    async def __init__(self, settings: dict[str, Any], registry: Any, engine: Any) -> None:  # type: ignore[misc]
        self._settings = Settings.model_validate(settings)
        self._registry = registry
        # Not called: naming it makes Ray Serve deploy the engine with this application.
        self._engine = engine
        setup_logging(self._settings, "router")
        self._log = get_logger("graftwork.router")
        self._identity = replica_id()
        self._build()
        self._server = InternalServer(internal_host(self._settings))
        await self._server.start(self._surface.asgi_app())
        self._access_log.start()
        await self._report_once()
        self._heartbeat = asyncio.create_task(self._beat())
        self._log.info("router_started", replica=self._identity)

    def _build(self) -> None:
        config = self._settings.router
        limits = config.limits
        # Engines keep idle connections longer than providers do (serving/internal.py).
        self._client = HttpClient(keepalive_s=KEEPALIVE_S / 2)
        self._frontier_client = HttpClient()
        catalog = Catalog(
            self._client,
            frontier_targets(self._frontier_client, config.providers, os.environ),
            default_frontier=config.auto.frontier,
            connect_timeout_s=limits.connect_timeout_s,
        )
        keyring = Keyring(load_keys(config.auth))
        admission = Admission(keyring, limits)
        self._metrics_registry = CollectorRegistry()
        metrics = RouterMetrics(self._metrics_registry, lambda: admission.under_way)
        queues = FairQueues(fair_limits(config.fairness, self._settings.engine.max_loras))
        self._holder = TableHolder(queues, self._forget)
        traffic = self._traffic = Traffic()
        ledger = Ledger(limits.decisions_kept)
        self._access_log = AccessLog(self._settings, metrics.dropped_log_lines)
        settlement = Settlement(catalog, ledger, metrics, traffic, self._access_log.write)
        self._shadow = Shadow(catalog, self._holder, traffic, context.assemble)
        pipeline = Pipeline(
            admission,
            KeywordClassifier(config.auto),
            catalog,
            self._holder,
            Sender(catalog, self._holder, limits, context.assemble),
            settlement,
            self._shadow,
        )
        self._peers = Peers(self._holder, self._identity)
        self._metrics = metrics
        self._admin = AdminProxy(self._holder, limits.max_archive_bytes)
        self._surface = RouterSurface(self._holder, ledger, traffic, self._metrics_registry)
        records = Records(ledger, self._peers, limits.decisions_kept)
        self._door = Door(
            config, keyring, pipeline, catalog, self._holder, self._admin, records, self._scrape
        )

    def _forget(self, name: str) -> None:
        """A version left the table: drop its labels and counts, so that both stay bounded."""
        self._metrics.forget(f"adapter:{name}")
        self._traffic.forget(name)

    def __serve_build_asgi_app__(self) -> Any:
        """Ray Serve asks for the ASGI app after the constructor."""
        return without_request_id(traced(self._door))

    async def _scrape(self) -> bytes:
        self._metrics.epoch.set(self._holder.current.epoch)
        own = generate_latest(self._metrics_registry).decode()
        others = await self._peers.metrics()
        merged = await asyncio.to_thread(merge, [(self._identity, own), *others])
        return merged.encode()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self._report_once()
            except Exception as error:  # noqa: BLE001 - the last table serves meanwhile
                self._log.warning("registry_unreachable", error=str(error))

    async def _report_once(self) -> None:
        report = RouterReport(
            peer=self._server.peer(self._identity), revision=self._holder.current.revision
        )
        answer = await self._registry.router_report.remote(report.model_dump(mode="json"))
        table: RoutingTable | None = RouterReply.model_validate(answer).table
        if table is not None:
            self._holder.apply(table)

    async def check_health(self) -> None:
        """Called by Ray Serve; a heartbeat that died replaces this replica."""
        if self._heartbeat.done():
            self._heartbeat.result()

    async def __del__(self) -> None:
        """Called once by Ray Serve when the replica has drained."""
        if not hasattr(self, "_heartbeat") or self._heartbeat.cancelled():
            return
        self._heartbeat.cancel()
        await self._server.stop()
        await self._shadow.aclose()
        await self._access_log.aclose()
        for part in (self._client, self._frontier_client, self._peers, self._admin):
            await part.aclose()
