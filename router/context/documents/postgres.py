"""The index in PostgreSQL, for routers on several machines: pgvector compares vectors there.

Without the extension it works as well: then each router compares the vectors itself, as it does
for the embedded index.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection

from router.context.documents.model import Chunk, Document, IndexUnavailable, TenantCollection
from router.context.documents.rows import Rows
from router.context.documents.sql import SCHEMA, SqlIndex
from router.context.documents.vectors import unpacked
from router.context.documents.words import keywords
from router.embed.layers import Vector

_CONNECT_S: Final = 5
_SERIAL: Final = "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
_WRITER: Final = 0x6772_6166_7464  # any number of our own, for an advisory lock
_BATCH: Final = 500
_SCHEMA: Final = "graftwork_documents"
"""Of our own: the database may be the registry's."""
_READ_MS: Final = 5000


class PostgresIndex(SqlIndex):
    """Documents in a database.

    Args:
        url: of the database; its tables are made when somebody first writes.
        width: of the vectors.
        writes: whether this process may change it.
    """

    def __init__(self, url: str, width: int, *, writes: bool) -> None:
        super().__init__(width)
        self._url = url.replace("postgresql+psycopg://", "postgresql://", 1)
        self._writes = writes
        self._lock = threading.RLock()
        self._connection: Connection[Any] | None = None
        self._has_pgvector = False

    @property
    def has_pgvector(self) -> bool:
        """Whether the database compares vectors itself; known when it was asked something."""
        return self._has_pgvector

    @contextmanager
    def _reading(self) -> Iterator[Rows | None]:
        with self._transaction("REPEATABLE READ READ ONLY") as rows:
            yield rows

    @contextmanager
    def _writing(self) -> Iterator[Rows]:
        if not self._writes:
            raise IndexUnavailable("this process does not write documents")
        with self._transaction("READ COMMITTED READ WRITE") as rows:
            if rows is None:
                raise IndexUnavailable("the index of documents has no tables")
            rows.run("SELECT pg_advisory_xact_lock(?)", _WRITER)
            yield rows

    @contextmanager
    def _transaction(self, how: str) -> Iterator[Rows | None]:
        with self._lock, self._explained():
            connection = self._connected()
            if connection is None:
                yield None
                return
            with connection.transaction():
                connection.execute(f"SET TRANSACTION ISOLATION LEVEL {how}".encode())
                yield Rows(connection, "%s")

    def _connected(self) -> Connection[Any] | None:
        if self._connection is None or self._connection.closed:
            limit = "" if self._writes else f" -c statement_timeout={_READ_MS}"
            connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT_S,
                prepare_threshold=None,
                options=f"-c search_path={_SCHEMA},public{limit}",
            )
            if self._writes:
                self._make_tables(connection)
            elif connection.execute(
                f"SELECT to_regclass('{_SCHEMA}.chunks')".encode()
            ).fetchone() == (None,):
                connection.close()
                return None
            self._has_pgvector = _has_column(connection)
            self._connection = connection
        return self._connection

    def _make_tables(self, connection: Connection[Any]) -> None:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_WRITER,))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {_SCHEMA}".encode())
            for statement in SCHEMA:
                made = statement.format(serial=_SERIAL, blob="BYTEA")
                connection.execute(made.encode())
            connection.execute("ALTER TABLE chunks ADD COLUMN IF NOT EXISTS words tsvector")
            connection.execute(
                "CREATE INDEX IF NOT EXISTS chunks_by_words ON chunks USING gin (words)"
            )
            there = connection.execute(
                "SELECT 1 FROM pg_available_extensions WHERE name = 'vector'"
            ).fetchone()
            if there is not None:
                self._use_pgvector(connection)

    def _use_pgvector(self, connection: Connection[Any]) -> None:
        """Also for chunks from the time before the extension was there."""
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
        connection.execute(
            f"ALTER TABLE chunks ADD COLUMN IF NOT EXISTS embedding vector({self._width})".encode()
        )
        while True:
            rows = connection.execute(
                "SELECT number, vector FROM chunks WHERE embedding IS NULL LIMIT %s", (_BATCH,)
            ).fetchall()
            for number, raw in rows:
                connection.execute(
                    "UPDATE chunks SET embedding = %s::vector WHERE number = %s",
                    (_text(unpacked(raw)), number),
                )
            if len(rows) < _BATCH:
                return

    def _add_words(self, rows: Rows, number: int, document: Document, chunk: Chunk) -> None:
        rows.run(
            "UPDATE chunks SET words = setweight(to_tsvector('english', ?), 'B') ||"
            " to_tsvector('english', ?) WHERE number = ?",
            document.title,
            chunk.text,
            number,
        )
        if self._has_pgvector:
            rows.run(
                "UPDATE chunks SET embedding = ?::vector WHERE number = ?",
                _text(chunk.vector),
                number,
            )

    def _remove_words(self, rows: Rows, document_id: str) -> None:
        """They go with their row."""

    def _lexical(
        self, rows: Rows, scopes: Sequence[TenantCollection], words: str, limit: int
    ) -> list[tuple[int, float]]:
        asked = keywords(words)
        if not asked:
            return []
        where, values = _within(scopes)
        found = rows.run(
            f"SELECT number, ts_rank_cd(words, query, 1) AS rank FROM chunks,"
            " to_tsquery('english', ?) AS query"
            f" WHERE words @@ query AND {where} ORDER BY rank DESC, number LIMIT ?",
            " | ".join(f"'{word}'" for word in asked),
            *values,
            limit,
        )
        return [(number, float(rank)) for number, rank in found]

    def _nearest(
        self, rows: Rows, scopes: Sequence[TenantCollection], vector: Vector, limit: int
    ) -> list[tuple[int, float]]:
        if not self._has_pgvector:
            return super()._nearest(rows, scopes, vector, limit)
        where, values = _within(scopes)
        # Exact, without an approximate index: one that is filtered afterwards would hide chunks
        # of a small tenant behind those of a large one.
        found = rows.run(
            f"SELECT number, 1 - (embedding <=> ?::vector) AS near FROM chunks WHERE {where}"
            " ORDER BY near DESC, number LIMIT ?",
            _text(vector),
            *values,
            limit,
        )
        return [(number, float(near)) for number, near in found]

    def _forget_pages(self) -> None:
        with self._lock, self._explained():
            connection = self._connected()
            assert connection is not None
            connection.execute("VACUUM (FULL) chunks")
            connection.execute("VACUUM (FULL) documents")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            # Its text may repeat the connection's parameters, and values.
            what = type(error).__name__
            raise IndexUnavailable(f"the database of documents fails: {what}") from error

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _has_column(connection: Connection[Any]) -> bool:
    found = connection.execute(
        "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema()"
        " AND table_name = 'chunks' AND column_name = 'embedding'"
    ).fetchone()
    return found is not None


def _text(vector: Vector) -> str:
    return "[" + ",".join(f"{number:.6g}" for number in vector) + "]"


def _within(scopes: Sequence[TenantCollection]) -> tuple[str, list[str]]:
    """A condition on ``chunks`` and its values."""
    where = " OR ".join(["(tenant = ? AND collection = ?)"] * len(scopes))
    return f"({where})", [value for scope in scopes for value in scope]
