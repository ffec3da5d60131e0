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
from adapters.jobs.periodic import Every, PeriodicJobs
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
_LONGEST_PASS_S = 3600.0
"""Passes load adapters and copy files: each step has its own limit, this one ends what hangs."""


class RegistryService:
    """One per cluster. Everything here runs on one event loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = get_logger("graftwork.registry")
        self.config: AdaptersConfig = settings.adapters_here()
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        assert self.config.database_url is not None
        self.registry = Registry.open(self.config.database_url)
        self.claim = self.registry.claim()
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
        self.jobs = PeriodicJobs(self._log_failure)
        self._publishing = self.jobs.add("publish", self._publish, Every(None))
        self._reconciling = self.jobs.add(
            "reconcile",
            self._reconcile,
            Every(rollout.reconcile_s, at_once=True, limit_s=_LONGEST_PASS_S),
        )
        self._resuming = self.jobs.add("resume", self._resume, Every(None, limit_s=_LONGEST_PASS_S))
        self._add_jobs()
        self._table = RoutingTable()
        self._peer: Peer | None = None
        self._last_base: BaseFacts | None = None
        self._failed_passes: dict[str, int] = {}
        self._next_prefetch = 0.0
        self._base_is_up = False
        # Nobody is advertised before that: who is told "ready" finds the seeds there.
        self._prepared = False

    def _add_jobs(self) -> None:
        """What is done again and again, beside publishing and reconciling."""
        ladder, collect = self.config.ladder, self.config.collect
        self.jobs.add("expire", self._expire, Every(TICK_S))
        self.jobs.add("listen", self._listen, Every(ROUTERS_POLL_S, at_once=True))
        self.jobs.add("ladder", self._ladder.tick, Every(ladder.tick_s, limit_s=_LONGEST_PASS_S))
        self.jobs.add(
            "collect", self.rollout.collect, Every(collect.every_s, limit_s=_LONGEST_PASS_S)
        )
        self._watcher.add_to(self.jobs)

    async def start(self, peer: Peer) -> None:
        """Take over what the last process left, and begin to watch, converge and publish."""
        self._peer = peer
        await self._rebuild()
        self.jobs.start()

    async def aclose(self) -> None:
        """Stop background work where it stands; the next process resumes it."""
        # Publishes first: one that is told that the table will not come would count as failed.
        await self.rollout.aclose()
        await self.jobs.aclose()
        await self._watcher.aclose()
        await self.fleet.aclose()
        self.registry.close()

    def check(self) -> None:
        """Raises ``JobStopped`` when a background loop ended."""
        self.jobs.check()

    # What engines and routers say

    def engine_reported(self, report: EngineReport) -> bool:
        """Take an engine's report. Returns whether it is advertised."""
        if not self._base_is_up:
            self._base_is_up = True
            self._resuming.wake()
        self._throughput.heard(report.peer.id, report.work)
        if self.membership.engine_reported(report):
            self._reconciling.wake()
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
        self._publishing.wake()

    async def refresh(self) -> int:
        """The same; returns the revision of the first table that shows the present state.

        Raises ``RegistryError`` when the registry cannot be read now; ``JobStopped`` at the end.
        """
        await self._publishing.run_now()
        return self._table.revision

    async def _publish(self) -> None:
        await self._rebuild()
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

    async def _reconcile(self) -> None:
        reports = await self._reconciler.converge()
        if self._prepared:
            self._judge(reports)

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
                self._reconciling.wake()
        self._failed_passes = {i: n for i, n in self._failed_passes.items() if i in reports}
        if changed:
            self.publish()

    async def _listen(self) -> None:
        """Hear what routers have in flight and what they counted."""
        await self.fleet.ask_routers()
        deltas = self._evidence.feed(self.fleet.traffic())
        if self.rollout.heat.observe(deltas):
            self._converge_soon()

    def _converge_soon(self) -> None:
        """A cold version is wanted: have a pass, but not one after the other without a pause."""
        now = time.monotonic()
        if now >= self._next_prefetch:
            self._next_prefetch = now + self.config.rollout.prefetch_s
            self._reconciling.wake()

    async def _expire(self) -> None:
        if self.membership.expire():
            self._reconciling.wake()
            self.publish()
        self._throughput.keep({report.peer.id for report in self.membership.engines()})

    async def _resume(self) -> None:
        """Once the base is up: finish what was interrupted, then publish what comes with it."""
        try:
            await self.rollout.resume()
            if self._settings.seed_adapters == "embedded":
                await self._seed()
        finally:
            self._prepared = True
            self._reconciling.wake()

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

    def _log_failure(self, job: str, error: Exception) -> None:
        self.events.emit("job-failed", job=job, error=str(error))

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
