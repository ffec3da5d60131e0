"""The queue of pushes that came before the first engine: in, on when there is one, or out again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from adapters.errors import UnknownAlias, UnknownVersion
from adapters.jobs.locks import KeyedLocks
from adapters.publish.intake import Intake
from adapters.publish.waiting import WAITS, Waiting, WaitingRoom
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import State

_BEFORE_STORE = frozenset({State.RECEIVED, State.CHECKED})
_TAKEN_BACK = "taken back before an engine was up"
_LOOK_S = 0.1
Admitted = Callable[[VersionRecord], Awaitable[None]]


class FirstEngineQueue:
    """Versions that are ``received`` because nobody can say yet what base is served.

    Args:
        arrivals: the locks under which bytes are taken in, by alias and digest.
        admitted: goes on with a version that has passed the intake, or has not.

    Attributes:
        room: where their files lie.
    """

    def __init__(
        self,
        ledger: Ledger,
        room: WaitingRoom,
        intake: Intake,
        arrivals: KeyedLocks,
        admitted: Admitted,
    ) -> None:
        self._ledger = ledger
        self.room = room
        self._intake = intake
        self._arrivals = arrivals
        self._admitted = admitted

    async def holds(self, alias: str, digest: str) -> bool:
        """Whether these bytes wait."""
        return await asyncio.to_thread(self.room.find, alias, digest) is not None

    async def is_due(self, alias: str) -> bool:
        """Whether a push that comes now has to wait: for an engine, or behind an earlier one."""
        if await asyncio.to_thread(self.room.entries, alias):
            return True
        return not await self._intake.comes_soon()

    async def enter(self, version: VersionRecord, directory: Path) -> VersionRecord:
        """Keep a received version; its arrival must be held.

        One that cannot be kept has failed. Raises ``QueueFull``, ``StoreError``.
        """
        alias, digest = version.alias, version.digest
        try:
            await asyncio.to_thread(self.room.take, directory, alias, digest)
        except Exception as error:
            await self._ledger.move(version, State.FAILED, by=version.author, error=str(error))
            raise
        return await self.say(version)

    async def say(self, version: VersionRecord) -> VersionRecord:
        """Write down why the version goes no further, for all who look."""
        registry, alias, digest = self._ledger.registry, version.alias, version.digest
        version = await self._ledger.call(registry.learn, alias, digest, error=WAITS)
        self._ledger.report("version-waiting", version, state=version.state.value, reason=WAITS)
        return version

    async def advance(self) -> None:
        """Take in whoever waits, in order; the base must be known. Raises ``RegistryError``."""
        while entries := await asyncio.to_thread(self.room.entries):
            for entry in entries:
                async with self._arrivals.hold((entry.alias, entry.digest)):
                    await self._take_in(entry)
        await asyncio.to_thread(self.room.sweep)

    async def _take_in(self, entry: Waiting) -> None:
        if not await self.holds(entry.alias, entry.digest):
            return
        try:
            version = await self._ledger.version(entry.alias, entry.digest)
        except (UnknownAlias, UnknownVersion):
            # Another registry's, or of one that was put back to an earlier day.
            await asyncio.to_thread(self.room.leave, entry)
            return
        if version.state is State.CHECKED:
            # A process died between the checks and the store.
            version = await self._ledger.move(version, State.RECEIVED, by=version.author)
        if version.state is State.RECEIVED:
            version = await self._intake.admit(version, entry.path, version.author)
        # Also one that a process which died had stored: nobody overtakes it.
        await self._admitted(version)
        await asyncio.to_thread(self.room.leave, entry)

    async def withdraw(self, alias: str, digest: str | None, by: str) -> list[str]:
        """Take back what waits, of these bytes or of the whole alias. Returns the digests."""
        entries = await asyncio.to_thread(self.room.entries, alias)
        return [
            entry.digest
            for entry in entries
            if digest in {None, entry.digest} and await self._take_back(entry, by)
        ]

    async def _take_back(self, entry: Waiting, by: str) -> bool:
        async with self._arrivals.hold((entry.alias, entry.digest)):
            if not await self.holds(entry.alias, entry.digest):
                return False
            version = await self._ledger.version(entry.alias, entry.digest)
            if version.state not in _BEFORE_STORE:
                return False
            if version.state is State.CHECKED:
                version = await self._ledger.move(version, State.RECEIVED, by=by)
            await self._ledger.move(version, State.RETIRED, by=by, detail=_TAKEN_BACK, error="")
            await asyncio.to_thread(self.room.leave, entry)
            return True

    async def left(self, alias: str, digest: str, timeout_s: float) -> None:
        """Wait until these bytes wait no more, or for so long."""
        clock = asyncio.get_running_loop().time
        ends = clock() + timeout_s
        while clock() < ends:
            if not await self.holds(alias, digest):
                return
            await asyncio.sleep(_LOOK_S)
