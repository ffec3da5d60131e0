"""The schema that migrations make is the schema that the models describe."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from adapters.registry import Plan, Registry, database
from adapters.registry.lifecycle import State
from adapters.registry.models import Base


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An empty SQLite database."""
    opened = database.connect(f"sqlite:///{tmp_path / 'registry.db'}")
    yield opened
    opened.dispose()


def test_migrations_and_models_agree(engine: Engine) -> None:
    """Autogenerate finds nothing left to do after an upgrade."""
    database.upgrade(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    """Every start upgrades; only the first one finds work."""
    database.upgrade(engine)
    database.upgrade(engine)
    assert "versions" in inspect(engine).get_table_names()


def test_upgrade_does_not_depend_on_the_working_directory(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations travel inside the package; there is no alembic.ini."""
    monkeypatch.chdir(tmp_path)
    database.upgrade(engine)
    assert "control" in inspect(engine).get_table_names()


def test_there_is_one_head(engine: Engine) -> None:
    """Two people's migrations were put in an order."""
    with database.migration_config(engine) as config:
        assert len(ScriptDirectory.from_config(config).get_heads()) == 1


def test_a_downgrade_leaves_nothing(engine: Engine) -> None:
    """Every migration can be taken back."""
    from alembic import command

    database.upgrade(engine)
    with database.migration_config(engine) as config:
        command.downgrade(config, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}


@pytest.fixture
def postgres() -> Iterator[str]:
    """A PostgreSQL of our own on loopback, where its programs are installed."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("needs PostgreSQL's initdb and postgres on the PATH")
    # It refuses to run as root, and root's temporary directories are closed to others.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="graftwork-postgres-") as home:
        if user is not None:
            shutil.chown(home, user)
        yield from _running(Path(home), user)


def _running(home: Path, user: str | None) -> Iterator[str]:
    data = home / "data"
    subprocess.run(
        ["initdb", "-D", data, "-U", "tester", "--auth=trust", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=home,
        user=user,
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", home, "-F"],
        cwd=home,
        user=user,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError("PostgreSQL did not start")


def test_the_registry_works_on_postgresql(postgres: str) -> None:
    """The same migrations, transactions and append-only history on the other database."""
    registry = Registry.open(postgres)
    registry.claim()
    registry.receive("returns", "a" * 64, plan=Plan(), by="test")
    for state in (State.CHECKED, State.STORED, State.PREPARING, State.PREPARED):
        registry.move("returns", "a" * 64, state, by="test")
    assert registry.commit("returns", "a" * 64, by="test") == 1
    assert registry.snapshot().aliases[0].live == "a" * 64
    with registry._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    with pytest.raises(Exception, match="append-only"), registry._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM history")
    registry.close()
