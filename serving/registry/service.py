"""The registry's work: hear who is alive, and keep true what should be served."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adapters.aliases import Peer
from adapters.errors import AdapterError, Superseded
from adapters.jobs.periodic import Every, PeriodicJobs, in_thread
from adapters.publish.reconcile import ReplicaReport
from router.config.routing import LocalPrice
from router.newest import Heard
from serving.config.settings import Settings
from serving.embedded import ADAPTERS_DIR
from serving.internal.reports import EngineReport, RouterReply, RouterReport
from serving.registry.adapters import Adapters
from serving.registry.fleet import ROUTERS_POLL_S, HttpFleet
from serving.registry.membership import TICK_S, Membership
from serving.registry.remembered import RememberedTimes
from serving.registry.tables import Tables
from serving.registry.throughput import Throughput
from serving.telemetry.logs import get_logger

_REMEMBER_S = 60.0
_PATIENCE_PASSES = 3
"""Passes after which a replica that cannot converge serves what it holds, if it is alone."""
_LONGEST_PASS_S = 3600.0
"""Passes load adapters and copy files: each step has its own limit, this one ends what hangs."""


class RegistryService:
    """One per cluster. Everything here runs on one event loop.

    Attributes:
        tables: what routers get.
        throughput: what engines do per busy second, and how long their tokens take.
        jobs: what is done again and again.
        superseded: another registry has taken over; this one does nothing any more, and says so.
    """

    def __init__(
        self, settings: Settings, adapters: Adapters, fleet: HttpFleet, membership: Membership
    ) -> None:
        self._settings = settings
        self._log = get_logger("graftwork.registry")
        self.adapters = adapters
        self.membership = membership
        self._fleet = fleet
        self._rollout = adapters.rollout
        self.throughput = Throughput(_window_busy_s(settings))
        self._remembered = RememberedTimes(self.throughput.times, settings.state_dir)
        self.superseded = False
        self._standing_down: asyncio.Task[None] | None = None
        self.jobs = PeriodicJobs(self._job_failed)
        self.tables = Tables(adapters, fleet, membership, self.jobs, settings.flywheel.learns)
        self._reconciling = self.jobs.add(
            "reconcile",
            self._reconcile,
            Every(adapters.config.rollout.reconcile_s, at_once=True, limit_s=_LONGEST_PASS_S),
        )
        self._resuming = self.jobs.add("resume", self._resume, Every(None, limit_s=_LONGEST_PASS_S))
        self._add_jobs()
        self._heard = Heard()
        self._failed_passes: dict[str, int] = {}
        self._next_prefetch = 0.0
        self._base_is_up = False
        self._base_id = ""
        # Nobody is advertised before that: who is told "ready" finds the seeds there.
        self._prepared = False

    def _add_jobs(self) -> None:
        """What is done again and again, beside publishing and reconciling."""
        ladder, collect = self.adapters.config.ladder, self.adapters.config.collect
        self._naming = self.jobs.add("name-base", self._name_base, Every(None))
        self.jobs.add("claim", self._look_at_claim, Every(TICK_S))
        self.jobs.add("expire", self._expire, Every(TICK_S))
        self.jobs.add("token-times", in_thread(self._remembered.keep), Every(_REMEMBER_S))
        self.jobs.add("listen", self._listen, Every(ROUTERS_POLL_S, at_once=True))
        climb = self.adapters.ladder.tick
        self.jobs.add("ladder", climb, Every(ladder.tick_s, limit_s=_LONGEST_PASS_S))
        self.jobs.add("collect", self._collect, Every(collect.every_s, limit_s=_LONGEST_PASS_S))
        self.adapters.watcher.add_to(self.jobs)

    async def start(self, peer: Peer) -> None:
        """Take over what the last process left, and begin to watch, converge and publish."""
        await self.tables.start(peer)
        self.jobs.start()

    async def aclose(self) -> None:
        """Stop background work where it stands; the next process resumes it."""
        if self._standing_down is not None:
            await self._standing_down
        await self._stop_work()
        await self._fleet.aclose()
        self.adapters.registry.close()

    async def _stop_work(self) -> None:
        # Publishes first: one that is told that the table will not come would count as failed.
        await self._rollout.aclose()
        await self.jobs.aclose()
        await self.adapters.watcher.aclose()

    def check(self) -> None:
        """Raises ``JobStopped`` when a background loop ended.

        Not when a successor took over: a restart would claim the registry back from it.
        """
        if not self.superseded:
            self.jobs.check()

    def _job_failed(self, job: str, error: Exception) -> None:
        self.adapters.events.emit("job-failed", job=job, error=str(error))
        if isinstance(error, Superseded) and not self.superseded:
            self.superseded = True
            self._log.error("registry_superseded", error=str(error), remedy=error.remedy)
            self.adapters.events.emit("registry-superseded", error=str(error))
            self._standing_down = asyncio.create_task(self._stand_down())

    async def _stand_down(self) -> None:
        # Their routers have heard the successor, or will: a client need not wait for ours.
        await self._fleet.end_tables()
        await self._stop_work()

    async def _look_at_claim(self) -> None:
        """Notice a successor, and a change that whoever made it could not make visible."""
        epoch = await asyncio.to_thread(self.adapters.registry.check_claim)
        if epoch != self.tables.current.epoch:
            self.tables.publish()

    # What engines and routers say

    def engine_reported(self, report: EngineReport) -> bool:
        """Take an engine's report. Returns whether it is advertised."""
        if not self._base_is_up:
            self._base_is_up = True
            self._resuming.wake()
            self.adapters.watcher.wake()
        if report.base.base_id != self._base_id:
            self._base_id = report.base.base_id
            self._naming.wake()
        if self.membership.engine_reported(report):
            self._reconciling.wake()
            self.tables.publish()
        if (base := self.membership.base()) is not None:
            self._remembered.serves(base.digest)
        self.throughput.heard(report.peer.id, report.work, report.card)
        return self.membership.is_ready(report.peer.id)

    def router_reported(self, report: RouterReport) -> RouterReply:
        """Take a router's report. Returns what it has to know: the table, when its own is older."""
        if self.membership.router_reported(report):
            self.tables.publish()
        lacks = None if self.superseded else self.tables.lacks(report.revision)
        return RouterReply(table=lacks, work=self.throughput.told)

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
                "staging": report.staging.model_dump(),
                "pinned": sorted(report.pinned),
                "in_flight": report.in_flight,
                "waiting_for_slot": report.waiting,
            }
            for report in self.membership.engines()
        ]

    # What the registry repairs

    async def _reconcile(self) -> None:
        reports = await self.adapters.reconciler.converge()
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
            self.tables.publish()

    async def _listen(self) -> None:
        """Hear what routers have in flight, what they counted and what they decided."""
        await self._fleet.ask_routers()
        for router, decision in self._heard.new(self._fleet.decisions()):
            self.adapters.events.emit("decision", id=decision["id"], state=decision["state"])
            self._heard.done(router, decision)
        deltas = self.adapters.evidence.feed(self._fleet.traffic())
        if self._rollout.heat.observe(deltas):
            self._converge_soon()

    async def _collect(self) -> None:
        # Not while a predecessor writes: the store is its own, too.
        if self.adapters.registry.writing.writer is not None:
            await self._rollout.collect()

    async def _name_base(self) -> None:
        await asyncio.to_thread(self.adapters.registry.remember_base, self._base_id)

    def _converge_soon(self) -> None:
        """A cold version is wanted: have a pass, but not one after the other without a pause."""
        now = time.monotonic()
        if now >= self._next_prefetch:
            self._next_prefetch = now + self.adapters.config.rollout.prefetch_s
            self._reconciling.wake()

    async def _expire(self) -> None:
        if self.membership.expire():
            self._reconciling.wake()
            self.tables.publish()
        self.throughput.keep({report.peer.id for report in self.membership.engines()})

    async def _resume(self) -> None:
        """Once the base is up: finish what was interrupted, then publish what comes with it."""
        # Whose engines are up is the one that serves; until then a predecessor goes on.
        await asyncio.to_thread(self.adapters.registry.writing.ensure)
        self.tables.publish()
        try:
            await self._rollout.resume()
            if self._settings.seed_adapters == "embedded":
                await self._seed()
        finally:
            self._prepared = True
            self._reconciling.wake()

    async def _seed(self) -> None:
        known = {alias.name for alias in await asyncio.to_thread(self.adapters.registry.aliases)}
        for directory in sorted(path for path in ADAPTERS_DIR.iterdir() if path.is_dir()):
            if directory.name in known:
                continue
            try:
                with _private_copy(directory) as copy:
                    await self._rollout.push(directory.name, copy, wait=True, author="embedded")
            except AdapterError as error:
                self._log.error("seed_failed", alias=directory.name, error=str(error))


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
