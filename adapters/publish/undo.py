"""Taking back a publish that did not come to its commit."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from adapters.errors import AdapterError, Conflict, GateRefused, LoadFailed, ProbeFailed, Withdrawn
from adapters.events import EventBus
from adapters.fleet import Fleet
from adapters.format.files import reason
from adapters.jobs.locks import KeyedLocks
from adapters.publish.loading import Loader
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import PUBLISHING, State


class Undo:
    """Leaves the alias as it was. ``names``: held while a version enters or leaves engines."""

    def __init__(
        self, ledger: Ledger, fleet: Fleet, loader: Loader, names: KeyedLocks, events: EventBus
    ) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._loader = loader
        self._names = names
        self._events = events
        self._under_way: Counter[str] = Counter()

    def watches(self, name: str) -> bool:
        """Whether somebody moves this version now who ends what he began, or takes it back."""
        return name in self._under_way

    async def undo(
        self, version: VersionRecord, error: Exception, came_from: State | None = None
    ) -> None:
        """Take back a publish that did not commit; reconcile removes what stays loaded.

        ``came_from``: where a version rested that somebody wanted back. Nothing is taken back
        where the commit went through, though its answer got lost.
        """
        try:
            version = await self._ledger.still(version)
            if version.state in PUBLISHING:
                await self._undone(version, error, came_from)
        except Withdrawn:
            return  # It drains, or came back since; who withdrew it takes it out of the engines.

    async def _undone(
        self, version: VersionRecord, error: Exception, came_from: State | None
    ) -> None:
        loading = version.state in {State.PREPARING, State.GATING}
        bad = isinstance(error, (LoadFailed, ProbeFailed)) and loading
        why = reason(error)
        if not isinstance(error, AdapterError):
            why = f"internal error: {type(error).__name__}: {why}"
        async with self._names.hold(version.name):
            # A version that came back while it drained may still be answering somebody.
            if self._fleet.in_flight(version.name) == 0:
                await self._loader.unload_all(version.name)
            to = State.QUARANTINED if bad else State.FAILED
            if isinstance(error, GateRefused):
                to = State.REFUSED
            said = why
            if _was_overtaken(version, error, came_from):
                to, said = State.RETIRED, ""
            await self._ledger.move(version, to, by="rollout", detail=why, error=said)
        self._events.emit("publish-undone", version.alias, version.digest, reason=why)

    @asynccontextmanager
    async def on_failure(
        self, version: VersionRecord, came_from: State | None = None
    ) -> AsyncIterator[None]:
        """Undo when the body raises; what it raised goes on."""
        self._under_way[version.name] += 1
        try:
            yield
        except Exception as error:
            await self.undo(version, error, came_from)
            raise
        finally:
            self._under_way[version.name] -= 1
            if not self._under_way[version.name]:
                del self._under_way[version.name]


def _was_overtaken(version: VersionRecord, error: Exception, came_from: State | None) -> bool:
    """Whether nothing broke: somebody else changed the alias before a version was back."""
    rested = came_from in {State.RETIRED, State.DRAINING}
    return rested and version.state is State.PREPARED and isinstance(error, Conflict)
