"""Which files leave the store, and how: never what an alias could still return to; and old history.

The registry writes the removal down before the files go, under the locks that every push and
publish of the version takes. A process that dies in between leaves files that the next look finds
again; a version without files is told to whoever promotes it ("push it again").
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from adapters.config import AdaptersConfig
from adapters.errors import AdapterError
from adapters.events import EventBus
from adapters.jobs.locks import KeyedLocks
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import COLLECTABLE
from adapters.store.store import VersionStore


@dataclass(frozen=True)
class Garbage:
    """A version whose files left the store, or would."""

    name: str
    state: str
    since: datetime
    size_bytes: int


class Collector:
    """Looks for garbage. ``locks``: arrivals by (alias, digest), and publishes by alias."""

    def __init__(
        self,
        ledger: Ledger,
        store: VersionStore,
        locks: tuple[KeyedLocks, KeyedLocks],
        config: AdaptersConfig,
        events: EventBus,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._arrivals, self._publishes = locks
        self._keep_s = config.collect.keep_s
        self._history = config.collect.history
        self._pinned = frozenset(config.rollout.pinned)
        self._events = events

    async def collect(self, *, dry_run: bool, by: str) -> list[Garbage]:
        """One look; returns what went, or with ``dry_run`` what would go."""
        if not dry_run:
            await asyncio.to_thread(self._store.sweep)
            await self._ledger.call(self._ledger.registry.trim_history, self._history)
        if self._keep_s is None:
            return []
        before = datetime.now(UTC) - timedelta(seconds=self._keep_s)
        found = []
        for version in await self._old(before):
            size = await asyncio.to_thread(self._store.size, version.alias, version.digest)
            if size is None or not (dry_run or await self._remove(version, before, by)):
                continue
            garbage = Garbage(version.name, version.state.value, version.updated_at, size)
            found.append(garbage)
        return found

    async def _old(self, before: datetime) -> Iterable[VersionRecord]:
        registry = self._ledger.registry
        aliases = await self._ledger.call(registry.aliases)
        kept = {(a.name, digest) for a in aliases for digest in (a.live, a.previous)}
        return [
            version
            for version in await self._ledger.call(registry.versions, None, COLLECTABLE)
            if version.updated_at <= before
            and version.alias not in self._pinned
            and (version.alias, version.digest) not in kept
        ]

    async def _remove(self, version: VersionRecord, before: datetime, by: str) -> bool:
        alias, digest = version.alias, version.digest
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._arrivals.hold((alias, digest)))
            await held.enter_async_context(self._publishes.hold(alias))
            try:
                may = await self._ledger.call(
                    self._ledger.registry.collect,
                    alias,
                    digest,
                    before=before,
                    by=by,
                )
                if may:
                    # A successor may have them back by now.
                    delete = partial(self._store.delete, alias, digest)
                    await self._ledger.call(self._ledger.registry.as_writer, delete)
            except AdapterError as error:
                self._events.emit("collect-failed", alias, digest, error=str(error))
                return False
        if may:
            self._events.emit("version-collected", alias, digest)
        return may
