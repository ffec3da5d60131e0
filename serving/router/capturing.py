"""Keeping exchanges, wired for one router: from its spool they go to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from adapters.jobs.periodic import Every, PeriodicJobs, in_thread
from adapters.records.erasable import Erasable
from router.account.gauges import Gauges
from router.capture.captures import Captures, Elsewhere
from router.capture.counts import CaptureCounts
from router.capture.entries import Entries
from router.capture.holdings import WaitingExchanges
from router.capture.spool import Spool
from router.govern.governance import Governance
from router.intent.stage import IntentStage
from router.replicas.table import TableHolder
from serving.config.settings import Settings
from serving.internal.client import InternalClient
from serving.internal.paths import CAPTURES

SPOOLS: Final = "capture"
"""The directory of all routers' spools, below the state directory."""
_BATCH_BYTES: Final = 2**20
_TIMEOUT_S: Final = 30.0
_ADOPT_EVERY_S: Final = 30.0
_DELIVERY: Final = Every(5.0, at_once=True, limit_s=300.0, retry_s=0.5, max_retry_s=10.0)


class Undelivered(Exception):
    """The registry does not take exchanges at the moment; they stay on the disk."""


class Capturing:
    """One router's captures and their way to the registry.

    Attributes:
        captures: what the request path uses.
    """

    def __init__(
        self,
        settings: Settings,
        writer: str,
        governance: Governance,
        intents: IntentStage,
        hash_of: Callable[[str], str],
        holder: TableHolder,
        metrics: CollectorRegistry,
        elsewhere: Elsewhere,
    ) -> None:
        config = settings.router.capture
        self._spool = Spool(settings.state_dir / SPOOLS, writer, config.spool_mb * 2**20)
        self.captures = Captures(
            config,
            Entries(governance, intents, hash_of),
            self._spool,
            CaptureCounts(metrics),
            elsewhere,
        )
        metrics.register(Gauges(self.captures.readings()))
        self._hash_of = hash_of
        self._holder = holder
        self._client = InternalClient()

    def rooms(self) -> tuple[Erasable, ...]:
        """What is kept of persons on the way."""
        waiting = WaitingExchanges(self.captures, self._spool, self._hash_of)
        return (self.captures.recent, waiting)

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Have it delivered in the background."""
        self.captures.wake = jobs.add("captures", self.deliver, _DELIVERY).wake
        every = Every(_ADOPT_EVERY_S, at_once=True)
        jobs.add("left-captures", in_thread(self._spool.adopt), every)

    async def deliver(self) -> None:
        """Hand over all that waits. Raises ``Undelivered``, ``Unanswered``, ``OSError``."""
        while True:
            batch = await asyncio.to_thread(self._spool.next, _BATCH_BYTES)
            if not batch.paths:
                return
            registry = self._holder.current.registry
            if registry is None:
                raise Undelivered("no registry is known yet")
            body = b"\n".join(batch.lines)
            answer = await self._client.ask(registry, "POST", CAPTURES, body, timeout_s=_TIMEOUT_S)
            if answer.status != 200:
                raise Undelivered(f"the registry answered {answer.status}")
            await asyncio.to_thread(self._spool.done, batch)

    async def aclose(self) -> None:
        """Put what is redacted on the disk, and close every connection."""
        await self.captures.aclose()
        await self._client.aclose()
