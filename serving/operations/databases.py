"""Copies of databases while they are in use: SQLite's online backup, PostgreSQL's own programs."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from adapters.atomic import sweep, sync, writing
from serving.operations.places import OperationRefused


def copy_sqlite(source: Path, target: Path) -> None:
    """A consistent copy of a database that others write to. Raises ``OperationRefused``."""
    if not source.is_file():
        raise OperationRefused(f"there is no database at {source}")
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            reader.backup(writer)
    except sqlite3.Error as error:
        raise OperationRefused(f"{source} cannot be copied: {error}") from error


def check_sqlite(path: Path) -> None:
    """Raises ``OperationRefused`` for a file that SQLite finds damaged."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise OperationRefused(f"{path.name} is damaged: {verdict}")


def put_sqlite(source: Path, target: Path) -> None:
    """Put a database in place by one rename; what SQLite kept beside the old one goes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    with writing(target) as arriving:
        shutil.copyfile(source, arriving)
        sync(arriving)
        for suffix in ("-wal", "-shm"):
            target.with_name(target.name + suffix).unlink(missing_ok=True)


def dump_postgres(url: str, target: Path) -> None:
    """``pg_dump`` in its own format: one snapshot, others may write.

    Raises ``OperationRefused``.
    """
    _run("pg_dump", make_url(url), ["--format=custom", f"--file={target}"])


def restore_postgres(url: str, source: Path) -> None:
    """``pg_restore`` over what is there, in one transaction. Raises ``OperationRefused``."""
    more = ["--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction"]
    _run("pg_restore", make_url(url), [*more, str(source)])


def _run(program: str, url: URL, arguments: list[str]) -> None:
    found = shutil.which(program)
    if found is None:
        raise OperationRefused(
            f"{program} is not on the PATH: install PostgreSQL's client programs"
        )
    # In the environment, because everybody may read a command line.
    environment = {**os.environ, **({"PGPASSWORD": str(url.password)} if url.password else {})}
    where = url.set(drivername="postgresql", password=None).render_as_string()
    done = subprocess.run(  # noqa: S603 - the program is PostgreSQL's own
        [found, f"--dbname={where}", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise OperationRefused(f"{program} failed: {' '.join(done.stderr.split())[-400:]}")
