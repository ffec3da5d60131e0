"""The loop's database: exchanges, reviews, datasets, distillations. One writer, many readers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from adapters.errors import RegistryError
from adapters.flywheel.models import Base
from adapters.registry import database

MIGRATIONS = Path(__file__).parent / "migrations"
AsWriter = Callable[[Callable[[], object]], None]
T = TypeVar("T")
_PATIENCE_S = 5.0


class FlywheelStore:
    """One process's access. Methods block and are thread-safe.

    Args:
        engine: of the migrated database.
        as_writer: does something that only the one writer may do; raises ``Superseded`` when that
            is another process (law 13). ``Registry.as_writer``: no method of the registry may be
            called inside.
    """

    def __init__(self, engine: Engine, as_writer: AsWriter) -> None:
        self._engine = engine
        self._reader = database.reader(engine)
        self._as_writer = as_writer
        self._lock = threading.Lock()
        self._idle = threading.Condition()
        self._open = 0

    @classmethod
    def open(cls, url: str, as_writer: AsWriter) -> FlywheelStore:
        """Connect and migrate. Raises ``RegistryError`` when the database is out of reach."""
        engine = database.connect(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite_what_is_deleted)
        try:
            database.upgrade(engine, MIGRATIONS)
        except SQLAlchemyError as error:
            raise RegistryError(f"the loop's database cannot be opened: {error}") from error
        return cls(engine, as_writer)

    def write(self, work: Callable[[Session], T]) -> T:
        """Do something in one transaction; durable when this returns.

        Raises ``Superseded``, and whatever ``work`` raises, with nothing done.
        """
        made: list[T] = []

        def transact() -> None:
            with (
                self._lock,
                self._counted(),
                Session(self._engine) as session,
                session.begin(),
            ):
                made.append(work(session))

        self._as_writer(transact)
        return made[0]

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one moment throughout and changes nothing."""
        with self._counted(), Session(self._reader) as session, session.begin():
            yield session

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._idle:
            self._open += 1
        try:
            yield
        finally:
            with self._idle:
                self._open -= 1
                self._idle.notify_all()

    def compact(self) -> None:
        """Leave nothing of what was deleted in the database's files, SQLite's log included.

        The whole file is written anew, which takes about as long as copying it three times: what
        SQLite overwrites by itself may have copies in gaps of its pages. Raises ``RegistryError``
        while somebody still reads what was there before: what is asked of an erasure is only done
        when this has returned.
        """
        with self._lock:
            if self._engine.dialect.name == "sqlite":
                self._rewrite_file()
            else:
                self._rewrite_tables()

    def _rewrite_file(self) -> None:
        raw = self._engine.raw_connection()
        try:
            cursor = raw.cursor()
            cursor.execute("VACUUM")
            # It does not raise when it could not: it waits as long as for any lock, and says so.
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, *_ = cursor.fetchone() or (1,)
            cursor.close()
        finally:
            raw.close()
        if busy:
            raise RegistryError("a reader is in the way of the erasure: it is tried again")

    def _rewrite_tables(self) -> None:
        """Rows that were deleted stay in PostgreSQL's files until their tables are written anew."""
        with self._engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in Base.metadata.sorted_tables:
                alone.exec_driver_sql(f'VACUUM (FULL) "{table.name}"')

    def close(self) -> None:
        """Let go of every connection, soon after whoever is using one."""
        with self._idle:
            # What is given back after that nobody would close.
            self._idle.wait_for(lambda: self._open == 0, _PATIENCE_S)
        self._engine.dispose()


def _overwrite_what_is_deleted(connection: object, _record: object) -> None:
    cursor = connection.cursor()  # type: ignore[attr-defined]  # DB-API, untyped
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()
