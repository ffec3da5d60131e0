"""The registry as the event loop sees it: in a thread, and with an event for each move.

A move that requests can see is told of once the routers have it: who hears that a version is live
and asks for it is answered by it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from adapters.config import RolloutSettings
from adapters.errors import FleetError, Withdrawn
from adapters.events import EventBus
from adapters.fleet import Fleet
from adapters.registry import Registry, VersionRecord
from adapters.registry.lifecycle import CALLABLE, State

_P = ParamSpec("_P")
_T = TypeVar("_T")
_UNTOLD_KEPT: Final = 1000


class Ledger:
    """Reads and moves versions; tells the routers when a change needs to reach them."""

    def __init__(
        self,
        registry: Registry,
        fleet: Fleet,
        publish: Callable[[], None],
        settings: RolloutSettings,
        events: EventBus,
    ) -> None:
        self.registry = registry
        self._fleet = fleet
        self._publish = publish
        self._settings = settings
        self._events = events
        self._untold: deque[tuple[VersionRecord, State]] = deque(maxlen=_UNTOLD_KEPT)
        registry.on_moved = self._moved

    async def call(self, method: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run one of the registry's methods in a thread."""
        return await asyncio.to_thread(method, *args, **kwargs)

    async def version(self, alias: str, reference: str) -> VersionRecord:
        """The version by digest, its first 12 or more characters, or its engine name."""
        return await self.call(self.registry.version, alias, reference)

    async def move(
        self, version: VersionRecord, to: State, *, by: str, detail: str = "", **facts: Any
    ) -> VersionRecord:
        """Move a version and say so.

        Raises ``Withdrawn`` when it was taken out of service since it was read.
        """
        return await self.call(
            self.registry.move,
            version.alias,
            version.digest,
            to,
            by=by,
            detail=detail,
            left_epoch=version.left_epoch,
            **facts,
        )

    async def still(self, version: VersionRecord) -> VersionRecord:
        """The version as it is now.

        Raises ``Withdrawn`` when it was taken out of service since it was read.
        """
        now = await self.version(version.alias, version.digest)
        if now.left_epoch != version.left_epoch:
            raise Withdrawn(f"{version.name} was taken out of service meanwhile")
        return now

    def report(self, kind: str, version: VersionRecord, **facts: Any) -> None:
        """Say something about a version that did not move."""
        state = version.state.value
        self._events.emit(kind, version.alias, version.digest, state=state, **facts)

    async def announce(self, epoch: int, alias: str, digest: str | None, action: str) -> bool:
        """Make a change visible and wait until the routers have it; False when some are late.

        Never raises: the change is in the database already, and a router that is late now gets the
        table later.
        """
        began = time.perf_counter()
        self.show()
        applied = await self.applied(epoch)
        self._tell(alias)
        seconds = time.perf_counter() - began
        self._events.emit(
            "alias-changed",
            alias,
            digest,
            action=action,
            epoch=epoch,
            applied=applied,
            seconds=round(seconds, 4),
        )
        return applied

    def _moved(self, version: VersionRecord, before: State) -> None:
        if version.state in CALLABLE:
            self._untold.append((version, before))
        else:
            self._say(version, before)

    def _tell(self, alias: str) -> None:
        """Say what routers have now of this alias; without one, of all."""
        for _ in range(len(self._untold)):
            version, before = self._untold.popleft()
            if alias in ("", version.alias):
                self._say(version, before)
            else:
                self._untold.append((version, before))

    def _say(self, version: VersionRecord, before: State) -> None:
        self._events.emit(
            "version-moved",
            version.alias,
            version.digest,
            before=before.value,
            state=version.state.value,
            error=version.error,
        )

    def show(self) -> None:
        """Make the registry's present content visible to the routers."""
        try:
            self._publish()
        except Exception as error:  # noqa: BLE001 - whatever the caller's callback raises
            self._events.emit("publish-failed", error=repr(error))

    async def shown(self) -> bool:
        """Whether every live router goes by what is on record, now or within
        ``routers_timeout_s``.
        """
        return await self.applied(await self.call(self.registry.epoch))

    async def applied(self, epoch: int) -> bool:
        """Whether every live router has at least this epoch within ``routers_timeout_s``."""
        try:
            return await self._fleet.routers_applied(epoch, self._settings.routers_timeout_s)
        except FleetError:
            return False
