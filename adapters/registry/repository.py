"""The durable record of versions, aliases and what happened to them.

Every public method is one transaction. Methods are synchronous and thread-safe; callers on an event
loop go through ``asyncio.to_thread``. One process writes: the last to claim it
(``adapters.registry.claim``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, delete, func, select
from sqlalchemy.exc import SQLAlchemyError

from adapters.errors import Conflict, RegistryError, Withdrawn
from adapters.registry import database
from adapters.registry.claim import Claim
from adapters.registry.lifecycle import CALLABLE, COLLECTABLE, UNFINISHED, State
from adapters.registry.models import (
    CandidateRow,
    ControlRow,
    HistoryRow,
    SightingRow,
)
from adapters.registry.policies import Policies
from adapters.registry.reads import RegistryReads, translated
from adapters.registry.records import (
    Plan,
    Sighting,
    Stage,
    VersionRecord,
)
from adapters.registry.transaction import (
    FORGOTTEN,
    Transaction,
    forget_refused,
    learn,
    require_remembered,
)

ROLLBACK = "rollback"
"""The action of a commit that leaves a version on purpose."""

MOST_REFUSED = 1000
"""Versions that never came as far as the store; beyond it the oldest go, and their aliases."""

_LINES_KEPT = 1000
"""What migration 0006 lets nobody remove."""

RETRIED = frozenset({State.RECEIVED, State.CHECKED, State.FAILED, State.REJECTED, State.REFUSED})
"""States from which pushing the same bytes starts the journey again: before the store has them, who
brings them has all that there is."""


def utc_now() -> datetime:
    """The present, aware of its zone."""
    return datetime.now(UTC)


class Registry(RegistryReads):
    """Versions, aliases, candidates, history and watch bookkeeping over one database.

    Attributes:
        writing: this process's right to write; the first write takes it.
        policies: rules files, and which of them hold.
        on_moved: told of each version that moved, with its state before, once that is written.
            Called in whichever thread wrote; must not block.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._reader = database.reader(engine)
        self._clock = clock
        self._write_lock = threading.Lock()
        self.writing = Claim(engine)
        self.policies = Policies(self._write, self._read)
        self.on_moved: Callable[[VersionRecord, State], None] = lambda _version, _before: None
        self._idle = threading.Condition()
        self._under_way = 0
        self._closed = False

    @classmethod
    def open(cls, url: str, clock: Callable[[], datetime] = utc_now) -> Registry:
        """Connect and migrate. Raises ``RegistryError`` when the database is out of reach."""
        engine = database.connect(url)
        try:
            database.upgrade(engine)
        except SQLAlchemyError as error:
            raise RegistryError(f"the registry's database cannot be opened: {error}") from error
        return cls(engine, clock)

    def claim(self) -> Claim:
        """Become the one writer now; a process that claimed earlier is refused from here on."""
        with translated():
            self.writing.take()
        return self.writing

    def check_claim(self) -> int:
        """The present epoch. Raises ``Superseded`` when another process has claimed since."""
        with self._read() as session:
            control = session.scalars(select(ControlRow)).one()
            self.writing.check(control.writer)
            return control.epoch

    # Versions

    def receive(
        self, alias: str, digest: str, *, plan: Plan, by: str, revive: bool = True
    ) -> tuple[VersionRecord, bool]:
        """Record that content arrived. Returns the version, and whether its journey starts now.

        A version that is known is returned untouched, unless it had failed, was rejected, never
        reached the store or (with ``revive``) was retired. Nobody else may be taking it in. Raises
        ``Conflict`` for one that was forgotten.
        """
        with self._write(by) as tx:
            tx.name_is_free(alias, digest)
            row = tx.known(alias, digest)
            if row is not None:
                require_remembered(row)
            again = RETRIED | {State.RETIRED} if revive else RETRIED
            starts = row is None or State(row.state) in again
            if row is None:
                forget_refused(tx, MOST_REFUSED)
                tx.ensure_alias(alias)
                row = tx.new_version(alias, digest)
                tx.note("receive", alias, digest, None, State.RECEIVED.value)
            elif starts and State(row.state) is not State.RECEIVED:
                tx.move(row, State.RECEIVED, action="receive")
            if starts:
                row.plan, row.plan_percent, row.error = plan.stage, plan.percent, ""
            tx.session.flush()
            return row.record(), starts

    def revive(self, alias: str, digest: str, *, plan: Plan, by: str) -> tuple[VersionRecord, bool]:
        """Turn a version that drains back towards ``plan``. Returns it, and whether it drained."""
        with self._write(by) as tx:
            row = tx.version(alias, digest)
            drained = State(row.state) is State.DRAINING
            if drained:
                tx.move(row, State.PREPARING, action="revive")
                row.plan, row.plan_percent, row.error = plan.stage, plan.percent, ""
            return row.record(), drained

    def replan(self, alias: str, digest: str, plan: Plan) -> None:
        """Change where a version's publish is heading, while it has not arrived."""
        with self._write("registry") as tx:
            row = tx.version(alias, digest)
            if State(row.state) in UNFINISHED:
                row.plan, row.plan_percent = plan.stage, plan.percent

    def move(
        self,
        alias: str,
        digest: str,
        to: State,
        *,
        by: str,
        detail: str = "",
        left_epoch: int | None = None,
        **facts: Any,
    ) -> VersionRecord:
        """Move a version along a legal edge and record what was learnt on the way.

        ``left_epoch`` is what whoever moves it saw there; ``facts`` are columns of the version:
        base, plan, manifest, checks, error, effect, load_seconds. Raises ``IllegalMove``,
        ``UnknownVersion``, and ``Withdrawn`` when it was taken out of service since.
        """
        with self._write(by) as tx:
            row = tx.version(alias, digest)
            if left_epoch not in {None, row.left_epoch}:
                raise Withdrawn(f"{row.name} was taken out of service meanwhile")
            tx.move(row, to, detail=detail)
            learn(row, facts)
            return row.record()

    def learn(self, alias: str, digest: str, **facts: Any) -> VersionRecord:
        """Record facts about a version without moving it."""
        with self._write("registry") as tx:
            row = tx.version(alias, digest)
            learn(row, facts)
            return row.record()

    def forget(self, alias: str, digest: str, *, by: str, detail: str) -> None:
        """Write down why a version that serves nobody may not come back; it moves no more.

        Raises ``Conflict`` while it serves, or is on its way.
        """
        with self._write(by) as tx:
            row = tx.version(alias, digest)
            if State(row.state) in CALLABLE | UNFINISHED:
                raise Conflict(f"{row.name} is {row.state}: it is forgotten when that is over")
            row.error = f"{FORGOTTEN}{detail}"
            tx.note("forget", alias, digest, row.state, row.state, detail)

    def collect(self, alias: str, digest: str, *, before: datetime, by: str) -> bool:
        """Write down that a version's files leave the store; False when they may not.

        They may when the version has rested since ``before`` where nobody serves it, and no alias
        points at it.
        """
        with self._write(by) as tx:
            row, version = tx.alias(alias), tx.version(alias, digest)
            resting = State(version.state) in COLLECTABLE and version.updated_at <= before
            if not resting or digest in {row.live, row.previous}:
                return False
            tx.note("collect", alias, digest, version.state, version.state)
            return True

    def trim_history(self, keep: int) -> int:
        """Forget all lines of history but the newest ``keep`` (law 9); how many went.

        The newest 1000 stay in any case. Raises ``RegistryError``.
        """
        with self._write("registry") as tx:
            newest = tx.session.scalar(select(func.max(HistoryRow.id))) or 0
            old = HistoryRow.id <= newest - max(keep, _LINES_KEPT)
            return tx.session.query(HistoryRow).where(old).delete(synchronize_session=False)

    def as_writer(self, work: Callable[[], object]) -> None:
        """Do something outside the database that only the one writer may do.

        No other process can claim the registry meanwhile. Raises ``Superseded``.
        """
        with self._write("registry"):
            work()

    # Aliases

    def commit(
        self,
        alias: str,
        digest: str,
        *,
        by: str,
        action: str = "commit",
        demote_to: State = State.SUPERSEDED,
        expect: tuple[str | None, str | None] | None = None,
        detail: str = "",
    ) -> int:
        """Point the alias at a version: the one step that a publish, promote or rollback turns on.

        The version that was live becomes ``demote_to`` and the alias's previous one. Returns the
        new epoch, or the present one if the alias points there already. Raises ``Conflict`` when
        (live, previous) is no longer what the caller ``expect``s.
        """
        with self._write(by) as tx:
            row = tx.alias(alias)
            if expect is not None and (row.live, row.previous) != expect:
                raise Conflict(f"{alias!r} was changed by somebody else meanwhile")
            if row.live == digest:
                return tx.control.epoch
            epoch = tx.next_epoch()
            version = tx.version(alias, digest)
            tx.move(version, State.LIVE, detail=detail)
            tx.drop_candidate(alias, digest)
            old = row.live
            if old is not None:
                tx.demote(alias, old, demote_to, detail)
            row.previous = old if demote_to is State.SUPERSEDED else None
            row.rolled_back = action == ROLLBACK
            row.live = digest
            row.intents = list(version.manifest.get("intents") or ())
            tx.stamp(row)
            tx.note(action, alias, digest, old, digest, detail)
            return epoch

    def withdraw(self, alias: str, digest: str, *, by: str, to: State, detail: str = "") -> int:
        """Take the alias's live version back without another in its place. Returns the new epoch.

        Raises ``Conflict`` when ``digest`` is not the live version any more.
        """
        with self._write(by) as tx:
            row = tx.alias(alias)
            if row.live != digest:
                raise Conflict(f"{alias!r} was changed by somebody else meanwhile")
            epoch = tx.next_epoch()
            tx.demote(alias, digest, to, detail)
            # What was before, if anything, may not serve either: nobody falls to it.
            row.live, row.previous, row.intents, row.rolled_back = None, None, [], False
            tx.stamp(row)
            tx.note(ROLLBACK, alias, digest, digest, None, detail)
            return epoch

    def set_candidate(
        self, alias: str, digest: str, stage: Stage, percent: float, *, by: str
    ) -> int:
        """Give a version a share of the alias's traffic. Returns the new epoch."""
        with self._write(by) as tx:
            row = tx.alias(alias)
            if row.rolled_back and row.previous == digest:
                # It came after what is live, and is on trial again: no way back leads to it.
                row.previous, row.rolled_back = None, False
            epoch = tx.next_epoch()
            version = tx.version(alias, digest)
            if version.state != stage:
                tx.move(version, State(stage), action=stage, detail=f"{percent:g} %")
            else:
                tx.note(stage, alias, digest, version.state, version.state, f"{percent:g} %")
            tx.session.merge(
                CandidateRow(alias=alias, digest=digest, stage=stage, percent=percent, epoch=epoch)
            )
            tx.stamp(row)
            return epoch

    def begin_drain(
        self,
        alias: str,
        digests: Collection[str],
        states: Collection[State] = CALLABLE,
        *,
        by: str,
        forget: bool,
        detail: str = "",
    ) -> tuple[int, list[str]]:
        """Take versions out of every table, so that no new request starts on them.

        Only those that are in ``states`` at this moment; ``forget`` also makes them unfit for a
        rollback. Returns the epoch and the digests that are draining now.
        """
        with self._write(by) as tx:
            row = tx.alias(alias)
            versions = [tx.version(alias, digest) for digest in digests]
            leaving = [version for version in versions if State(version.state) in states]
            if not leaving:
                return tx.control.epoch, []
            epoch = tx.next_epoch()
            for version in leaving:
                tx.move(version, State.DRAINING, detail=detail)
                tx.drop_candidate(alias, version.digest)
                version.left_epoch = epoch
                if row.live == version.digest:
                    tx.note("retire", alias, version.digest, row.live, None, detail)
                    row.live, row.intents = None, []
                if forget and row.previous == version.digest:
                    row.previous = None
            tx.stamp(row)
            return epoch, [version.digest for version in leaving]

    # The base

    def remember_base(self, base_id: str) -> None:
        """Record the name of the base that is served."""
        with self._write("registry") as tx:
            tx.control.base_id = base_id

    # The watched store's bookkeeping

    def remember(self, sighting: Sighting) -> None:
        """Record what became of an entry, in place of what was known about it."""
        with self._write("watch") as tx:
            tx.session.merge(
                SightingRow(
                    source=sighting.source,
                    fingerprint=sighting.fingerprint,
                    base=sighting.base,
                    digest=sighting.digest,
                    outcome=sighting.outcome,
                    detail=sighting.detail,
                    at=tx.now,
                )
            )

    def forget_sightings(self, sources: Collection[str]) -> None:
        """Know nothing any more of entries that have left the watched store."""
        with self._write("watch") as tx:
            for source in sources:
                tx.session.execute(delete(SightingRow).where(SightingRow.source == source))

    # Inside

    @contextmanager
    def _write(self, by: str) -> Iterator[Transaction]:
        with self._write_lock:
            with translated():
                self.writing.ensure()
            with self.session(self._engine) as session:
                tx = Transaction(session, self._clock(), by, self.writing.lock(session))
                yield tx
                moved = [(row.record(), before) for row, before in tx.moves]
            for version, before in moved:
                self.on_moved(version, before)
