"""A PostgreSQL of our own on loopback, where its programs are installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
import pytest

NewDatabase = Callable[[], str]
"""Makes a database; answers its URL."""
_START_S = 30.0
PGVECTOR = "GRAFTWORK_PGVECTOR"
"""Names the directory of a PostgreSQL that has the extension, where Debian's does not."""


def program(name: str) -> str | None:
    """One of PostgreSQL's programs, on the PATH or where Debian puts the server's."""
    places = [*os.environ["PATH"].split(":"), *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(name, path=":".join(places))


@pytest.fixture(scope="session")
def postgres() -> Iterator[NewDatabase]:
    """A server for the whole run; each call makes a database of its own."""
    initdb, server = program("initdb"), program("postgres")
    if initdb is None or server is None:
        pytest.skip("needs PostgreSQL's initdb and postgres (Debian: apt-get install postgresql)")
    with _running(initdb, server) as port:
        numbers = count(1)

        def new(template: str = "template1") -> str:
            name = f"graftwork_{next(numbers)}"
            with psycopg.connect(_address(port, "postgres"), autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            return f"postgresql+psycopg://tester@127.0.0.1:{port}/{name}"

        yield new


@pytest.fixture(scope="session")
def pgvector() -> Iterator[NewDatabase]:
    """As ``postgres``, of a server that has the extension pgvector."""
    found = _with_pgvector()
    if found is None:
        pytest.skip(
            "needs PostgreSQL with pgvector (Debian 13: apt-get install postgresql-17-pgvector), "
            f"or the directory of such an installation in {PGVECTOR}"
        )
    with _running(str(found / "initdb"), str(found / "postgres")) as port:
        numbers = count(1)

        def new() -> str:
            name = f"graftwork_{next(numbers)}"
            with psycopg.connect(_address(port, "postgres"), autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{name}"')
            return f"postgresql+psycopg://tester@127.0.0.1:{port}/{name}"

        yield new


def _with_pgvector() -> Path | None:
    """The programs of an installation that has the extension."""
    own = os.environ.get(PGVECTOR)
    if own is not None:
        return Path(own) / "bin"
    for control in Path("/usr/share/postgresql").glob("*/extension/vector.control"):
        programs = Path("/usr/lib/postgresql") / control.parts[4] / "bin"
        if (programs / "initdb").is_file():
            return programs
    return None


class Pool:
    """Databases with the registry's tables, empty again after each test: new ones cost seconds."""

    def __init__(self, new: Callable[..., str]) -> None:
        # Here, because every test's conftest imports this module.
        from adapters.registry import Registry
        from serving.registry.accounts.database import open_database

        self._new = new
        self._free: list[str] = []
        template = new()
        Registry.open(template).close()
        open_database(template).dispose()
        self._template = template.rpartition("/")[2]

    def take(self) -> str:
        """One that nobody uses."""
        return self._free.pop() if self._free else self._new(self._template)

    def give(self, url: str) -> None:
        """Empty it for the next test; one that somebody still holds is left alone."""
        plain = url.replace("postgresql+psycopg", "postgresql")
        try:
            with psycopg.connect(plain, options="-c lock_timeout=3s") as connection:
                connection.execute(_EMPTY)
        except psycopg.OperationalError:
            return
        self._free.append(url)


_EMPTY = """
DO $$
DECLARE names text;
BEGIN
    SELECT string_agg(quote_ident(tablename), ', ') INTO names FROM pg_tables
        WHERE schemaname = 'public' AND tablename NOT LIKE '%version';
    EXECUTE 'TRUNCATE ' || names || ' RESTART IDENTITY CASCADE';
    INSERT INTO control (id, epoch, writer) VALUES (1, 0, 0);
END $$
"""


@pytest.fixture(scope="session")
def postgres_pool(postgres: Callable[..., str]) -> Pool:
    """Migrated databases of the whole run."""
    return Pool(postgres)


@pytest.fixture
def migrated_postgres(postgres_pool: Pool) -> Iterator[NewDatabase]:
    """As ``postgres``, with the registry's tables in each database."""
    taken: list[str] = []

    def new() -> str:
        taken.append(postgres_pool.take())
        return taken[-1]

    yield new
    for url in taken:
        postgres_pool.give(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database for a registry: what uses this runs on both kinds."""
    if request.param == "sqlite":
        # The directory's name needs quoting.
        return f"sqlite:///{tmp_path / '50% off' / 'registry.db'}"
    new: NewDatabase = request.getfixturevalue("migrated_postgres")
    return new()


@contextmanager
def _running(initdb: str, server: str) -> Iterator[int]:
    # It refuses to run as root, and root's temporary directories are closed to others.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="graftwork-postgres-") as home:
        if user is not None:
            shutil.chown(home, user)
        make = [initdb, "-D", f"{home}/data", "-U", "tester", "--auth=trust", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, cwd=home, user=user)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        process = subprocess.Popen(
            [server, "-D", f"{home}/data", "-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"],
            cwd=home,
            user=user,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for(port)
            yield port
        finally:
            # At once: nobody wants its data, and some client may still be there.
            process.send_signal(signal.SIGQUIT)
            process.wait(60)


def _address(port: int, database: str) -> str:
    return f"host=127.0.0.1 port={port} user=tester dbname={database}"


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_S
    while True:
        try:
            psycopg.connect(_address(port, "postgres")).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
