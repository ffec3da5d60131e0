"""Opening the database: engine, SQLite's pragmas, migrations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from adapters.errors import RegistryError
from adapters.registry.storage import shared_file_system

MIGRATIONS = Path(__file__).parent / "migrations"
SHARED_REMEDY = "Use PostgreSQL, or a disk of the machine that the registry runs on."
READ_ONLY = "graftwork_read_only"
_BUSY_TIMEOUT_MS = 10_000
_STALLED = {
    "connect_timeout": "10",  # seconds
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",  # milliseconds
}
"""When a server of which nothing is heard any more is given up. The kernel's own patience is a
quarter of an hour, for which every thread that asks the database would wait."""


def connect(url: str) -> Engine:
    """An engine for ``sqlite:///path`` or ``postgresql+psycopg://…``; nothing is opened yet.

    A PostgreSQL that falls silent is given up after seconds, unless the URL says otherwise. Raises
    ``RegistryError`` for a URL that names no supported database.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise RegistryError(
            "database_url is not a database URL",
            remedy="Use sqlite:///path/to/file.db or postgresql+psycopg://user@host/name.",
        ) from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed.render_as_string(hide_password=False), parsed.database)
    if backend == "postgresql":
        patient = parsed.update_query_dict(
            {name: value for name, value in _STALLED.items() if name not in parsed.query}
        )
        return create_engine(patient, pool_pre_ping=True, pool_size=5, max_overflow=5)
    raise RegistryError(
        f"database_url: {backend} is not supported",
        remedy="Use sqlite:///path/to/file.db or postgresql+psycopg://user@host/name.",
    )


def _sqlite(url: str, path: str | None) -> Engine:
    if not path or path == ":memory:":
        raise RegistryError(
            "database_url: an in-memory SQLite would lose the registry at every restart",
            remedy="Name a file: sqlite:///path/to/file.db.",
        )
    kind = shared_file_system(Path(path))
    if kind is not None:
        raise RegistryError(
            f"database_url: SQLite on {kind} is damaged as soon as two machines open it",
            remedy=SHARED_REMEDY,
        )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver must not open transactions by itself: _begin_sqlite says which kind it is.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once, whatever the timeout,
    # when another writer came between; taking the write lock at the start waits instead.
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def reader(engine: Engine) -> Engine:
    """The same database for transactions that only read; each sees one moment throughout."""
    options: dict[str, Any] = {READ_ONLY: True}
    if engine.dialect.name == "postgresql":
        # Its default lets every statement see what was committed meanwhile.
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.execution_options(**options)


def upgrade(engine: Engine, migrations: Path = MIGRATIONS) -> None:
    """Bring the tables of these migrations to the newest; does nothing when they are there.

    Raises ``RegistryError`` for tables that a newer release has changed.
    """
    try:
        with migration_config(engine, migrations) as config:
            command.upgrade(config, "head")
    except CommandError as error:
        if not isinstance(error.__cause__, ResolutionError):
            raise
        raise RegistryError(
            f"{engine.url.render_as_string()} was written by a newer release of Graftwork",
            remedy="Run that release, or restore a backup of before (docs/operations/upgrade.md).",
        ) from error


@contextmanager
def migration_config(engine: Engine, migrations: Path = MIGRATIONS) -> Iterator[Config]:
    """An Alembic configuration bound to one open connection, independent of files and cwd."""
    config = Config()
    # ConfigParser interpolates percent signs, and a path may hold one.
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        yield config
