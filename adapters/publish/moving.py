"""Known versions on the move: promote, canary, shadow, and back.

Each ends in one transaction of the registry. What has to be loaded before is loaded first, and
taken back when that transaction does not come about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapters.config import AdaptersConfig
from adapters.errors import Conflict, NothingToRollBack, NotInStore
from adapters.events import EventBus
from adapters.fleet import AdapterFiles, Fleet
from adapters.format.base_model import BaseFacts
from adapters.jobs.locks import KeyedLocks
from adapters.jobs.once import Jobs
from adapters.publish.gating import Gate, NoGate, cleared
from adapters.publish.intake import Intake
from adapters.publish.loading import Loader
from adapters.publish.outcome import Outcome, require_share
from adapters.publish.placement import Heat
from adapters.publish.preparing import Preparer
from adapters.publish.proving import Prover
from adapters.publish.retire import Retirer
from adapters.publish.undo import Undo
from adapters.registry import AliasRecord, Plan, Registry, VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import CALLABLE, State
from adapters.registry.repository import ROLLBACK
from adapters.store.store import VersionStore

RETURNABLE = frozenset({State.STORED, State.RETIRED, State.FAILED, State.DRAINING})
"""Where a version can be brought back from: its files are in the store, or were."""


@dataclass(frozen=True)
class PathParts:
    """What the adapter's path works with."""

    registry: Registry
    store: VersionStore
    fleet: Fleet
    base: Callable[[], BaseFacts | None]
    """The base that is served; None until the engines are up."""
    config: AdaptersConfig
    publish: Callable[[], None]
    """Makes a routing table from the registry's present content visible to the routers; called on
    the event loop, and must not block."""
    events: EventBus


