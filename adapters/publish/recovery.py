"""What somebody began and nobody works on: continued where it can be, or ended.

A process that died leaves such versions, and so does a database that failed at the wrong moment.
The first look is the registry's start, the later ones come with each reconcile pass.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from adapters.aliases import engine_name
from adapters.jobs.locks import KeyedLocks
from adapters.jobs.once import Jobs
from adapters.publish.retire import Retirer
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import UNFINISHED, State
from adapters.store.store import VersionStore

_INTERRUPTED = "interrupted before it was stored; push it again"


class Recovery:
    """Takes up unfinished versions.

    Args:
        arrivals: the locks under which bytes are taken in, by alias and digest.
        publishes: the locks under which versions are published, by alias.
        publish: publishes a stored version in the background.
        waits: whether bytes wait for the first engine, so that nobody has to work on them.
        is_moved: whether somebody who wanted a known version back is bringing it, by engine name.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: VersionStore,
        retirer: Retirer,
        jobs: Jobs,
        locks: tuple[KeyedLocks, KeyedLocks],
        publish: Callable[[VersionRecord], None],
        waits: Callable[[str, str], Awaitable[bool]],
        is_moved: Callable[[str], bool],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._retirer = retirer
        self._jobs = jobs
        self._arrivals, self._publishes = locks
        self._publish = publish
        self._waits = waits
        self._is_moved = is_moved

    async def take_up(self) -> None:
        """Continue or end each version that is unfinished and in nobody's hands. Idempotent."""
        unfinished = await self._ledger.call(self._ledger.registry.versions, None, UNFINISHED)
        for version in unfinished:
            if version.state is State.DRAINING:
                self._retirer.finish_later(version.alias, version.digest)
            elif not self._is_at_work(version):
                await self._take_up_one(version)

    def _is_at_work(self, version: VersionRecord) -> bool:
        return (
            self._arrivals.busy((version.alias, version.digest))
            or self._publishes.busy(version.alias)
            or self._is_moved(version.name)
            or self._jobs.busy(publish_job(version.alias, version.digest))
        )

    async def _take_up_one(self, version: VersionRecord) -> None:
        # Who pushes these bytes now waits, and then finds them as they are afterwards.
        async with self._arrivals.hold((version.alias, version.digest)):
            version = await self._ledger.version(version.alias, version.digest)
            if version.state not in UNFINISHED or await self._waits(version.alias, version.digest):
                return
            stored = await asyncio.to_thread(self._store.exists, version.alias, version.digest)
            if stored and version.state not in {State.RECEIVED, State.CHECKED}:
                self._publish(version)
                return
            await self._ledger.move(
                version, State.FAILED, by="resume", detail=_INTERRUPTED, error=_INTERRUPTED
            )


def publish_job(alias: str, digest: str) -> str:
    """Under which name a version is published in the background."""
    return f"publish:{engine_name(alias, digest)}"
