"""From bytes that arrived to a version in the store: a new journey, nothing at all, or a way back.

What is new is checked first, then stored. Known bytes start again where nobody serves them: after a
failure, a rejection, a retirement. Those that drain are turned round before they are gone. Those
that serve a base which is not served any more leave, and start anew for the base of now.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from adapters.config import AdaptersConfig
from adapters.errors import AdapterError, Conflict, FleetError
from adapters.events import EventBus
from adapters.format.base_model import BaseFacts
from adapters.format.files import reason
from adapters.format.manifest import Manifest, complete_manifest
from adapters.format.preflight import Report, preflight
from adapters.jobs.locks import KeyedLocks
from adapters.publish.retire import Retirer
from adapters.registry import Plan, VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import CALLABLE, State
from adapters.store.store import VersionStore

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
            state = version.state.value
            self._events.emit("version-revived", alias, digest, state=state, author=by)
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


_LOOK_FOR_BASE_S = 0.2
_log = logging.getLogger("graftwork.adapters")


class Intake:
    """Decides whether a version may be stored, away from any engine."""

    def __init__(
        self,
        ledger: Ledger,
        store: VersionStore,
        base: Callable[[], BaseFacts | None],
        config: AdaptersConfig,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._base = base
        self._config = config

    async def admit(self, version: VersionRecord, directory: Path, author: str) -> VersionRecord:
        """Move a received version to stored, rejected or failed. ``directory`` must be private."""
        try:
            base = await self.served_base()
            report = await self.check(directory, version.alias, base)
            checks = [check.model_dump(mode="json") for check in report.checks]
            if not report.ok:
                return await self._reject(version, report, author, base=base.digest, checks=checks)
            version = await self._ledger.move(
                version, State.CHECKED, by=author, base=base.digest, checks=checks, error=""
            )
            manifest = await self._keep(version, directory, base, author)
            return await self._ledger.move(
                version, State.STORED, by=author, manifest=manifest.model_dump(mode="json")
            )
        except Exception as error:  # noqa: BLE001 - a bug here must not leave half an arrival
            why = reason(error)
            if not isinstance(error, AdapterError | OSError):
                why = f"internal error: {type(error).__name__}: {why}"
                _log.exception("intake_failed", extra={"version": version.name})
            return await self._ledger.move(version, State.FAILED, by=author, error=why)

    async def check(self, directory: Path, alias: str, base: BaseFacts) -> Report:
        """Run every preflight check in a thread."""
        return await asyncio.to_thread(
            preflight, directory, base, self._config.preflight, alias=alias
        )

    async def unnamed(self, directory: Path, alias: str) -> Report:
        """Everything that is wrong with bytes that are too broken to have a digest.

        Nothing more than that when no base is known.
        """
        if not await self.comes_soon():
            return Report.of(())
        return await self.check(directory, alias, await self.served_base())

    async def served_base(self) -> BaseFacts:
        """Facts of the served base, waiting for the engines to tell. Raises ``FleetError``."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._config.rollout.replicas_timeout_s
        while (base := self._base()) is None:
            if clock() >= deadline:
                raise FleetError("the base model is not up yet", code="base-not-ready")
            await asyncio.sleep(_LOOK_FOR_BASE_S)
        return base

    async def comes_soon(self) -> bool:
        """Whether the base is known within ``push.first_engine_s``."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._config.push.first_engine_s
        while self._base() is None:
            if clock() >= deadline:
                return False
            await asyncio.sleep(_LOOK_FOR_BASE_S)
        return True

    async def _keep(
        self, version: VersionRecord, directory: Path, base: BaseFacts, author: str
    ) -> Manifest:
        def work() -> Manifest:
            manifest = complete_manifest(
                directory,
                version.alias,
                base_id=base.base_id,
                base_digest=base.digest,
                author=author,
                now=datetime.now(UTC),
            )
            self._store.put(directory, version.alias, version.digest, manifest)
            return manifest

        return await asyncio.to_thread(work)

    async def _reject(
        self,
        version: VersionRecord,
        report: Report,
        author: str,
        *,
        base: str,
        checks: list[dict[str, object]],
    ) -> VersionRecord:
        failed = ", ".join(check.name for check in report.failed)
        return await self._ledger.move(
            version,
            State.REJECTED,
            by=author,
            base=base,
            checks=checks,
            error=f"refused by preflight: {failed}",
        )
