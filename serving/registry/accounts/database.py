"""Opening the books: the registry's database, and the migrations of these tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

from adapters.registry.database import connect

MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str) -> Engine:
    """Connect and bring the tables to the newest migration.

    Raises ``RegistryError`` for a URL that names no supported database.
    """
    engine = connect(url)
    with migration_config(engine) as config:
        command.upgrade(config, "head")
    return engine


@contextmanager
def migration_config(engine: Engine) -> Iterator[Config]:
    """An Alembic configuration bound to one open connection."""
    config = Config()
    # ConfigParser interpolates percent signs, and a path may hold one.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        yield config
