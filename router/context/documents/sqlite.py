"""The embedded index: one SQLite file, FTS5 for words. One process writes, all others read."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from router.context.documents.model import Chunk, Document, IndexUnavailable, TenantCollection
from router.context.documents.rows import Rows
from router.context.documents.sql import SCHEMA, SqlIndex
from router.context.documents.words import keywords

_BUSY_S: Final = 10.0
_WORDS: Final = (
    "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(scope, title, text, content='',"
    " tokenize='porter unicode61 remove_diacritics 2')"
)


class SqliteIndex(SqlIndex):
    """Documents in a file.

    Args:
        path: of the file. Who only reads may come before there is one.
        width: of the vectors.
        writes: whether this process may change it.
    """

    def __init__(self, path: Path, width: int, *, writes: bool) -> None:
        super().__init__(width)
        self._path = path
        self._writes = writes
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def _reading(self) -> Iterator[Rows | None]:
        with self._lock, _explained():
            connection = self._connected()
            if connection is None:
                yield None
                return
            if connection.in_transaction:
                yield Rows(connection)
                return
            connection.execute("BEGIN")
            try:
                yield Rows(connection)
            finally:
                connection.execute("COMMIT")

    @contextmanager
    def _writing(self) -> Iterator[Rows]:
        with self._lock, _explained():
            connection = self._connected()
            if connection is None or not self._writes:
                raise IndexUnavailable("this process does not write documents")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Rows(connection)
                connection.execute("COMMIT")
            except BaseException:
                # Of a full disk SQLite has ended it already; what it has not, nobody must read.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _connected(self) -> sqlite3.Connection | None:
        if self._connection is None:
            if not self._writes and not self._path.exists():
                return None
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self._writes:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        mode = "rwc" if self._writes else "rw"
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        if not self._writes:
            # Reading a log of another process needs its shared memory: no file opened read-only.
            connection.execute("PRAGMA query_only = ON")
            return connection
        self._path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for statement in SCHEMA:
            connection.execute(
                statement.format(serial="INTEGER PRIMARY KEY AUTOINCREMENT", blob="BLOB")
            )
        connection.execute(_WORDS)
        return connection

    def _add_words(self, rows: Rows, number: int, document: Document, chunk: Chunk) -> None:
        rows.run(
            "INSERT INTO words (rowid, scope, title, text) VALUES (?,?,?,?)",
            number,
            _token(document.scope),
            document.title,
            chunk.text,
        )

    def _remove_words(self, rows: Rows, document_id: str) -> None:
        for number, tenant, collection, title, text in rows.run(
            "SELECT c.number, c.tenant, c.collection, d.title, c.text FROM chunks c"
            " JOIN documents d ON d.id = c.document WHERE d.id = ?",
            document_id,
        ):
            rows.run(
                "INSERT INTO words (words, rowid, scope, title, text) VALUES ('delete',?,?,?,?)",
                number,
                _token(TenantCollection(tenant, collection)),
                title,
                text,
            )

    def _lexical(
        self, rows: Rows, scopes: Sequence[TenantCollection], words: str, limit: int
    ) -> list[tuple[int, float]]:
        asked = keywords(words)
        if not asked:
            return []
        where = " OR ".join(f'"{_token(scope)}"' for scope in scopes)
        terms = " OR ".join(f'"{word}"' for word in asked)
        found = rows.run(
            "SELECT rowid, bm25(words, 0.0, 0.5, 1.0) AS cost FROM words WHERE words MATCH ?"
            " ORDER BY cost LIMIT ?",
            f"(scope : ({where})) AND ({{title text}} : ({terms}))",
            limit,
        )
        return [(number, -cost) for number, cost in found]

    def _forget_pages(self) -> None:
        """Deleted words stay in FTS5's segments until they are merged, and rows in the log."""
        with self._lock, _explained():
            connection = self._connected()
            assert connection is not None
            connection.execute("INSERT INTO words (words) VALUES ('optimize')")
            connection.execute("VACUUM")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if busy:
                raise IndexUnavailable("a reader is in the way of the erasure; it is tried again")

    def close(self) -> None:
        """Give the connection back."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def _token(scope: TenantCollection) -> str:
    """A word that stands for a scope, and that no text can say: it has a column of its own."""
    raw = "\0".join(scope).encode("utf-8", "surrogatepass")
    return "x" + hashlib.blake2b(raw, digest_size=12).hexdigest()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise IndexUnavailable(f"the index of documents fails: {error}") from error
