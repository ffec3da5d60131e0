"""Erasures as the registry does them: its own rooms, then every router's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from adapters.admin.erasures import Eraser
from adapters.aliases import Peer
from adapters.events import EventBus
from adapters.jobs.periodic import Every, PeriodicJobs
from adapters.records.erasable import Erasable
from adapters.records.erasures import Erasures
from adapters.records.writer import RecordLog
from router.account.gauges import Reading
from serving.config.settings import ERASURES, Settings
from serving.internal import paths
from serving.internal.client import InternalClient
from serving.telemetry.scrubbing import StrayCopies

_TIMEOUT_S = 30.0
_RETRY_S = 2.0
_LONGEST_S = 600.0


class NotEverywhere(Exception):
    """A router did not erase what it keeps: it is asked again."""


class Erasing:
    """What of a person is kept anywhere goes, again and again until it is gone.

    Args:
        settings: where the state is.
        log: the registry's log of admin actions.
        rooms: what the registry keeps of persons.
        rewrite: leaves nothing of what they removed in their database's files. Blocks.
        routers: those that are alive.
        events: told how far each erasure is.
    """

    def __init__(
        self,
        settings: Settings,
        log: RecordLog,
        rooms: Iterable[Erasable],
        rewrite: Callable[[], None],
        routers: Callable[[], tuple[Peer, ...]],
        events: EventBus,
    ) -> None:
        self._routers = routers
        self._client = InternalClient()
        self._erasures = Erasures(
            settings.state_dir / ERASURES,
            log,
            rooms,
            self._elsewhere,
            lambda identity, state: events.emit("erasure", id=identity, state=state),
            rewrite=rewrite,
            last=[StrayCopies(settings)],
            kept=settings.audit.erasures_kept,
        )

    def add_to(self, jobs: PeriodicJobs) -> Eraser:
        """Have it done in the background; what the resource needs."""
        every = Every(None, at_once=True, limit_s=_LONGEST_S, retry_s=_RETRY_S)
        job = jobs.add("erase", self._erasures.work, every)
        return Eraser(self._erasures, job.wake)

    def readings(self) -> dict[str, Reading]:
        """What is worth a gauge."""
        said = "Erasures that are done and kept; audit.erasures_kept is the limit."
        return {"graftwork_erasures_kept": (said, lambda: self._erasures.done)}

    async def _elsewhere(self, subject: str) -> Counter[str]:
        routers = self._routers()
        if not routers:
            raise NotEverywhere("no router reports at the moment")
        found: Counter[str] = Counter()
        for peer in routers:
            answer = await self._client.ask(
                peer, "POST", paths.ERASURES, {"subject": subject}, timeout_s=_TIMEOUT_S
            )
            if answer.status != 200:
                raise NotEverywhere(f"{peer.id} answered {answer.status}")
            found.update(answer.json())
        return found

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()
