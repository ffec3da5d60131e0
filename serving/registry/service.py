"""The registry's work: hear who is alive, hold what should be served, hand out routing tables."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.aliases import Peer, RoutingTable
from adapters.config import AdaptersConfig
from adapters.errors import AdapterError
from adapters.events import Event, EventBus
from adapters.format.base_model import BaseFacts
from adapters.ladder.evidence import Evidence
from adapters.ladder.steps import Ladder
from adapters.publish.reconcile import Reconciler, ReplicaReport
from adapters.publish.rollout import Rollout
from adapters.publish.table import build_table
from adapters.publish.watch import Watcher
from adapters.registry import Registry
from router.config.routing import LocalPrice
from serving.config.settings import Settings
from serving.content import open_content
from serving.embedded import ADAPTERS_DIR
from serving.internal.reports import EngineReport, RouterReply, RouterReport
from serving.registry.fleet import ROUTERS_POLL_S, HttpFleet
from serving.registry.membership import TICK_S, Membership
from serving.registry.throughput import Throughput
from serving.telemetry.logs import get_logger

_PATIENCE_PASSES = 3
"""Passes after which a replica that cannot converge serves what it holds, if it is alone."""


class RegistryService:
    """One per cluster. Everything here runs on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = get_logger("graftwork.registry")
        self.config: AdaptersConfig = settings.adapters_here()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        assert self.config.database_url is not None
        self.registry = Registry.open(self.config.database_url)
        self.store = open_content(settings)
        self.events = EventBus(self.config.events_kept, self._log_event)
        self.membership = Membership()
        self._throughput = Throughput(_window_busy_s(settings))
        self.fleet = HttpFleet(self.membership, self.refresh)
        rollout = self.config.rollout
        self.rollout = Rollout(
            self.registry,
            self.store,
            self.fleet,
            self.base,
            self.config,
            self.publish,
            self.events,
        )
        self._reconciler = Reconciler(
            self.registry, self.store, self.fleet, self.rollout, self.base, rollout, self.events
        )
        self._evidence = Evidence()
        self._ladder = Ladder(
            self.registry, self.rollout, self._evidence, self.config.ladder, self.events
        )
        self._watcher = Watcher(self.rollout, self.registry, self.config, self.events)
        self._table = RoutingTable()
        self._peer: Peer | None = None
        self._last_base: BaseFacts | None = None
        self._failed_passes: dict[str, int] = {}
        self._next_prefetch = 0.0
        self._converge_now = asyncio.Event()
        self._publish_now = asyncio.Event()
        self._wait_for_table: list[asyncio.Future[int]] = []
        self._base_is_up = asyncio.Event()
        # Nobody is advertised before that: who is told "ready" finds the seeds there.
        self._prepared = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, peer: Peer) -> None:
        """Take over what the last process left, and begin to watch, converge and publish."""
        self._peer = peer
        await self._rebuild()
        loops = (
            self._publishing(),
            self._converging(),
            self._expiring(),
            self._listening(),
            self._ladder.run(),
            self._collecting(),
            self._watcher.run(),
            self._resuming(),
        )
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    async def aclose(self) -> None:
        """Stop background work where it stands; the next process resumes it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.rollout.aclose()
        await self.fleet.aclose()
        self.registry.close()

    def check(self) -> None:
        """Raises when a background loop died."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                task.result()

    # What engines and routers say

    def engine_reported(self, report: EngineReport) -> bool:
        """Take an engine's report. Returns whether it is advertised."""
        self._base_is_up.set()
        self._throughput.heard(report.peer.id, report.work)
        if self.membership.engine_reported(report):
            self._converge_now.set()
            self.publish()
        return self.membership.is_ready(report.peer.id)

    def router_reported(self, report: RouterReport) -> RouterReply:
        """Take a router's report. Returns what it has to know: the table, when its own is older."""
        if self.membership.router_reported(report):
            self.publish()
        known = not self.membership.settled or self._table.revision == report.revision
        return RouterReply(table=None if known else self._table, work=self._throughput.told)

    def base(self) -> BaseFacts | None:
        """The base that the engines serve, or served; None until the first reported."""
        engines = self.membership.engines()
        if engines:
            # Remembered: its name stays one when the last engine was given back.
            self._last_base = engines[0].base
        return self._last_base

    def replicas(self) -> list[dict[str, Any]]:
        """The live engines for the admin plane; no secrets."""
        return [
            {
                "id": report.peer.id,
                "url": report.peer.url,
                "ready": self.membership.is_ready(report.peer.id),
                "base": report.base.base_id,
                "base_digest": report.base.digest,
                "max_model_len": report.max_model_len,
                "resident": sorted(report.resident),
                "tiers": tiers(report),
                "pinned": sorted(report.pinned),
                "in_flight": report.in_flight,
                "waiting_for_slot": report.waiting,
            }
            for report in self.membership.engines()
        ]

    # What routers get

    def publish(self) -> None:
        """Have the routers see the registry's present content; never blocks."""
        self._publish_now.set()

    async def refresh(self) -> int:
        """The same; returns the revision of the first table that shows the present state."""
        built: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._wait_for_table.append(built)
        self._publish_now.set()
        return await built

    async def _publishing(self) -> None:
        while True:
            await self._publish_now.wait()
            self._publish_now.clear()
            waiting, self._wait_for_table = self._wait_for_table, []
            await self._rebuild()
            for built in waiting:
                if not built.done():
                    built.set_result(self._table.revision)
            if self.membership.settled:
                self.fleet.publish(self._table)

    async def _rebuild(self) -> None:
        snapshot = await asyncio.to_thread(self.registry.snapshot)
        engines = self.membership.engines()
        base = self.base()
        self._table = build_table(
            snapshot,
            # Wall clock, so that a restarted registry's tables are newer than its predecessor's.
            revision=max(self._table.revision + 1, int(time.time() * 1000)),
            base_id=base.base_id if base else "",
            base_digest=base.digest if base else None,
            max_model_len=min((e.max_model_len for e in engines), default=None),
            replicas=self.fleet.shown(self.membership.replicas()),
            registry=self._peer,
            routers=self.membership.routers(),
        )

    # What the registry repairs

    async def _converging(self) -> None:
        while True:
            try:
                reports = await self._reconciler.converge()
                if self._prepared.is_set():
                    self._judge(reports)
            except AdapterError as error:
                self.events.emit("reconcile-failed", error=str(error))
            try:
                async with asyncio.timeout(self.config.rollout.reconcile_s):
                    await self._converge_now.wait()
            except TimeoutError:
                continue
            finally:
                self._converge_now.clear()

    def _judge(self, reports: dict[str, ReplicaReport]) -> None:
        """Advertise who has converged. Who was ready stays: the table tells its true residency."""
        changed = False
        for identity, report in reports.items():
            if report.converged:
                self._failed_passes.pop(identity, None)
                changed |= self.membership.set_ready(identity, True)
                continue
            self._failed_passes[identity] = self._failed_passes.get(identity, 0) + 1
            patient = self._failed_passes[identity] < _PATIENCE_PASSES
            others = any(self.membership.is_ready(other) for other in reports if other != identity)
            if not patient and not others and not report.error:
                changed |= self.membership.set_ready(identity, True)
            else:
                self._converge_now.set()
        self._failed_passes = {i: n for i, n in self._failed_passes.items() if i in reports}
        if changed:
            self.publish()

    async def _listening(self) -> None:
        """Hear what routers have in flight and what they counted."""
        while True:
            await self.fleet.ask_routers()
            deltas = self._evidence.feed(self.fleet.traffic())
            if self.rollout.heat.observe(deltas):
                self._converge_soon()
            await asyncio.sleep(ROUTERS_POLL_S)

    def _converge_soon(self) -> None:
        """A cold version is wanted: have a pass, but not one after the other without a pause."""
        now = time.monotonic()
        if now >= self._next_prefetch:
            self._next_prefetch = now + self.config.rollout.prefetch_s
            self._converge_now.set()

    async def _expiring(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self.membership.expire():
                self._converge_now.set()
                self.publish()
            self._throughput.keep({report.peer.id for report in self.membership.engines()})

    async def _collecting(self) -> None:
        while True:
            await asyncio.sleep(self.config.collect.every_s)
            try:
                await self.rollout.collect()
            except AdapterError as error:
                self.events.emit("collect-failed", error=str(error))

    async def _resuming(self) -> None:
        """Once the base is up: finish what was interrupted, then publish what comes with it."""
        await self._base_is_up.wait()
        try:
            await self.rollout.resume()
            if self._settings.seed_adapters == "embedded":
                await self._seed()
        finally:
            self._prepared.set()
            self._converge_now.set()

    async def _seed(self) -> None:
        known = {alias.name for alias in await asyncio.to_thread(self.registry.aliases)}
        for directory in sorted(path for path in ADAPTERS_DIR.iterdir() if path.is_dir()):
            if directory.name in known:
                continue
            try:
                with _private_copy(directory) as copy:
                    await self.rollout.push(directory.name, copy, wait=True, author="embedded")
            except AdapterError as error:
                self._log.error("seed_failed", alias=directory.name, error=str(error))

    def _log_event(self, event: Event) -> None:
        self._log.info("adapter_event", **event.as_dict())


def tiers(report: EngineReport) -> dict[str, list[str]]:
    """Where a replica has each version; what it names nowhere is cold there."""
    slots, resident = report.slots & report.resident, report.resident
    return {
        "gpu": sorted(slots),
        "cpu": sorted(resident - slots),
        "disk": sorted(report.staged - resident),
    }


def _window_busy_s(settings: Settings) -> float:
    """Over which throughput is measured, also where nothing is priced by it."""
    price = settings.router.routing.local.price or LocalPrice(replica_hour_usd=0)
    return price.window_busy_s


@contextmanager
def _private_copy(directory: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="graftwork-") as scratch:
        copy = Path(scratch) / directory.name
        shutil.copytree(directory, copy)
        yield copy
