"""Opening the books: the registry's database, and the migrations of these tables."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from adapters.registry.database import connect, upgrade

MIGRATIONS = Path(__file__).parent / "migrations"


def open_database(url: str) -> Engine:
    """Connect and bring the tables to the newest migration.

    Raises ``RegistryError`` for a URL that names no supported database.
    """
    engine = connect(url)
    upgrade(engine, MIGRATIONS)
    return engine
