"""The loop: what was asked for becomes a version that serves, or says why not.

``Loop.tick`` is one look at every distillation that has not ended. What it knows is in the
database, in the job's directory and in the registry of versions, so whoever dies at whatever
moment, the next look goes on from there. Every step is safe to do twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from adapters.dataset.frozen import Dataset
from adapters.distill import job
from adapters.distill.briefing import AUTHOR, brief
from adapters.distill.clearing import AGAIN, begin_again, clear, is_written, tidy
from adapters.distill.directories import JobDirectories
from adapters.distill.distillations import Distillation, Distillations, Ended
from adapters.distill.following import CLIMBS, ON_THE_WAY, follows
from adapters.distill.lineage import Lineage
from adapters.distill.ports import Bases, GateReports, NothingToTrain, TrainingData
from adapters.distill.pushing import Pushing
from adapters.distill.states import ENDED, LEASED, DistillState
from adapters.errors import AdapterError, Superseded, UnknownAlias
from adapters.flywheel.config import FlywheelConfig
from adapters.jobs.periodic import After
from adapters.publish.rollout import Rollout
from adapters.registry import Registry, VersionRecord
from adapters.registry.lifecycle import State

MAX_STARTS: Final = 6
"""How often a trainer is started that gets no further, before its distillation fails."""
_BUSY_S, _WATCHING_S, _IDLE_S = 0.5, 2.0, 30.0
_LONGEST_PAUSE_S: Final = 60.0
_TRAINERS: Final = 1
"""Trainings at once: each takes cores, or a GPU, from who serves."""
_log = logging.getLogger("graftwork.distill")


@dataclass(frozen=True)
class LoopParts:
    """What the loop works with."""

    distillations: Distillations
    lineage: Lineage
    directories: JobDirectories
    trainer: job.Trainer
    data: TrainingData
    bases: Bases
    gates: GateReports
    rollout: Rollout
    registry: Registry
    config: FlywheelConfig


class Loop:
    """One per registry process. Belongs to its event loop.

    Attributes:
        under_way: distillations that had not ended at the last look.
    """

    def __init__(
        self,
        parts: LoopParts,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._wake = wake
        self._clock = clock
        self._steps: dict[DistillState, Callable[[Distillation], Awaitable[None]]] = {
            DistillState.QUEUED: self._queued,
            DistillState.TRAINING: self._training,
            DistillState.PACKAGING: self._packaging,
            DistillState.GATING: self._following,
            DistillState.PUBLISHING: self._following,
        }
        self._pushing = Pushing(parts.rollout, parts.registry, parts.config)
        self._resumed = False
        self._looking = asyncio.Lock()
        self._not_before: dict[str, float] = {}
        self._began_at_step: dict[str, int] = {}
        self.under_way = 0
        self._cancelling: set[str] = set()
        """Their directories are being written to by whoever cancels them."""
        self._stopped: dict[str, Distillation] = {}
        """Cancelled ones whose version may still be on its way."""

    def wake(self) -> None:
        """Have a look soon."""
        self._wake()

    async def tick(self) -> After:
        """One look at everything. Raises the last failure, after all had their turn."""
        async with self._looking:
            return await self._look()

    async def _look(self) -> After:
        parts = self._parts
        failed: Exception | None = None
        if not self._resumed:
            await self._resume()
        rows = await asyncio.to_thread(parts.distillations.under_way)
        for row in rows:
            try:
                await self._steps[row.state](row)
            except Ended:
                continue  # cancelled meanwhile
            except Superseded:
                raise
            except Exception as error:  # noqa: BLE001 - one that is stuck must not stop the others
                _log.exception("distillation_stuck", extra={"distillation": row.id})
                failed = error
        await self._withdraw_stopped()
        left = await asyncio.to_thread(parts.distillations.under_way)
        self.under_way = len(left)
        self._keep({row.id for row in left})
        kept = {row.id for row in left} | self._cancelling
        await asyncio.to_thread(tidy, parts.trainer, parts.directories, kept)
        if failed is not None:
            raise failed
        return After(_BUSY_S if self._stopped else _pause(left))

    def _keep(self, under_way: Collection[str]) -> None:
        """Forget what was noted of those that have ended."""
        self._pushing.keep(under_way)
        for identity in (self._not_before.keys() | self._began_at_step.keys()) - set(under_way):
            self._not_before.pop(identity, None)
            self._began_at_step.pop(identity, None)

    async def cancel(self, identity: str, by: str) -> Distillation:
        """Stop one; its version does not go live. Raises ``Ended``, ``UnknownDistillation``."""
        parts = self._parts
        reason = f"cancelled by {by}"
        self._cancelling.add(identity)
        try:
            made = await asyncio.to_thread(
                parts.distillations.move, identity, DistillState.CANCELLED, reason
            )
            if (parts.directories.path(identity) / job.JOB_FILE).exists():
                await asyncio.to_thread(parts.trainer.cancel, parts.directories.path(identity))
        finally:
            self._cancelling.discard(identity)
        if made.digest:
            self._stopped[made.id] = made
        self._wake()
        return made

    async def drop(self, datasets: Collection[str]) -> None:
        """Leave nothing of trainings on these datasets: a person's data is in them.

        What was under way is trained again, on what is left of its dataset. Raises ``JobError``
        while something is left.
        """
        parts = self._parts
        async with self._looking:
            for row in await asyncio.to_thread(parts.distillations.trained_on, datasets):
                await asyncio.to_thread(begin_again, parts.distillations, row)
                await asyncio.to_thread(clear, parts.trainer, parts.directories, row.id)

    async def _resume(self) -> None:
        """What the last process cancelled may still be on its way to the engines."""
        rows = await asyncio.to_thread(
            self._parts.distillations.page, 100, state=DistillState.CANCELLED.value
        )
        versions = await asyncio.to_thread(self._parts.registry.versions) if rows else []
        # Also of one that was cancelled while it was pushed, before anybody wrote that down.
        made = {version.author: version.digest for version in versions}
        for row in rows:
            if digest := row.digest or made.get(f"{AUTHOR}{row.id}", ""):
                self._stopped[row.id] = replace(row, digest=digest)
        self._resumed = True

    # queued → training

    async def _queued(self, row: Distillation) -> None:
        parts = self._parts
        if await self._trainers_busy(row):
            return
        try:
            dataset = await asyncio.to_thread(self._dataset_of, row)
        except NothingToTrain as error:
            await self._end(row, DistillState.FAILED, str(error))
            return
        is_again = row.reason == AGAIN or row.cause == "erasure"
        if is_again and dataset.digest == row.dataset:
            return  # It has not been rebuilt yet.
        begun = await asyncio.to_thread(parts.distillations.begin, row.id, dataset=dataset.digest)
        if begun is not None:
            await self._training(begun)

    async def _trainers_busy(self, row: Distillation) -> bool:
        rows = await asyncio.to_thread(self._parts.distillations.under_way)
        return sum(1 for other in rows if other.state in LEASED and other.id != row.id) >= _TRAINERS

    def _dataset_of(self, row: Distillation) -> Dataset:
        """The one that was named, or what an erasure left of it; else the intent's gold of now."""
        data, digest = self._parts.data, row.dataset
        while digest:
            found = data.known(digest)
            if found is None:
                raise NothingToTrain(f"the dataset {digest[:12]} is gone")
            if found.erased and found.rebuilt_as is None:
                raise NothingToTrain(f"an erasure left nothing of the dataset {digest[:12]}")
            if found.rebuilt_as is None:
                return found
            digest = found.rebuilt_as
        return data.freeze_intent(row.intent)

    # training → packaging

    async def _training(self, row: Distillation) -> None:
        parts, path = self._parts, self._parts.directories.path(row.id)
        if not await asyncio.to_thread(is_written, row, path):
            await asyncio.to_thread(clear, parts.trainer, parts.directories, row.id)
            try:
                await asyncio.to_thread(self._write_job, row, path)
            except (NothingToTrain, job.JobError) as error:
                await self._end(row, DistillState.FAILED, str(error))
                return
        outcome = await asyncio.to_thread(job.read_outcome, path)
        if outcome is None and await asyncio.to_thread(parts.trainer.alive, path):
            await self._note_progress(row, path)
            return
        # It may have ended between the two looks.
        outcome = outcome or await asyncio.to_thread(job.read_outcome, path)
        if outcome is None:
            await self._start(row, path)
        elif outcome.state == "done":
            await self._note_progress(row, path)
            await self._packaging(
                await asyncio.to_thread(
                    parts.distillations.move, row.id, DistillState.PACKAGING, row.reason
                )
            )
        elif outcome.state == "cancelled":
            await self._end(row, DistillState.CANCELLED, outcome.reason or "cancelled")
        else:
            await self._end(row, DistillState.FAILED, outcome.reason or "the training failed")

    async def _start(self, row: Distillation, path: Path) -> None:
        """Start a trainer, or start it again after it died: so many times, ever later."""
        parts = self._parts
        if self._clock() < self._not_before.get(row.id, 0.0):
            return
        last = await asyncio.to_thread(job.last_progress, path)
        step = 0 if last is None else last.step
        starts = row.starts if step <= self._began_at_step.get(row.id, step) else 0
        if starts >= MAX_STARTS:
            said = await asyncio.to_thread(parts.directories.last_lines, row.id)
            reason = f"the trainer died {starts} times and got no further; it said last: {said}"
            await self._end(row, DistillState.FAILED, reason)
            return
        self._began_at_step[row.id] = step
        pause_s = min(_LONGEST_PAUSE_S, _BUSY_S * 2**starts)
        self._not_before[row.id] = self._clock() + pause_s
        await asyncio.to_thread(parts.distillations.note, row.id, starts=starts + 1)
        try:
            await asyncio.to_thread(parts.trainer.start, path)
        except job.JobError as error:
            await asyncio.to_thread(parts.distillations.note, row.id, reason=str(error))
        if (await asyncio.to_thread(parts.distillations.find, row.id)).ended:
            # Cancelled since it was looked at: whoever did that found no process to end.
            await asyncio.to_thread(parts.trainer.cancel, path)

    async def _note_progress(self, row: Distillation, path: Path) -> None:
        last = await asyncio.to_thread(job.last_progress, path)
        if last is None or (last.step, last.steps, last.eta_s) == (row.step, row.steps, row.eta_s):
            return
        await asyncio.to_thread(
            self._parts.distillations.note,
            row.id,
            step=last.step,
            steps=last.steps,
            loss=row.loss if last.loss is None else last.loss,
            eta_s=last.eta_s,
        )

    def _write_job(self, row: Distillation, path: Path) -> None:
        parts = self._parts
        rows, parent = parts.data.rows(row.dataset), self._live(row.alias)
        job.write_job(path, *brief(row, rows, parts.bases.base(), parent, parts.config.trainer))

    def _live(self, alias: str) -> str | None:
        try:
            return self._parts.registry.alias(alias).live
        except UnknownAlias:
            return None

    # packaging → gating

    async def _packaging(self, row: Distillation) -> None:
        parts, path = self._parts, self._parts.directories.path(row.id)
        if self._clock() < self._not_before.get(row.id, 0.0):
            return
        pushed = await self._pushing.push(row, path)
        if pushed.failed:
            await self._end(row, DistillState.FAILED, pushed.failed, digest=pushed.digest)
            return
        if pushed.again:
            self._not_before[row.id] = self._clock() + pushed.pause_s
            await asyncio.to_thread(parts.distillations.note, row.id, reason=pushed.again)
            return
        await asyncio.to_thread(self._remember, row, pushed.digest, path)
        try:
            moved = await asyncio.to_thread(
                parts.distillations.move, row.id, DistillState.GATING, digest=pushed.digest
            )
        except Ended:
            # Who cancelled it while it was pushed knew of no version to take back.
            self._stopped[row.id] = await asyncio.to_thread(
                parts.distillations.note, row.id, digest=pushed.digest
            )
            raise
        await self._following(moved)

    def _remember(self, row: Distillation, digest: str, path: Path) -> None:
        done, wanted = job.read_outcome(path), job.read_job(path)
        settings = wanted.settings.model_dump(mode="json", exclude_unset=True)
        self._parts.lineage.put(
            row,
            digest,
            base=wanted.base_id,
            rows=self._parts.data.rows(row.dataset),
            settings=settings if done is None else {**settings, **done.settings},
            parent=wanted.parent,
        )

    # gating → publishing → live

    async def _following(self, row: Distillation) -> None:
        version = await self._version(row)
        row = await self._note_gate(row)
        found = follows(row, version)
        if found is None:
            return
        state, reason = found
        if state is DistillState.LIVE:
            # Who hears that it is live finds it so; a router that is late gets it later.
            await self._parts.rollout.ledger.shown()
        if state in ENDED:
            await self._end(row, state, reason)
        else:
            await asyncio.to_thread(self._parts.distillations.move, row.id, state, reason)

    async def _version(self, row: Distillation) -> VersionRecord:
        return await asyncio.to_thread(self._parts.registry.version, row.alias, row.digest)

    async def _note_gate(self, row: Distillation) -> Distillation:
        found = await asyncio.to_thread(self._parts.gates.summary, row.alias, row.digest)
        if found is None or found == row.gate:
            return row
        return await asyncio.to_thread(self._parts.distillations.note, row.id, gate=dict(found))

    async def _end(
        self, row: Distillation, state: DistillState, reason: str, **facts: object
    ) -> None:
        await asyncio.to_thread(self._parts.distillations.move, row.id, state, reason, **facts)

    # What was cancelled late

    async def _withdraw_stopped(self) -> None:
        """Take versions of cancelled distillations out, however far they got meanwhile."""
        for row in list(self._stopped.values()):
            version = await self._version(row)
            by, rollout = f"{AUTHOR}{row.id}", self._parts.rollout
            try:
                if version.author != by:
                    if version.state in ON_THE_WAY:
                        continue
                elif version.state is State.LIVE:
                    await rollout.rollback(row.alias, by=by, leaving=row.digest)
                elif version.state in CLIMBS | ON_THE_WAY:
                    await rollout.retire(row.alias, row.digest, by=by)
            except Superseded:
                raise
            except AdapterError as error:  # somebody moves it: the next look sees where to
                _log.warning(
                    "not_withdrawn_yet", extra={"version": version.name, "why": error.code}
                )
                continue
            del self._stopped[row.id]


def _pause(left: list[Distillation]) -> float:
    """Seconds until the next look."""
    if any(row.state is not DistillState.PUBLISHING for row in left):
        return _BUSY_S
    return _WATCHING_S if left else _IDLE_S
