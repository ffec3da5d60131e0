"""What becomes of bytes that arrive: a new journey, nothing at all, or a way back.

Known bytes start again where nobody serves them: after a failure, a rejection, a retirement. Those
that drain are turned round before they are gone. Those that serve a base which is not served any
more leave, and start anew for the base of now.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adapters.errors import Conflict
from adapters.events import EventBus
from adapters.jobs.locks import KeyedLocks
from adapters.publish.retire import Retirer
from adapters.registry import Plan, VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import CALLABLE, State

Arrival = tuple[VersionRecord, bool]
"""A version, and whether its journey starts now."""


class Arrivals:
    """Records arrivals. ``names``: the locks under which versions enter or leave engines."""

    def __init__(
        self,
        ledger: Ledger,
        retirer: Retirer,
        names: KeyedLocks,
        base_digest: Callable[[], str | None],
        events: EventBus,
    ) -> None:
        self._ledger = ledger
        self._retirer = retirer
        self._names = names
        self._base_digest = base_digest
        self._events = events

    async def receive(
        self, alias: str, digest: str, plan: Plan, by: str, *, revive: bool
    ) -> Arrival:
        """Record that content arrived. Without ``revive``, what was left on purpose stays there.

        Raises ``Conflict`` while the version still answers on another base, ``RegistryError``.
        """
        registry = self._ledger.registry
        receive = partial(registry.receive, alias, digest, plan=plan, by=by, revive=revive)
        version, starts = await self._ledger.call(receive)
        if not starts and self._is_stranded(version, revive):
            return await self._start_again(version, partial(receive, revive=True), by)
        if not revive or version.state is not State.DRAINING:
            return version, starts
        # After the step of the drain that is under way: what that unloads is loaded again.
        async with self._names.hold(version.name):
            version, drained = await self._ledger.call(
                registry.revive, alias, digest, plan=plan, by=by
            )
        if drained:
            self._events.emit("version-revived", alias, digest, author=by)
            return version, True
        return await self._ledger.call(receive)

    def _is_stranded(self, version: VersionRecord, revive: bool) -> bool:
        """Whether a version that should serve was made for a base that is not served any more."""
        wanted = (CALLABLE | {State.DRAINING}) if revive else {State.LIVE}
        return version.state in wanted and self._base_digest() not in {None, version.base}

    async def _start_again(
        self, version: VersionRecord, receive: Callable[[], Arrival], by: str
    ) -> Arrival:
        await self._retirer.withdraw(version.alias, [version.digest], by=by, forget=False)
        if not await self._retirer.finish(version.alias, version.digest):
            raise Conflict(f"{version.name} still answers requests on another base")
        return await self._ledger.call(receive)
