"""The loop's migrations make what its models say, on both databases."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import adapters
from adapters.flywheel.database import FlywheelStore
from adapters.flywheel.models import Base
from adapters.registry import database
from adapters.registry.models import Base as RegistryBase
from tests.fakes.postgres import NewDatabase


def _known() -> None:
    """Import every room's tables."""
    root = Path(adapters.__path__[0])
    for file in root.rglob("*.py"):
        if "__tablename__" in file.read_text(encoding="utf-8"):
            name = ".".join(file.relative_to(root.parent).with_suffix("").parts)
            importlib.import_module(name)


def _at_once(work: Callable[[], object]) -> None:
    work()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_migrations_make_what_the_models_say(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Tables, columns, types, indexes and constraints; the registry's own may stand beside them."""
    _known()
    assert len(Base.metadata.tables) > 10
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path / 'flywheel.db'}"
    else:
        new_database: NewDatabase = request.getfixturevalue("postgres")
        url = new_database()
    FlywheelStore.open(url, _at_once).close()
    engine = database.connect(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        beside = set(RegistryBase.metadata.tables) | {"alembic_version", "flywheel_version"}
        differences = [
            each
            for each in compare_metadata(context, Base.metadata)
            if not (isinstance(each, tuple) and getattr(each[1], "name", "") in beside)
        ]
    engine.dispose()
    assert differences == []
