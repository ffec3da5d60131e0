"""How versions leave: out of the tables, then drained, then out of the engines, verified.

A version with a request under way is never unloaded, however long it takes (law 1).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

from adapters.aliases import engine_name
from adapters.config import RolloutSettings
from adapters.errors import RegistryError
from adapters.events import EventBus
from adapters.fleet import Fleet
from adapters.jobs.locks import KeyedLocks
from adapters.jobs.once import Jobs
from adapters.publish.loading import Loader
from adapters.publish.placement import Heat
from adapters.registry import VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import CALLABLE, State

_BY = "rollout"


class Retirer:
    """Drains and unloads. ``names``: the locks under which versions enter or leave engines."""

    def __init__(
        self,
        ledger: Ledger,
        fleet: Fleet,
        loader: Loader,
        names: KeyedLocks,
        jobs: Jobs,
        settings: RolloutSettings,
        events: EventBus,
        heat: Heat,
    ) -> None:
        self._heat = heat
        self._swaps: Counter[str] = Counter()
        self._ledger = ledger
        self._fleet = fleet
        self._loader = loader
        self._names = names
        self._jobs = jobs
        self._settings = settings
        self._events = events

    def trim_later(self, alias: str) -> None:
        """Retire what is beyond ``keep_previous``, in the background."""
        self._jobs.start(f"trim:{alias}", lambda: self.trim(alias))

    async def trim(self, alias: str) -> None:
        """Retire the alias's superseded versions beyond ``keep_previous``, oldest first."""
        superseded = await self._ledger.call(
            self._ledger.registry.versions, alias, {State.SUPERSEDED}
        )
        superseded.sort(key=lambda version: version.left_epoch, reverse=True)
        surplus = [version.digest for version in superseded[self._settings.keep_previous :]]
        if surplus:
            await self.withdraw(alias, surplus, {State.SUPERSEDED}, by=_BY, forget=False)

    async def withdraw(
        self,
        alias: str,
        digests: Collection[str],
        states: Collection[State] = CALLABLE,
        *,
        by: str,
        forget: bool,
    ) -> list[str]:
        """Take versions that are in ``states`` out of every table; drain them in the background.

        Returns the digests that are now draining.
        """
        registry = self._ledger.registry
        epoch, draining = await self._ledger.call(
            registry.begin_drain, alias, digests, states, by=by, forget=forget
        )
        for digest in draining:
            self._loader.call_off(engine_name(alias, digest))
        if draining:
            await self._ledger.announce(epoch, alias, None, "retire")
        for digest in draining:
            self.finish_later(alias, digest)
        return draining

    def finish_later(self, alias: str, digest: str) -> None:
        """Drain and unload in the background; does nothing when that is under way."""

        async def work() -> None:
            await self.finish(alias, digest)

        self._jobs.start(f"drain:{alias}:{digest}", work)

    async def finish(self, alias: str, digest: str) -> bool:
        """DRAIN and RETIRE one version; False when it is still in use, to be looked at again."""
        version = await self._ledger.version(alias, digest)
        began = version.left_epoch
        # A router with an old table may still start requests on it.
        if not await self._ledger.shown():
            return self._overdue(version, "a router has not applied the table")
        if not await self._drained(version.name):
            return self._overdue(
                version, f"{self._fleet.in_flight(version.name)} requests in flight"
            )
        async with self._names.hold(version.name):
            version = await self._ledger.version(alias, digest)
            if version.state is not State.DRAINING:
                return True
            if version.left_epoch != began:
                return self._overdue(version, "it came back and left again meanwhile")
            if not await self._loader.unload_all(version.name):
                return self._overdue(version, "an engine still holds it")
            await self._ledger.move(version, State.RETIRED, by=_BY)
            return True

    async def make_room(self, replica: str) -> bool:
        """For a publish: the longest superseded version leaves, else the coldest live one."""
        return await self._retire_superseded(replica) or await self._evict(replica, min_idle_s=0.0)

    async def make_room_gently(self, replica: str) -> bool:
        """For a cold version that is wanted: a few per pass, and nobody who was just used."""
        if await self._retire_superseded(replica):
            return True
        if self._swaps[replica] >= self._settings.swaps_per_pass:
            return False
        if not await self._evict(replica, min_idle_s=self._settings.min_residence_s):
            return False
        self._swaps[replica] += 1
        return True

    def begin_pass(self) -> None:
        """A new reconcile pass has its own swaps."""
        self._swaps.clear()

    async def _evict(self, replica: str, *, min_idle_s: float) -> bool:
        """Unload the least recently used version that may leave; its alias stays, cold."""
        held = self._fleet.held(replica)
        movable = [name for name in held if name.partition("@")[0] not in self._settings.pinned]
        for name in self._heat.coldest(
            movable, group_of=self._tenant, floor=self._settings.tenant_floor
        ):
            if self._heat.idle_s(name) < min_idle_s:
                return False
            if self._names.busy(name) or self._fleet.in_flight(name) > 0:
                continue
            async with self._names.hold(name):
                hidden = await self._withhold(replica, name)
                left = hidden and await self._unload_unused(replica, name)
                self._fleet.restore(replica, name)
            if left:
                self._events.emit("evicted", replica=replica, name=name)
            if left or not hidden:
                # Routers that are late for one copy are late for the next.
                return left
        return False

    async def leave(self, replica: str, name: str) -> bool:
        """Take one copy off one replica; hold the name's lock. False when it is still in use.

        Routers stop choosing the replica first, and the engine refuses while a request that chose
        it before is under way: no request can meet a copy that is leaving. Afterwards, and when it
        has failed, ``Fleet.restore`` ends the withholding.
        """
        return await self._withhold(replica, name) and await self._unload_unused(replica, name)

    async def _withhold(self, replica: str, name: str) -> bool:
        return await self._fleet.withhold(replica, name, self._settings.routers_timeout_s)

    async def _unload_unused(self, replica: str, name: str) -> bool:
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.drain_settle_s
        while not await self._loader.unload(replica, name):
            if clock() >= deadline:
                return False
            await asyncio.sleep(self._settings.drain_poll_s)
        return True

    def _tenant(self, name: str) -> str:
        return self._settings.tenants.get(name.partition("@")[0], "default")

    async def _retire_superseded(self, replica: str) -> bool:
        """Retire the version that has been superseded longest among those on the replica."""
        held = self._fleet.held(replica)
        registry = self._ledger.registry
        idle = await self._ledger.call(registry.versions, None, {State.SUPERSEDED})
        for victim in sorted(idle, key=lambda version: version.left_epoch):
            # Somebody who holds the name's lock is about to use it.
            if victim.name not in held or self._names.busy(victim.name):
                continue
            epoch, draining = await self._ledger.call(
                registry.begin_drain,
                victim.alias,
                [victim.digest],
                {State.SUPERSEDED},
                by=_BY,
                forget=False,
                detail=f"{replica} is full",
            )
            if draining:
                await self._ledger.announce(epoch, victim.alias, victim.digest, "evict")
                return await self.finish(victim.alias, victim.digest)
        return False

    async def sweep(self) -> None:
        """Look again at everything that should have left: called by each reconcile pass."""
        registry = self._ledger.registry
        for version in await self._ledger.call(registry.versions, None, {State.DRAINING}):
            self.finish_later(version.alias, version.digest)
        superseded = await self._ledger.call(registry.versions, None, {State.SUPERSEDED})
        for alias in {version.alias for version in superseded}:
            try:
                await self.trim(alias)
            except RegistryError as error:
                self._events.emit("trim-failed", alias, error=str(error))

    async def _drained(self, name: str) -> bool:
        """Whether in-flight came to zero and stayed there for ``drain_settle_s``."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._settings.drain_timeout_s
        quiet_since: float | None = None
        while True:
            now = clock()
            if self._fleet.in_flight(name) > 0:
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            if quiet_since is not None and now - quiet_since >= self._settings.drain_settle_s:
                return True
            if now >= deadline + self._settings.drain_settle_s:
                return False
            await asyncio.sleep(self._settings.drain_poll_s)

    def _overdue(self, version: VersionRecord, reason: str) -> bool:
        self._events.emit("drain-overdue", version.alias, version.digest, reason=reason)
        return False
