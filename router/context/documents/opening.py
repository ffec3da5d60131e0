"""Which index the configuration means."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from router.config.documents import DocumentsConfig
from router.context.documents.model import Index
from router.context.documents.postgres import PostgresIndex
from router.context.documents.sqlite import SqliteIndex

FILE: Final = "documents.db"


def open_index(config: DocumentsConfig, state_dir: Path, width: int, *, writes: bool) -> Index:
    """The index; it connects when it is first asked something.

    Args:
        config: where it is.
        state_dir: of this machine.
        width: of vectors.
        writes: whether this process changes it.
    """
    if config.url is not None:
        return PostgresIndex(config.url, width, writes=writes)
    return SqliteIndex(state_dir / FILE, width, writes=writes)
