"""A version that must not exist any more: out of service everywhere, its files out of the store.

For what was trained on data of a person who was erased. What is left of it are its lines in the
registry: that it was there, and why it is not.
"""

from __future__ import annotations

import asyncio
from functools import partial

from adapters.errors import AdapterError, Conflict, FleetError
from adapters.publish.rollout import Rollout
from adapters.registry import VersionRecord
from adapters.registry.lifecycle import CALLABLE, PUBLISHING, UNFINISHED, WITHDRAWABLE, State
from adapters.store.store import VersionStore

_PATIENCE_S = 10.0
_DRAIN_POLL_S = 0.2


class Forgetter:
    """Makes versions go for good. Every call may be made again after a failure."""

    def __init__(self, rollout: Rollout, store: VersionStore) -> None:
        self._rollout = rollout
        self._ledger = rollout.ledger
        self._store = store

    async def exists(self, version: VersionRecord) -> bool:
        """Whether it serves, is about to, or has files."""
        if version.state in CALLABLE | UNFINISHED:
            return True
        return await asyncio.to_thread(self._store.exists, version.alias, version.digest)

    async def forget(self, version: VersionRecord, by: str, detail: str) -> None:
        """Take it out of service and delete its files.

        A live one gives its place to the one before it, where that may have it; a publish that is
        under way ends. Raises ``Conflict`` while it is being checked and stored, ``FleetError``
        while a request still runs on it or an engine still loads it.
        """
        version = await self._settled(version, by)
        if version.state is State.LIVE:
            await self._give_way(version, by)
        await self._rollout.retirer.withdraw(
            version.alias, [version.digest], WITHDRAWABLE, by=by, forget=True
        )
        await self._gone_from_engines(version)
        registry = self._ledger.registry
        await self._ledger.call(
            registry.forget, version.alias, version.digest, by=by, detail=detail
        )
        delete = partial(self._store.delete, version.alias, version.digest)
        await self._ledger.call(registry.as_writer, delete)
        self._rollout.events.emit("version-forgotten", version.alias, version.digest, reason=detail)

    async def _settled(self, version: VersionRecord, by: str) -> VersionRecord:
        """As it is when it does not wait for the first engine, and its files are in their place."""
        await self._rollout.queue.withdraw(version.alias, version.digest, by)
        version = await self._ledger.version(version.alias, version.digest)
        if version.state in UNFINISHED - PUBLISHING - {State.DRAINING}:
            raise Conflict(f"{version.name} is {version.state}: it is forgotten when that is over")
        return version

    async def _give_way(self, version: VersionRecord, by: str) -> None:
        row = await self._ledger.call(self._ledger.registry.alias, version.alias)
        if row.previous is None:
            return
        try:
            await self._rollout.rollback(version.alias, by=by, leaving=version.digest)
        except AdapterError:
            return  # Nothing can take its place; it leaves all the same.

    async def _gone_from_engines(self, version: VersionRecord) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + _PATIENCE_S
        alias, digest = version.alias, version.digest
        while (await self._ledger.version(alias, digest)).state is State.DRAINING:
            self._rollout.retirer.finish_later(alias, digest)
            if clock() > deadline:
                raise FleetError(f"{version.name} still answers a request, or is being loaded")
            await asyncio.sleep(_DRAIN_POLL_S)
