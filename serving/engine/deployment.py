"""The ``engine`` deployment: one vLLM base model per replica, converged before it is advertised."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import asdict
from typing import Any

from ray import serve

from adapters.format.base_model import BaseFacts, read_base
from adapters.jobs.periodic import Every, PeriodicJobs
from serving.config.settings import Settings
from serving.content import open_content
from serving.engine.autoscaling import IN_FLIGHT_METRIC
from serving.engine.kernels import choice as kernels
from serving.engine.model import base_id, model_directory, other_names
from serving.engine.slots import Slots
from serving.engine.staging import Stager
from serving.engine.surface import EngineSurface
from serving.engine.vllm import VllmEngine
from serving.heap import settle_heap
from serving.internal.reports import EngineReport, Staging
from serving.internal.server import InternalServer
from serving.names import ENGINE
from serving.node import internal_host, replica_id, secure_inherited_environment
from serving.telemetry.jobs import expose_jobs
from serving.telemetry.logs import get_logger, setup_logging

HEARTBEAT_S = 1.0
HEARTBEAT_LIMIT_S = 10.0
_FAREWELL_S = 1.0


@serve.deployment(name=ENGINE, max_ongoing_requests=1_000_000)
class EngineDeployment:
    """Hosts vLLM in process; its HTTP surface is internal and demands a secret made at start."""

    async def __init__(self, settings: dict[str, Any], registry: Any) -> None:  # type: ignore[misc]
        self._settings = Settings.model_validate(settings)
        self._registry = registry
        os.environ.update(self._settings.engine.env)
        secure_inherited_environment()
        setup_logging(self._settings, "engine")
        self._log = get_logger("graftwork.engine")
        self._identity = replica_id()
        self._draining = False
        self._ready = asyncio.Event()
        await self._start_engine()
        # For as long as this replica lives; readiness is the registry's verdict.
        self._jobs = PeriodicJobs()
        self._jobs.add(
            "heartbeat",
            self._report_once,
            Every(HEARTBEAT_S, at_once=True, limit_s=HEARTBEAT_LIMIT_S),
        )
        expose_jobs(self._jobs.statuses)
        self._jobs.start()
        # Ray Serve counts this replica as running only now: rolling updates wait for convergence.
        async with asyncio.timeout(self._settings.engine.start_timeout_s):
            await self._ready.wait()

    async def _start_engine(self) -> None:
        model = await asyncio.to_thread(model_directory, self._settings.base)
        identity = base_id(self._settings.base)
        names = other_names(self._settings.base)
        self._base: BaseFacts = await asyncio.to_thread(
            read_base,
            model,
            identity,
            also_known_as=names,
            digest_cache=self._settings.state_dir.absolute() / "base-digests.json",
        )
        card = self._card = await asyncio.to_thread(self._prepare_gpu)
        self._engine = VllmEngine(self._settings.engine, identity, str(model))
        started = time.monotonic()
        await self._engine.start()
        self._log.info("engine_phase", phase="vllm", seconds=time.monotonic() - started)
        if card is not None:
            await self._engine.warm_up(self._base)
            self._log.info("engine_phase", phase="warm", seconds=time.monotonic() - started)
        self._slots = Slots(self._settings.engine.max_loras)
        self._stager = Stager(open_content(self._settings))
        self._surface = EngineSurface(self._engine, self._stager, self._slots)
        self._server = InternalServer(internal_host(self._settings))
        await self._server.start(self._surface)
        settle_heap()
        self._log.info(
            "engine_started", replica=self._identity, base=identity, url=self._server.url
        )

    def _prepare_gpu(self) -> str | None:
        """The card's name, after what it compiles and how its kernels are set was looked up."""
        card = kernels.card()
        if card is None:
            return None
        kernels.keep_caches(self._settings)
        try:
            tuned = kernels.choose(self._settings, self._base, card)
        except (OSError, ValueError) as error:
            self._log.warning("kernel_settings_unreadable", error=str(error))
            return card
        hint = None if tuned else "`graftwork tune` measures faster LoRA kernels for this card"
        self._log.info(
            "kernel_settings", card=card, folder=str(tuned) if tuned else None, hint=hint
        )
        return card

    async def report(self) -> EngineReport:
        """This replica as it is now."""
        held = await self._surface.residency()
        return EngineReport(
            peer=self._server.peer(self._identity),
            base=self._base,
            max_model_len=self._engine.max_model_len,
            ready=self._ready.is_set(),
            draining=self._draining,
            resident=held.resident,
            answer=held.answer,
            slots=self._slots.held() & held.resident,
            pinned=held.pinned,
            staged=self._stager.staged,
            staging=Staging(**asdict(self._stager.usage)),
            in_flight=self._surface.in_flight,
            waiting=self._slots.waiting,
            work=self._surface.work(),
            card=self._card or "",
        )

    async def _report_once(self) -> None:
        report = (await self.report()).model_dump(mode="json")
        ready = bool(await self._registry.engine_report.remote(report))
        if ready and not self._ready.is_set():
            self._ready.set()
            self._log.info("engine_ready", replica=self._identity)

    async def check_health(self) -> None:
        """Called by Ray Serve; raising replaces this replica."""
        await self._engine.check()
        self._jobs.check()
        self._server.check()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Requests under way; bytes bypass Ray, so Ray has to be told."""
        return {IN_FLIGHT_METRIC: float(self._surface.in_flight)}

    async def ping(self) -> str:
        """The replica's identity; for operators and tests."""
        return self._identity

    async def __del__(self) -> None:
        """Drain: leave the routing table first, let requests finish, then stop the engine."""
        if self._draining or not hasattr(self, "_jobs"):
            return
        self._draining = True
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_FAREWELL_S):
                await self._report_once()
        await self._jobs.aclose()
        await self._surface.drained()
        await self._server.stop()
        await self._engine.stop()
