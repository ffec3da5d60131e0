"""Which index is meant."""

from __future__ import annotations

from pathlib import Path

from router.context.documents.model import Index
from router.context.documents.postgres import PostgresIndex
from router.context.documents.sqlite import SqliteIndex


def open_index(url: str | None, file: Path, width: int, *, writes: bool) -> Index:
    """The index; it connects when it is first asked something.

    Args:
        url: of a PostgreSQL database; None: it is in the file.
        file: of SQLite.
        width: of vectors.
        writes: whether this process changes it.
    """
    if url is not None:
        return PostgresIndex(url, width, writes=writes)
    return SqliteIndex(file, width, writes=writes)
