"""The ``registry`` deployment: exactly one replica, the single writer of everything durable."""

from __future__ import annotations

from typing import Any

from ray import serve

from serving.config.settings import Settings
from serving.heap import settle_heap
from serving.internal.reports import EngineReport, RouterReport
from serving.internal.server import InternalServer
from serving.names import REGISTRY
from serving.node import internal_host, replica_id
from serving.registry.compose import RegistryProcess
from serving.registry.training_on_gpus import GpuTrainer
from serving.telemetry.logs import get_logger, setup_logging


@serve.deployment(name=REGISTRY, num_replicas=1, max_ongoing_requests=10_000)
class RegistryDeployment:
    """Hears reports through Ray; its admin surface is internal and reached through the routers."""

    async def __init__(self, settings: dict[str, Any]) -> None:  # type: ignore[misc]
        self._settings = Settings.model_validate(settings)
        setup_logging(self._settings, "registry")
        self._log = get_logger("graftwork.registry")
        self._process = RegistryProcess(self._settings, GpuTrainer(self._settings.flywheel.trainer))
        self._server = InternalServer(internal_host(self._settings))
        await self._server.start(self._process.surface)
        await self._process.start(self._server.peer(replica_id()))
        self._closed = False
        settle_heap()
        self._log.info("registry_started", url=self._server.url)

    async def engine_report(self, report: dict[str, Any]) -> bool:
        """An engine's account of itself; True once it is advertised."""
        return self._process.service.engine_reported(EngineReport.model_validate(report))

    async def router_report(self, report: dict[str, Any]) -> dict[str, Any]:
        """A router's account of itself; what it has to know from now on."""
        reply = self._process.service.router_reported(RouterReport.model_validate(report))
        return reply.model_dump(mode="json")

    async def check_health(self) -> None:
        """Called by Ray Serve; background work that ended replaces this replica."""
        self._process.check()
        self._server.check()

    async def __del__(self) -> None:
        """Called once by Ray Serve at shutdown."""
        if getattr(self, "_closed", True):
            return
        self._closed = True
        await self._process.aclose()
        await self._server.stop()
