"""The adapter's path: push, preflight, store, prepare, probe, commit, drain, retire.

``Rollout`` is its table of contents; moves of known versions are in ``moving``. The transaction in
``Registry.commit`` is the one point where a publish happens: before it a failure undoes everything
and the alias is untouched; after it nothing can fail any more, only lag. A process that dies
anywhere is continued by ``resume``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from adapters.errors import (
    Conflict,
    GateOverdue,
    ManifestError,
    Withdrawn,
)
from adapters.format.checkpoint import find_adapter
from adapters.format.manifest import digest_directory
from adapters.format.names import validate_alias
from adapters.jobs.locks import KeyedLocks
from adapters.publish.intake import Arrivals
from adapters.publish.moving import RETURNABLE, Moves, PathParts
from adapters.publish.outcome import Outcome, require_share
from adapters.publish.queue import FirstEngineQueue
from adapters.publish.recovery import Recovery, publish_job
from adapters.publish.resting import Resting
from adapters.publish.waiting import WaitingRoom
from adapters.registry import Plan, Stage, VersionRecord
from adapters.registry.lifecycle import CALLABLE, PUBLISHING, WITHDRAWABLE, State
from adapters.store.collection import Collector, Garbage

_ACTIONS: dict[Stage, str] = {"live": "promote", "canary": "canary", "shadow": "shadow"}
_PREPARABLE = RETURNABLE | PUBLISHING


class Rollout(Moves):
    """Moves versions along the adapter path. One instance per registry process.

    Args:
        parts: what the path works with.
        waiting: where what comes before an engine is up waits.

    Attributes:
        queue: the pushes that came before the first engine.
    """

    def __init__(self, parts: PathParts, waiting: WaitingRoom) -> None:
        super().__init__(parts)
        store, events = parts.store, parts.events
        self._arrivals = KeyedLocks()
        self._resting = Resting()
        self._collector = Collector(
            self.ledger, store, (self._arrivals, self._publishes), parts.config, events
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
            lambda name: self._undo.watches(name) or self._resting.rests(name),
        )

    # The journey

    async def push(
        self,
        alias: str,
        directory: Path,
        *,
        stage: Stage = "live",
        percent: float | None = None,
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
        retired starts again; one that is live and wanted as a candidate is rolled back from first.
        Without ``revive``, what was retired stays there; without ``restage``, so does what serves
        in another stage. ``percent`` is a candidate's share of the traffic: without one it keeps
        the one that it has, or gets that of an automatic canary.
        A bad version is an answer (``Outcome.refused``), not an exception. Raises ``BadName``,
        ``Conflict`` when the version cannot go there from where it is, ``RegistryError``, and
        ``QueueFull`` when it would be one too many that waits for the first engine.
        """
        validate_alias(alias)
        share = self._share(stage) if percent is None else percent
        require_share(stage, share)
        try:
            directory = await asyncio.to_thread(find_adapter, directory, alias)
            digest = await asyncio.to_thread(digest_directory, directory)
        except ManifestError as error:
            return await self._refuse_unnamed(alias, directory, error)
        async with self._arrivals.hold((alias, digest)):
            plan = Plan(stage, share)
            version, starts = await self._received.receive(
                alias, digest, plan, author, revive=revive
            )
            if starts and version.state is State.RECEIVED:
                version, starts = await self.queue.arrived(version, directory, author)
                self._advance_later()
        if not starts and restage:
            await self._restage(version, plan, author, keeps_share=percent is None)
        if version.state in _PREPARABLE:
            self._publish_later(version)
        self.ledger.show()  # that it is on its way, or is not any more
        outcome = await self._outcome(alias, digest, known=not starts)
        return await self.arrived(outcome) if wait else outcome

    def _share(self, stage: Stage) -> float:
        return 0.0 if stage == "live" else self._config.ladder.canary_percent

    async def arrived(self, outcome: Outcome) -> Outcome:
        """The same when the version has ended its way; after ``push.wait_timeout_s`` as it is."""
        clock, limit_s = asyncio.get_running_loop().time, self._config.push.wait_timeout_s
        ends = clock() + limit_s
        await self.queue.left(outcome.alias, outcome.digest, limit_s)
        job = publish_job(outcome.alias, outcome.digest)
        await self.jobs.wait(job, max(0.0, ends - clock()))
        return await self._outcome(outcome.alias, outcome.digest, known=outcome.known)

    async def _restage(
        self, version: VersionRecord, plan: Plan, by: str, *, keeps_share: bool
    ) -> None:
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
                if version.state not in CALLABLE:
                    return  # Retired since: that came after this push.
                if await self._is_staged(version, plan, keeps_share=keeps_share):
                    return
                if version.state is not State.LIVE:
                    await self._move(version, plan, by, _ACTIONS[plan.stage])
                    return
            # Outside: what was live before may have to be loaded, which is a publish as well.
            await self.rollback(alias, by, leaving=digest)
            await self._stage(alias, digest, plan, by, _ACTIONS[plan.stage])
        except TimeoutError as error:
            raise Conflict(f"another publish of {alias!r} takes long; try again") from error

    async def _is_staged(self, version: VersionRecord, plan: Plan, *, keeps_share: bool) -> bool:
        if version.state != plan.stage:
            return False
        if plan.stage == "live" or keeps_share:
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
                self._resting.end(version.name)
                return
            try:
                version = await self._preparer.prepare(
                    version, self._files(version), version.author
                )
                await self._expose(version, await self._wanted(version), version.author, "commit")
                self._resting.end(version.name)
                await self._overtake(alias, version.name)
            except Exception as error:  # noqa: BLE001 - a bug here must not leave half a publish
                if not (isinstance(error, GateOverdue) and await self._rest(version, error)):
                    self._resting.end(version.name)
                    await self._undo.undo(version, error)
                self.ledger.show()
        self.retirer.trim_later(alias)

    async def _rest(self, version: VersionRecord, error: GateOverdue) -> bool:
        """Let others have their turn before a version is tested again; False: it had its tries."""
        try:
            version = await self.ledger.still(version)
        except Withdrawn:
            return False
        pause_s = self._resting.begin(version)
        if pause_s is None:
            return False
        async with self.names.hold(version.name):
            await self.loader.unload_all(version.name)
        self.ledger.report("gate-postponed", version, reason=str(error), again_in_s=pause_s)
        return True

    async def _overtake(self, alias: str, by: str) -> None:
        """Give up what rested while a later version came to serve: it must not replace that."""
        for digest in self._resting.of(alias):
            version = await self.ledger.version(alias, digest)
            self._resting.end(version.name)
            why = f"its test was not done when {by} came to serve; push it again to have it tested"
            await self._undo.undo(version, Conflict(why))

    async def _wanted(self, version: VersionRecord) -> Plan:
        """Where a publish ends: as it was asked for since, and where the gate lets one begin."""
        plan = (await self.ledger.version(version.alias, version.digest)).plan
        return self.gate.first(version.alias, plan) if self.gate.demands(version.alias) else plan

    # Out of service

    async def retire(
        self, alias: str, reference: str | None = None, by: str = "unknown"
    ) -> list[Outcome]:
        """Take one version, or all of the alias's, out of service; drains in the background.

        A publish that is under way ends with it. Raises ``UnknownAlias``, ``UnknownVersion``,
        ``Conflict`` for a version that serves nobody and is not on its way either.
        """
        if reference is None:
            return await self._retire_all(alias, by)
        version = await self.ledger.version(alias, reference)
        if back := await self.queue.withdraw(alias, version.digest, by):
            return [await self._outcome(alias, digest, known=False) for digest in back]
        left = await self.retirer.withdraw(
            alias, [version.digest], WITHDRAWABLE, by=by, forget=True
        )
        if not left:
            version = await self.ledger.version(alias, version.digest)
            if version.state not in {State.DRAINING, State.RETIRED}:
                raise Conflict(f"{version.name} is {version.state} and serves nobody")
        return [await self._outcome(alias, version.digest, known=not left)]

    async def _retire_all(self, alias: str, by: str) -> list[Outcome]:
        await self.ledger.call(self._registry.alias, alias)
        left = await self._withdraw_all(alias, by)
        back = await self.queue.withdraw(alias, None, by)
        # What left the queue while we waited for it is on its way by now.
        left += [*back, *await self._withdraw_all(alias, by)]
        return [await self._outcome(alias, digest, known=False) for digest in left]

    async def _withdraw_all(self, alias: str, by: str) -> list[str]:
        found = await self.ledger.call(self._registry.versions, alias, WITHDRAWABLE)
        digests = [version.digest for version in found]
        return await self.retirer.withdraw(alias, digests, WITHDRAWABLE, by=by, forget=True)

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

        Called by each reconcile pass. Raises ``RegistryError``, ``StoreError``.
        """
        # Without an engine there is nothing to load and to unload, and perhaps a predecessor that
        # still does both.
        if self._base() is not None:
            await self.queue.bring_back()
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

    async def _refuse_unnamed(self, alias: str, directory: Path, error: ManifestError) -> Outcome:
        report = await self._intake.unnamed(directory, alias)
        self.events.emit("version-rejected", alias, error=str(error))
        return Outcome.unnamed(alias, error, report)
