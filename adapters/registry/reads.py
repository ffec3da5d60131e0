"""What is read of the registry: versions, aliases and their history, each at one moment.

Every public method is one transaction. What a routing table is made of is read in one go.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from adapters.aliases import engine_name
from adapters.errors import RegistryError, UnknownAlias, UnknownVersion
from adapters.registry import database
from adapters.registry.lifecycle import CALLABLE, State
from adapters.registry.models import (
    BRIEF,
    AliasRow,
    CandidateRow,
    ControlRow,
    HistoryRow,
    SightingRow,
    VersionRow,
    brief,
)
from adapters.registry.policies import versions_now
from adapters.registry.records import (
    AliasRecord,
    CandidateRecord,
    HistoryRecord,
    Sighting,
    Snapshot,
    VersionRecord,
)

_CLOSE_TIMEOUT_S = 10.0
_RETIRED_NAMED = 16
"""Versions per alias that routers still know by name after they left."""
_UNUSED = (State.REJECTED, State.RETIRED, State.FAILED, State.QUARANTINED)


class RegistryReads:
    """One database, and all that is asked of it. Synchronous and thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = database.reader(engine)
        self._idle = threading.Condition()
        self._under_way = 0
        self._closed = False

    def close(self) -> None:
        """Wait for what is under way in threads, then release the database's connections."""
        with self._idle:
            self._closed = True
            self._idle.wait_for(lambda: self._under_way == 0, _CLOSE_TIMEOUT_S)
        self._engine.dispose()

    def version(self, alias: str, reference: str) -> VersionRecord:
        """The version by full digest, by 12 or more of its first characters, or by engine name.

        Raises ``UnknownAlias`` or ``UnknownVersion``.
        """
        digest = reference.removeprefix(f"{alias}@")
        with self._read() as session:
            if session.get(AliasRow, alias) is None:
                raise UnknownAlias(alias)
            name = engine_name(alias, digest)
            row = session.scalar(select(VersionRow).where(VersionRow.name == name))
            if row is None or not row.digest.startswith(digest):
                raise UnknownVersion(alias, digest)
            return row.record()

    def versions(
        self, alias: str | None = None, states: Collection[State] | None = None
    ) -> list[VersionRecord]:
        """Versions in the order in which they first arrived."""
        query = select(VersionRow).order_by(VersionRow.id)
        if alias is not None:
            query = query.where(VersionRow.alias == alias)
        if states is not None:
            query = query.where(VersionRow.state.in_([state.value for state in states]))
        with self._read() as session:
            return [row.record() for row in session.scalars(query)]

    def alias(self, name: str) -> AliasRecord:
        """One alias. Raises ``UnknownAlias``."""
        with self._read() as session:
            row = session.get(AliasRow, name)
            if row is None:
                raise UnknownAlias(name)
            return row.record()

    def aliases(self) -> list[AliasRecord]:
        """Every alias, by name."""
        with self._read() as session:
            rows = session.scalars(select(AliasRow).order_by(AliasRow.name))
            return [row.record() for row in rows]

    def candidates(self, alias: str) -> list[CandidateRecord]:
        """The alias's candidates, the newest last."""
        query = select(CandidateRow).where(CandidateRow.alias == alias)
        with self._read() as session:
            rows = session.scalars(query.order_by(CandidateRow.epoch))
            return [row.record() for row in rows]

    def epoch(self) -> int:
        """The number of the last change that routers had to apply; only ever grows."""
        with self._read() as session:
            return session.scalars(select(ControlRow.epoch)).one()

    def snapshot(self) -> Snapshot:
        """Aliases, callable and unfinished versions, and candidates at one moment."""
        with self._read() as session:
            return _snapshot(session)

    def history(self, alias: str | None = None, limit: int = 200) -> list[HistoryRecord]:
        """The last ``limit`` lines of history, oldest first."""
        query = select(HistoryRow).order_by(HistoryRow.id.desc()).limit(limit)
        if alias is not None:
            query = query.where(HistoryRow.alias == alias)
        with self._read() as session:
            rows = [row.record() for row in session.scalars(query)]
        return rows[::-1]

    def sighting(self, source: str) -> Sighting | None:
        """What became of this entry of the watched store, if it was ever taken."""
        with self._read() as session:
            row = session.get(SightingRow, source)
            return None if row is None else row.record()

    def sightings(self) -> dict[str, Sighting]:
        """Every remembered entry of the watched store, by source, the oldest first."""
        with self._read() as session:
            rows = session.scalars(select(SightingRow).order_by(SightingRow.at))
            return {row.source: row.record() for row in rows}

    def sizes(self) -> dict[str, int]:
        """Rows by table."""
        tables = {
            "aliases": AliasRow,
            "versions": VersionRow,
            "sightings": SightingRow,
            "history": HistoryRow,
        }
        with self._read() as session:
            return {
                name: session.scalar(select(func.count()).select_from(table)) or 0
                for name, table in tables.items()
            }

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self.session(self._reader) as session:
            yield session

    @contextmanager
    def session(self, engine: Engine) -> Iterator[Session]:
        """One transaction. Raises ``RegistryError``, also when the registry was closed."""
        with self._idle:
            if self._closed:
                raise RegistryError("the registry's database was closed")
            self._under_way += 1
        try:
            with translated(), Session(engine) as session, session.begin():
                yield session
        finally:
            with self._idle:
                self._under_way -= 1
                self._idle.notify_all()


@contextmanager
def translated() -> Iterator[None]:
    """What a database raises, as ``RegistryError``."""
    try:
        yield
    except SQLAlchemyError as error:
        raise RegistryError(f"the registry's database failed: {error}") from error


def _snapshot(session: Session) -> Snapshot:
    """Aliases, callable and unfinished versions, and candidates at one moment."""
    # Columns, not rows: manifests and checks are most of the bytes, and nobody here reads them.
    # Every routing table begins with this.
    versions = select(*BRIEF).where(VersionRow.state.not_in([state.value for state in _UNUSED]))
    control = session.scalars(select(ControlRow)).one()
    policy, shadow_policy = versions_now(session)
    return Snapshot(
        epoch=control.epoch,
        writer=control.writer,
        base_id=control.base_id,
        aliases=tuple(
            row.record() for row in session.scalars(select(AliasRow).order_by(AliasRow.name))
        ),
        versions=tuple(brief(row) for row in session.execute(versions.order_by(VersionRow.id))),
        candidates=tuple(
            row.record()
            for row in session.scalars(select(CandidateRow).order_by(CandidateRow.epoch))
        ),
        retired=_once_callable(session),
        policy=policy,
        shadow_policy=shadow_policy,
    )


def _once_callable(session: Session) -> dict[str, tuple[str, ...]]:
    newest = func.row_number().over(
        partition_by=VersionRow.alias, order_by=VersionRow.left_epoch.desc()
    )
    once = (
        select(VersionRow.alias, VersionRow.digest, newest.label("place"))
        .where(
            VersionRow.left_epoch > 0,
            VersionRow.state.not_in([state.value for state in CALLABLE]),
        )
        .subquery()
    )
    few = select(once.c.alias, once.c.digest).where(once.c.place <= _RETIRED_NAMED)
    found: dict[str, tuple[str, ...]] = {}
    for alias, digest in session.execute(few.order_by(once.c.alias, once.c.place)):
        found[alias] = (*found.get(alias, ()), digest)
    return found
