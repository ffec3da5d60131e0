"""Keeping exchanges, wired for one router: from its spool they go to the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from adapters.jobs.periodic import After, Every, PeriodicJobs, in_thread
from adapters.records.erasable import Erasable
from adapters.resources import Resource
from router.account.gauges import Gauges, Reading
from router.capture.captures import QUEUED, Captures, Elsewhere
from router.capture.counts import CaptureCounts
from router.capture.entries import Entries, Persons
from router.capture.holdings import WaitingExchanges
from router.capture.repeats import Repeats
from router.capture.spool import Spool
from router.capture.unwritten import UNWRITTEN
from router.embed.encoder import Encoder
from router.replicas.table import TableHolder
from serving.config.settings import Settings
from serving.internal.client import InternalClient
from serving.internal.paths import CAPTURE, CAPTURES
from serving.router.persons import CorpusPersons

SPOOLS: Final = "capture"
"""The directory of all routers' spools, below the state directory."""
_BATCH_BYTES: Final = 2**20
_TIMEOUT_S: Final = 30.0
_UNKNOWN_S: Final = 0.5
"""Between looks as long as no registry is known."""
_ADOPT_EVERY_S: Final = 30.0
_DELIVERY: Final = Every(5.0, at_once=True, limit_s=300.0, retry_s=0.5, max_retry_s=10.0)


async def _keep(captures: Captures, request: Request) -> Response:
    """Keep the exchange of a decision, if it is remembered here."""
    return JSONResponse({"found": captures.keep(request.path_params["id"])})


ROWS: tuple[Resource[Captures], ...] = (Resource("internal", "POST", CAPTURE, _keep),)
"""What other routers ask."""


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
        entries: Callable[[Persons], Entries],
        holder: TableHolder,
        metrics: CollectorRegistry,
        elsewhere: Elsewhere,
        encoder: Encoder,
    ) -> None:
        config = settings.router.capture
        self._client = InternalClient()
        persons = self._persons = CorpusPersons(holder, self._client)
        self._repeats = Repeats(encoder)
        self._spool = Spool(settings.state_dir / SPOOLS, writer, config.spool_mb * 2**20)
        self.captures = Captures(
            config,
            entries(persons),
            self._spool,
            CaptureCounts(metrics),
            elsewhere,
            self._repeats,
        )
        metrics.register(Gauges(self._readings()))
        self._holder = holder

    def _readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        captures, spool = self.captures, self._spool
        return {
            "graftwork_capture_queued": (
                f"Answered requests that wait to be redacted; at most {QUEUED}.",
                lambda: captures.queued,
            ),
            "graftwork_capture_unwritten": (
                f"Redacted exchanges that wait for the disk; at most {2 * UNWRITTEN}.",
                lambda: captures.unwritten,
            ),
            "graftwork_capture_spool_bytes": (
                "Exchanges on this disk that the registry does not have; capture.spool_mb.",
                lambda: spool.size,
            ),
            "graftwork_capture_spool_dropped": (
                "Exchanges that found no room on this disk, since the start.",
                lambda: spool.dropped,
            ),
            "graftwork_capture_conversations": (
                "Conversations whose newest turn is remembered, to notice what is asked again.",
                lambda: len(self._repeats),
            ),
            "graftwork_capture_recent": (
                "Answers that are remembered in case of feedback; capture.recent.",
                lambda: len(captures.recent),
            ),
            "graftwork_capture_recent_bytes": (
                "Bytes of those, about; capture.recent_mb.",
                lambda: captures.recent.bytes,
            ),
        }

    def rooms(self) -> tuple[Erasable, ...]:
        """What is kept of persons on the way."""
        waiting = WaitingExchanges(self.captures, self._spool, self._persons.hash)
        return (self.captures.recent, waiting)

    def add_to(self, jobs: PeriodicJobs) -> None:
        """Have it delivered in the background."""
        self.captures.wake = jobs.add("captures", self.deliver, _DELIVERY).wake
        every = Every(_ADOPT_EVERY_S, at_once=True)
        jobs.add("left-captures", in_thread(self._spool.adopt), every)

    async def deliver(self) -> After | None:
        """Hand over all that waits; when to look again, if that is known.

        Raises ``Undelivered``, ``Unanswered``, ``OSError``.
        """
        while True:
            batch = await asyncio.to_thread(self._spool.next, _BATCH_BYTES)
            if not batch.paths:
                return None
            registry = self._holder.current.registry
            if registry is None:
                return After(_UNKNOWN_S)
            body = b"\n".join(batch.lines)
            answer = await self._client.ask(registry, "POST", CAPTURES, body, timeout_s=_TIMEOUT_S)
            if answer.status != 200:
                raise Undelivered(f"the registry answered {answer.status}")
            await asyncio.to_thread(self._spool.done, batch)

    async def aclose(self) -> None:
        """Put what is redacted on the disk, and close every connection."""
        await self.captures.aclose()
        await self._client.aclose()
