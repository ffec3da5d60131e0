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
from adapters.registry.lifecycle import PUBLISHING, State

_BEFORE_STORE = frozenset({State.RECEIVED, State.CHECKED})
_TAKEN_BACK = "taken back before an engine was up"
_LOOK_S = 0.1
ToGate = Callable[[VersionRecord, str], Awaitable[VersionRecord]]


class FirstEngineQueue:
    """Versions that are ``received`` because nobody can say yet what base is served.

    Args:
        arrivals: the locks under which bytes are taken in, by alias and digest.
        to_gate: hands what is stored to the gate, where one is demanded.
        publish: publishes what is stored in the background.

    Attributes:
        room: where their files lie.
    """

    def __init__(
        self,
        ledger: Ledger,
        room: WaitingRoom,
        intake: Intake,
        arrivals: KeyedLocks,
        to_gate: ToGate,
        publish: Callable[[VersionRecord], None],
    ) -> None:
        self._ledger = ledger
        self.room = room
        self._intake = intake
        self._arrivals = arrivals
        self._to_gate = to_gate
        self._publish = publish
        self._is_whole = False
        """What waits elsewhere is here as well."""

    async def holds(self, alias: str, digest: str) -> bool:
        """Whether these bytes wait."""
        return await asyncio.to_thread(self.room.find, alias, digest) is not None

    async def bring_back(self) -> None:
        """Fetch what waits elsewhere, of a registry that ran on another node. Once is enough.

        Raises ``RegistryError``, ``StoreError``.
        """
        if self._is_whole:
            return
        for entry in await asyncio.to_thread(self.room.missing):
            async with self._arrivals.hold((entry.alias, entry.digest)):
                try:
                    version = await self._ledger.version(entry.alias, entry.digest)
                except (UnknownAlias, UnknownVersion):
                    continue  # another registry's, which shares the store
                if version.state in _BEFORE_STORE:
                    await asyncio.to_thread(self.room.bring, entry)
        self._is_whole = True

    async def arrived(
        self, version: VersionRecord, directory: Path, author: str
    ) -> tuple[VersionRecord, bool]:
        """Check and store what was received, or keep it for later; False when it was kept already.

        Its arrival must be held. Raises ``QueueFull``, ``StoreError``, ``RegistryError``.
        """
        if await self.holds(version.alias, version.digest):
            return await self._say(version), False
        self._ledger.report("version-received", version, author=author)
        if await self._is_due(version.alias):
            return await self._enter(version, directory), True
        version = await self._intake.admit(version, directory, author)
        return await self._to_gate(version, author), True

    async def _is_due(self, alias: str) -> bool:
        """Whether a push that comes now has to wait: for an engine, or behind an earlier one."""
        if await asyncio.to_thread(self.room.entries, alias):
            return True
        return not await self._intake.comes_soon()

    async def _enter(self, version: VersionRecord, directory: Path) -> VersionRecord:
        """Keep a received version; one that cannot be kept has failed."""
        alias, digest = version.alias, version.digest
        try:
            await asyncio.to_thread(self.room.take, directory, alias, digest)
        except Exception as error:
            await self._ledger.move(version, State.FAILED, by=version.author, error=str(error))
            raise
        return await self._say(version)

    async def _say(self, version: VersionRecord) -> VersionRecord:
        """Write down why the version goes no further, for all who look."""
        registry, alias, digest = self._ledger.registry, version.alias, version.digest
        version = await self._ledger.call(registry.learn, alias, digest, error=WAITS)
        self._ledger.report("version-waiting", version, reason=WAITS)
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
        version = await self._to_gate(version, version.author)
        if version.state in PUBLISHING:
            self._publish(version)
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