class Moves:
    """Moves versions that the registry knows. ``Rollout`` adds how they come and how they leave.

    Attributes:
        gate: says which versions may serve; nothing is demanded until somebody puts one here.
    """

    def __init__(self, parts: PathParts) -> None:
        registry, fleet, config, events = parts.registry, parts.fleet, parts.config, parts.events
        settings = config.rollout
        self.heat = Heat()
        self._config = config
        self._registry = registry
        self._store = parts.store
        self._base = parts.base
        self.events = events
        self.jobs = Jobs(events)
        self.ledger = Ledger(registry, fleet, parts.publish, settings, events)
        self.loader = Loader(fleet, settings, events)
        # Held while a version enters or leaves engines, by engine name.
        self.names = KeyedLocks()
        # Held while a publish is under way, by alias: pushes go live in the order they came.
        self._publishes = KeyedLocks()
        self._intake = Intake(self.ledger, parts.store, parts.base, config)
        self.retirer = Retirer(
            self.ledger,
            fleet,
            self.loader,
            self.names,
            self.jobs,
            settings,
            events,
            self.heat,
        )
        prover = Prover(
            registry, fleet, self.ledger, self.loader, self.retirer.make_room, settings.min_effect
        )
        self.gate: Gate = NoGate()
        self._undo = Undo(self.ledger, fleet, self.loader, self.names, events)
        self._preparer = Preparer(
            self.ledger,
            prover,
            self.loader,
            self.retirer,
            self.names,
            self.heat,
            lambda: self.gate,
        )

    async def promote(
        self, alias: str, reference: str, by: str = "unknown", *, at: State | None = None
    ) -> Outcome:
        """Make a known version live, loading it first where it is not resident.

        Raises ``Conflict`` when it is not where the caller saw it (``at``) any more.
        """
        return await self._stage(alias, reference, Plan("live"), by, "promote", at)

    async def canary(
        self,
        alias: str,
        reference: str,
        percent: float,
        by: str = "unknown",
        *,
        at: State | None = None,
    ) -> Outcome:
        """Let a known version answer ``percent`` (0 to 100) of the alias's traffic.

        Raises ``Conflict`` when it is not where the caller saw it (``at``) any more.
        """
        return await self._stage(alias, reference, Plan("canary", percent), by, "canary", at)

    async def shadow(
        self, alias: str, reference: str, percent: float, by: str = "unknown"
    ) -> Outcome:
        """Let a known version answer ``percent`` of the alias's traffic in secret."""
        return await self._stage(alias, reference, Plan("shadow", percent), by, "shadow")

    async def rollback(
        self,
        alias: str,
        by: str = "unknown",
        *,
        quarantine: str | None = None,
        leaving: str | None = None,
    ) -> Outcome:
        """Flip the alias back to its previous version; with a reason, never offer the other again.

        ``leaving``: the digest that the caller means to leave, for one who looked a while ago.

        One flip and no load while the previous version is resident; does not wait for a publish of
        the alias that is under way. Without a version before, the alias is left without a live one:
        whoever answered before it existed does so again, and ``promote`` brings it back. So it is
        when the version before has not passed a gate that is demanded by now. Raises
        ``NothingToRollBack`` when nothing is live either, ``UnknownAlias``, ``Conflict``.
        """
        row = await self.ledger.call(self._registry.alias, alias)
        if leaving not in {None, row.live}:
            raise Conflict(f"{alias!r} was changed by somebody else meanwhile")
        if row.previous is None or not await cleared(self.gate, alias, row.previous):
            return await self._leave_empty(row, by, quarantine)
        known = await self.ledger.version(alias, row.previous)
        version = await self._callable(known, Plan("live"), by, urgent=True)
        async with self._undo.on_failure(version, known.state):
            epoch = await self.ledger.call(
                self._registry.commit,
                alias,
                version.digest,
                by=by,
                action=ROLLBACK,
                demote_to=State.SUPERSEDED if quarantine is None else State.QUARANTINED,
                expect=(row.live, row.previous),
                detail=quarantine or "",
            )
        await self.ledger.announce(epoch, alias, version.digest, ROLLBACK)
        self.retirer.trim_later(alias)
        return await self._outcome(alias, version.digest, known=False)

    async def _leave_empty(self, row: AliasRecord, by: str, quarantine: str | None) -> Outcome:
        if row.live is None:
            raise NothingToRollBack(f"{row.name!r} has no live version, and none before it")
        epoch = await self.ledger.call(
            self._registry.withdraw,
            row.name,
            row.live,
            by=by,
            to=State.SUPERSEDED if quarantine is None else State.QUARANTINED,
            detail=quarantine or "",
        )
        await self.ledger.announce(epoch, row.name, None, ROLLBACK)
        self.retirer.trim_later(row.name)
        return await self._outcome(row.name, row.live, known=False)

    async def _expose(self, version: VersionRecord, plan: Plan, by: str, action: str) -> int:
        """COMMIT: from here on requests reach the version."""
        await self._require_cleared(version)
        self.heat.touch(version.name)
        alias, digest = version.alias, version.digest
        if plan.stage == "live":
            epoch = await self.ledger.call(
                self._registry.commit, alias, digest, by=by, action=action
            )
        else:
            epoch = await self.ledger.call(
                self._registry.set_candidate, alias, digest, plan.stage, plan.percent, by=by
            )
        await self.ledger.announce(epoch, alias, digest, action)
        return epoch

    async def _stage(
        self,
        alias: str,
        reference: str,
        plan: Plan,
        by: str,
        action: str,
        at: State | None = None,
    ) -> Outcome:
        require_share(plan.stage, plan.percent)
        version = await self.ledger.version(alias, reference)
        if at not in {None, version.state}:
            raise Conflict(f"{version.name} is {version.state} and not {at} any more")
        if version.state is State.LIVE and plan.stage == "live":
            return await self._outcome(alias, version.digest, known=True)
        await self._move(version, plan, by, action)
        return await self._outcome(alias, version.digest, known=False)

    async def _move(self, version: VersionRecord, plan: Plan, by: str, action: str) -> None:
        await self._require_cleared(version)
        came_from = version.state
        version = await self._callable(version, plan, by)
        async with self._undo.on_failure(version, came_from):
            await self._expose(version, plan, by, action)
        self.retirer.trim_later(version.alias)

    async def _callable(
        self, version: VersionRecord, plan: Plan, by: str, *, urgent: bool = False
    ) -> VersionRecord:
        """The version, resident wherever it should be. ``urgent``: on one replica is enough.

        ``plan``: where it goes then, for whoever has to go on with this if we die.
        """
        files = self._files(version)
        if version.state in CALLABLE:
            missing = self.loader.missing(version.alias, version.name)
            if not missing or (urgent and len(missing) < len(self.loader.homes(version.alias))):
                return version
            async with self.names.hold(version.name):
                await self.loader.load_all(files, self.retirer.make_room)
            return version
        async with self._publishes.hold(version.alias):
            version = await self.ledger.version(version.alias, version.digest)
            if version.state in CALLABLE:
                return version
            await self._require_returnable(version)
            alias, digest = version.alias, version.digest
            await self.ledger.call(self._registry.learn, alias, digest, plan=plan)
            async with self._undo.on_failure(version):
                return await self._preparer.prepare(version, files, by)

    async def _require_cleared(self, version: VersionRecord) -> None:
        """Law 12. Raises ``Conflict``."""
        if not await cleared(self.gate, version.alias, version.digest):
            raise Conflict(
                f"{version.name} has not passed the gate that its route demands",
                code="gate-not-passed",
                remedy="Push its files: the gate judges them. Retire it first if it serves.",
            )

    async def _require_returnable(self, version: VersionRecord) -> None:
        if version.state not in RETURNABLE:
            raise Conflict(
                f"{version.name} is {version.state}: {version.error or 'not yet stored'}"
            )
        if not await asyncio.to_thread(self._store.exists, version.alias, version.digest):
            raise NotInStore(f"{version.name} has no files in the store; push it again")
        base = await self._intake.served_base()
        if version.base != base.digest:
            raise Conflict(f"{version.name} was checked against another base; push it again")

    # Small things

    @property
    def base_digest(self) -> str | None:
        """Digest of the base that is served; None until the engines are up."""
        base = self._base()
        return base.digest if base is not None else None

    def _files(self, version: VersionRecord) -> AdapterFiles:
        return self._store.files(version.alias, version.digest)

    async def _outcome(self, alias: str, digest: str, *, known: bool) -> Outcome:
        version = await self.ledger.version(alias, digest)
        epoch = await self.ledger.call(self._registry.epoch)
        return Outcome.of(version, known=known, epoch=epoch)
