"""The schema that migrations make is the schema that the models describe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect

from adapters.errors import RegistryError
from adapters.registry import Plan, Registry, database
from adapters.registry.lifecycle import State
from adapters.registry.models import Base
from tests.fakes.postgres import NewDatabase


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


def test_a_database_of_a_newer_release_has_a_remedy(engine: Engine) -> None:
    """Who goes back to an older one is told so, and not that a revision cannot be located."""
    database.upgrade(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError, match="newer release") as refused:
        database.upgrade(engine)
    assert "backup" in refused.value.remedy


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


def test_the_registry_works_on_postgresql(postgres: NewDatabase) -> None:
    """The same migrations, transactions and append-only history on the other database."""
    registry = Registry.open(postgres())
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
