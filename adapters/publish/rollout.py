"""The adapter's path: push, preflight, store, prepare, probe, commit, drain, retire.

``Rollout`` is its table of contents. The transaction in ``Registry.commit`` is the one point where
a publish happens: before it a failure undoes everything and the alias is untouched; after it
nothing can fail any more, only lag. A process that dies anywhere is continued by ``resume``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from adapters.config import AdaptersConfig
from adapters.errors import (
    Conflict,
    ManifestError,
    NothingToRollBack,
    NotInStore,
)
from adapters.events import EventBus
from adapters.fleet import AdapterFiles, Fleet
from adapters.format.base_model import BaseFacts
from adapters.format.checkpoint import find_adapter
from adapters.format.manifest import digest_directory
from adapters.format.names import validate_alias
from adapters.jobs.locks import KeyedLocks
from adapters.jobs.once import Jobs
from adapters.publish.gating import Gate, NoGate, cleared
from adapters.publish.intake import Arrivals, Intake
from adapters.publish.loading import Loader
from adapters.publish.outcome import Outcome, require_share
from adapters.publish.placement import Heat
from adapters.publish.preparing import Preparer
from adapters.publish.proving import Prover
from adapters.publish.queue import FirstEngineQueue
from adapters.publish.recovery import Recovery, publish_job
from adapters.publish.retire import Retirer
from adapters.publish.undo import Undo
from adapters.publish.waiting import WaitingRoom
from adapters.registry import AliasRecord, Plan, Registry, Stage, VersionRecord
from adapters.registry.ledger import Ledger
from adapters.registry.lifecycle import CALLABLE, PUBLISHING, State
from adapters.registry.repository import ROLLBACK
from adapters.store.collection import Collector, Garbage
from adapters.store.store import VersionStore

_ACTIONS: dict[Stage, str] = {"live": "promote", "canary": "canary", "shadow": "shadow"}
_RETURNABLE = frozenset({State.STORED, State.RETIRED, State.FAILED, State.DRAINING})
_PREPARABLE = _RETURNABLE | PUBLISHING


class Rollout:
    """Moves versions along the adapter path. One instance per registry process.

    ``publish`` makes a routing table from the registry's present content visible to the routers; it
    is called on the event loop and must not block. ``base`` answers None until the engines are up;
    pushes that come before are kept in ``waiting``.

    Attributes:
        queue: the pushes that came before the first engine.
        gate: says which versions may serve; nothing is demanded until somebody puts one here.
    """

    def __init__(
        self,
        registry: Registry,
        store: VersionStore,
        fleet: Fleet,
        base: Callable[[], BaseFacts | None],
        config: AdaptersConfig,
        publish: Callable[[], None],
        events: EventBus,
        waiting: WaitingRoom,
    ) -> None:
        settings = config.rollout
        self.heat = Heat()
        self._config = config
        self._settings = settings
        self._registry = registry
        self._store = store
        self._fleet = fleet
        self._base = base
        self.events = events
        self.jobs = Jobs(events)
        self.ledger = Ledger(registry, fleet, publish, settings, events)
        self.loader = Loader(fleet, settings, events)
        # Held while a version enters or leaves engines, by engine name.
        self.names = KeyedLocks()
        # Held while a publish is under way, by alias: pushes go live in the order they came.
        self._publishes = KeyedLocks()
        self._arrivals = KeyedLocks()
        self._intake = Intake(self.ledger, store, base, config)
        self._collector = Collector(
            self.ledger, store, (self._arrivals, self._publishes), config, events
        )
        self.retirer = Retirer(
            self.ledger, fleet, self.loader, self.names, self.jobs, settings, events, self.heat
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
        self.queue = FirstEngineQueue(
            self.ledger,
            waiting,
            self._intake,
            self._arrivals,
            self._preparer.to_gate,
            self._publish_later,
        )
        self._received = Arrivals(
            self.ledger, self.retirer, self.names, lambda: self.base_digest, events
        )
        self._recovery = Recovery(
            self.ledger,
            store,
            self.retirer,
            self.jobs,
            (self._arrivals, self._publishes),
            self._publish_later,
            self.queue.holds,
            self._undo.watches,
        )

    # The journey

    async def push(
        self,
        alias: str,
        directory: Path,
        *,
        stage: Stage = "live",
        percent: float = 0.0,
        wait: bool = False,
        author: str = "unknown",
        revive: bool = True,
        restage: bool = True,
    ) -> Outcome:
        """Take a PEFT directory (private to us) on its way to ``stage``.

        Returns once it is stored, and publishes in the background; with ``wait`` returns when it
        serves or has failed, after ``push.wait_timeout_s`` at the latest. What comes before the
        first engine is kept (``received``) and goes on when there is one. Bytes that are known are
        a statement of the wanted stage: the version is moved there, which is one flip where engines
        hold it, and nothing happens where it is there already. One that had failed, was rejected or
        retired starts again. Without ``revive``, what was retired stays there; without ``restage``,
        so does what serves in another stage.
        A bad version is an answer (``Outcome.refused``), not an exception. Raises ``BadName``,
        ``Conflict`` when the version cannot go there from where it is, ``RegistryError``, and
        ``QueueFull`` when it would be one too many that waits for the first engine.
        """
        validate_alias(alias)
        require_share(stage, percent)
        try:
            directory = await asyncio.to_thread(find_adapter, directory, alias)
            digest = await asyncio.to_thread(digest_directory, directory)
        except ManifestError as error:
            return await self._refuse_unnamed(alias, directory, error)
        async with self._arrivals.hold((alias, digest)):
            plan = Plan(stage, percent)
            version, starts = await self._received.receive(
                alias, digest, plan, author, revive=revive
            )
            if starts and version.state is State.RECEIVED:
                version, starts = await self.queue.arrived(version, directory, author)
                self._advance_later()
        if not starts and restage:
            await self._restage(version, plan, author)
        if version.state in _PREPARABLE:
            self._publish_later(version)
        outcome = await self._outcome(alias, digest, known=not starts)
        return await self.arrived(outcome) if wait else outcome

    async def arrived(self, outcome: Outcome) -> Outcome:
        """The same when the version has ended its way; after ``push.wait_timeout_s`` as it is."""
        clock, limit_s = asyncio.get_running_loop().time, self._config.push.wait_timeout_s
        ends = clock() + limit_s
        await self.queue.left(outcome.alias, outcome.digest, limit_s)
        job = publish_job(outcome.alias, outcome.digest)
        await self.jobs.wait(job, max(0.0, ends - clock()))
        return await self._outcome(outcome.alias, outcome.digest, known=outcome.known)

    async def _restage(self, version: VersionRecord, plan: Plan, by: str) -> None:
        """Have a version that is known go, or be, where a push of its bytes says."""
        alias, digest = version.alias, version.digest
        if version.state in PUBLISHING:
            await self.ledger.call(self._registry.replan, alias, digest, plan)
            return
        if version.state not in CALLABLE:
            return
        try:
            # After the publishes that are under way: pushes go live in the order they came.
            async with (
                asyncio.timeout(self._config.push.wait_timeout_s),
                self._publishes.hold(alias),
            ):
                version = await self.ledger.version(alias, digest)
                if version.state not in CALLABLE or await self._is_staged(version, plan):
                    return  # Retired since: that came after this push.
                if version.state is State.LIVE:
                    raise Conflict(
                        f"{version.name} is live; it can be {plan.stage} when another version is",
                        remedy="Promote another version or roll back first.",
                    )
                await self._move(version, plan, by, _ACTIONS[plan.stage])
        except TimeoutError as error:
            raise Conflict(f"another publish of {alias!r} takes long; try again") from error

    async def _is_staged(self, version: VersionRecord, plan: Plan) -> bool:
        if version.state != plan.stage:
            return False
        if plan.stage == "live":
            return True
        shares = await self.ledger.call(self._registry.candidates, version.alias)
        return any(
            share.digest == version.digest and share.percent == plan.percent for share in shares
        )

    async def _publish(self, alias: str, digest: str) -> None:
        """PREPARE, PROBE, COMMIT; whatever fails before the commit is undone."""
        async with self._publishes.hold(alias):
            version = await self.ledger.version(alias, digest)
            if version.state not in PUBLISHING:
                return
            try:
                version = await self._preparer.prepare(
                    version, self._files(version), version.author
                )
                await self._expose(version, await self._wanted(version), version.author, "commit")
            except Exception as error:  # noqa: BLE001 - a bug here must not leave half a publish
                await self._undo.undo(version, error)
        self.retirer.trim_later(alias)

    async def _wanted(self, version: VersionRecord) -> Plan:
        """Where a publish ends: as it was asked for since, and where the gate lets one begin."""
        plan = (await self.ledger.version(version.alias, version.digest)).plan
        return self.gate.first(version.alias, plan) if self.gate.demands(version.alias) else plan

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

    # Moves of known versions

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

    async def retire(
        self, alias: str, reference: str | None = None, by: str = "unknown"
    ) -> list[Outcome]:
        """Take one version, or all of the alias's, out of service; drains in the background."""
        if reference is not None:
            chosen = [await self.ledger.version(alias, reference)]
            if back := await self.queue.withdraw(alias, chosen[0].digest, by):
                return [await self._outcome(alias, digest, known=False) for digest in back]
        else:
            await self.ledger.call(self._registry.alias, alias)
            chosen = await self.ledger.call(self._registry.versions, alias, CALLABLE)
        digests = [version.digest for version in chosen]
        left = await self.retirer.withdraw(alias, digests, by=by, forget=True)
        if reference is None:
            back = await self.queue.withdraw(alias, None, by)
            digests, left = [*digests, *back], [*left, *back]
        gone = {State.DRAINING, State.RETIRED}
        if reference is not None and not left and chosen[0].state not in gone:
            raise Conflict(f"{chosen[0].name} is {chosen[0].state} and serves nobody")
        return [await self._outcome(alias, digest, known=digest not in left) for digest in digests]

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
        if version.state not in _RETURNABLE:
            raise Conflict(
                f"{version.name} is {version.state}: {version.error or 'not yet stored'}"
            )
        if not await asyncio.to_thread(self._store.exists, version.alias, version.digest):
            raise NotInStore(f"{version.name} has no files in the store; push it again")
        base = await self._intake.served_base()
        if version.base != base.digest:
            raise Conflict(f"{version.name} was checked against another base; push it again")

    async def collect(self, *, dry_run: bool = False, by: str = "collector") -> list[Garbage]:
        """Remove files from the store that nobody can want back; says which. See ``Collector``."""
        return await self._collector.collect(dry_run=dry_run, by=by)

    # Start and end

    async def resume(self) -> None:
        """Continue or undo what a process that died left behind. Idempotent; call once at start."""
        await self.ledger.announce(await self.ledger.call(self._registry.epoch), "", None, "resume")
        await self.take_up()

    async def take_up(self) -> None:
        """Go on with what is unfinished and in nobody's hands, once the base is up.

        Called by each reconcile pass. Raises ``RegistryError``.
        """
        # Without an engine there is nothing to load and to unload, and perhaps a predecessor that
        # still does both.
        if self._base() is not None:
            # First what a process before took in already: it came earlier than what still waits.
            await self._recovery.take_up()
            self._advance_later()
            await self.retirer.sweep()

    def _advance_later(self) -> None:
        if self._base() is not None:
            self.jobs.start("first-engine", self.queue.advance)

    def _publish_later(self, version: VersionRecord) -> None:
        # Queued: the job of an earlier try may have undone its publish and not ended yet.
        self.jobs.queue(
            publish_job(version.alias, version.digest),
            lambda: self._publish(version.alias, version.digest),
        )

    async def idle(self) -> None:
        """Wait until no background work is left."""
        await self.jobs.idle()

    async def aclose(self) -> None:
        """Stop background work where it stands; ``resume`` continues it in the next process."""
        await self.jobs.aclose()

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

    async def _refuse_unnamed(self, alias: str, directory: Path, error: ManifestError) -> Outcome:
        report = await self._intake.unnamed(directory, alias)
        self.events.emit("version-rejected", alias, error=str(error))
        return Outcome.unnamed(alias, error, report)
