"""The index in SQL, as far as SQLite and PostgreSQL agree: they share tables and statements."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from router.context.documents.model import Chunk, Document, Hits, Index, Passage, TenantCollection
from router.context.documents.rows import Rows
from router.context.documents.vectors import Vectors, packed, unpacked
from router.embed.layers import Vector

_COLUMNS: Final = "id, tenant, collection, title, kind, created, chunks, tokens, subject, metadata"
SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS documents (id TEXT PRIMARY KEY, tenant TEXT NOT NULL,"
    " collection TEXT NOT NULL, title TEXT NOT NULL, kind TEXT NOT NULL,"
    " created DOUBLE PRECISION NOT NULL, chunks INTEGER NOT NULL, tokens INTEGER NOT NULL,"
    " subject TEXT, metadata TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS documents_by_subject ON documents (subject)",
    "CREATE TABLE IF NOT EXISTS chunks (number {serial}, document TEXT NOT NULL,"
    " place INTEGER NOT NULL, tenant TEXT NOT NULL, collection TEXT NOT NULL,"
    " digest {blob} NOT NULL, text TEXT NOT NULL, vector {blob} NOT NULL)",
    "CREATE INDEX IF NOT EXISTS chunks_by_scope ON chunks (tenant, collection)",
    "CREATE INDEX IF NOT EXISTS chunks_by_document ON chunks (document, place)",
    "CREATE INDEX IF NOT EXISTS chunks_by_digest ON chunks (tenant, digest)",
    "CREATE TABLE IF NOT EXISTS collections (tenant TEXT NOT NULL, name TEXT NOT NULL,"
    " version BIGINT NOT NULL, PRIMARY KEY (tenant, name))",
    "CREATE TABLE IF NOT EXISTS left_behind (what TEXT PRIMARY KEY)",
)
"""A collection's version rises with each change; routers reload what they hold of it then. A row in
``left_behind`` says that deleted words may still be somewhere in the files."""
_AT_ONCE: Final = 500
"""Parameters of one statement."""


class SqlIndex(Index, ABC):
    """What both databases have in common."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._vectors = Vectors(width)

    @property
    def held(self) -> int:
        """Chunks whose vectors this process holds in memory."""
        return self._vectors.held

    # What each database does its own way

    @abstractmethod
    def _reading(self) -> Any:
        """A context manager of the ``Rows`` of a snapshot; of None when there is no database."""

    @abstractmethod
    def _writing(self) -> Any:
        """A context manager of the ``Rows`` of a transaction that excludes other writers."""

    @abstractmethod
    def _add_words(self, rows: Rows, number: int, document: Document, chunk: Chunk) -> None:
        """Make a chunk findable by its words, and by its vector where the database does that."""

    @abstractmethod
    def _remove_words(self, rows: Rows, document_id: str) -> None:
        """Before the document's chunks go."""

    @abstractmethod
    def _lexical(
        self, rows: Rows, scopes: Sequence[TenantCollection], words: str, limit: int
    ) -> list[tuple[int, float]]:
        """Chunks by number with their score by words, best first."""

    def _nearest(
        self, rows: Rows, scopes: Sequence[TenantCollection], vector: Vector, limit: int
    ) -> list[tuple[int, float]]:
        return self._vectors.nearest(rows, scopes, vector, limit)

    @abstractmethod
    def _forget_pages(self) -> None:
        """Leave no trace of deleted rows in the database's files."""

    # What they share

    def put(self, document: Document, chunks: Sequence[Chunk]) -> None:
        """Keep a document, in place of one with its id; all of it or nothing."""
        with self._writing() as rows:
            self._remove(rows, document.id)
            rows.run(
                f"INSERT INTO documents ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                document.id,
                document.tenant,
                document.collection,
                document.title,
                document.kind,
                document.created,
                document.chunks,
                document.tokens,
                document.subject,
                json.dumps(dict(document.metadata)),
            )
            for place, chunk in enumerate(chunks):
                [(number,)] = rows.run(
                    "INSERT INTO chunks (document, place, tenant, collection, digest, text, vector)"
                    " VALUES (?,?,?,?,?,?,?) RETURNING number",
                    document.id,
                    place,
                    *document.scope,
                    chunk.digest,
                    chunk.text,
                    packed(chunk.vector),
                )
                self._add_words(rows, number, document, chunk)
            self._changed(rows, document.scope)

    def delete(self, document_id: str) -> bool:
        """Whether there was one."""
        with self._writing() as rows:
            return self._remove(rows, document_id)

    def _remove(self, rows: Rows, document_id: str) -> bool:
        found = rows.run("SELECT tenant, collection FROM documents WHERE id = ?", document_id)
        if not found:
            return False
        self._remove_words(rows, document_id)
        rows.run("DELETE FROM chunks WHERE document = ?", document_id)
        rows.run("DELETE FROM documents WHERE id = ?", document_id)
        rows.run("INSERT INTO left_behind (what) VALUES ('words') ON CONFLICT DO NOTHING")
        self._changed(rows, TenantCollection(*found[0]))
        return True

    def _changed(self, rows: Rows, scope: TenantCollection) -> None:
        rows.run(
            "INSERT INTO collections (tenant, name, version) VALUES (?,?,1)"
            " ON CONFLICT (tenant, name) DO UPDATE SET version = collections.version + 1",
            *scope,
        )

    def vectors_of(self, tenant: str, digests: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors of those texts of the tenant that are known."""
        found: dict[bytes, Vector] = {}
        with self._reading() as rows:
            for some in _some(digests) if rows else ():
                marks = ",".join("?" * len(some))
                for digest, raw in rows.run(
                    f"SELECT digest, vector FROM chunks WHERE tenant = ? AND digest IN ({marks})",
                    tenant,
                    *some,
                ):
                    found[bytes(digest)] = unpacked(raw)
        return found

    def get(self, document_id: str) -> tuple[Document, list[str]] | None:
        """A document and its chunks' texts."""
        with self._reading() as rows:
            if rows is None:
                return None
            found = rows.run(f"SELECT {_COLUMNS} FROM documents WHERE id = ?", document_id)
            if not found:
                return None
            texts = rows.run(
                "SELECT text FROM chunks WHERE document = ? ORDER BY place", document_id
            )
            return _document(found[0]), [text for (text,) in texts]

    def page(self, tenant: str | None, after: str, limit: int) -> list[Document]:
        """Documents with a later id, by id."""
        only, values = ("", ()) if tenant is None else (" AND tenant = ?", (tenant,))
        with self._reading() as rows:
            if rows is None:
                return []
            found = rows.run(
                f"SELECT {_COLUMNS} FROM documents WHERE id > ?{only} ORDER BY id LIMIT ?",
                after,
                *values,
                limit,
            )
            return [_document(row) for row in found]

    def chunks(self) -> int:
        """How many there are."""
        with self._reading() as rows:
            return int(rows.run("SELECT count(*) FROM chunks")[0][0]) if rows else 0

    def scopes(self, tenants: Sequence[str]) -> set[TenantCollection]:
        """Where these tenants have documents."""
        marks = ",".join("?" * len(tenants))
        with self._reading() as rows:
            found = (
                rows.run(
                    f"SELECT DISTINCT tenant, collection FROM documents WHERE tenant IN ({marks})",
                    *tenants,
                )
                if rows
                else []
            )
            return {TenantCollection(*row) for row in found}

    def find(
        self, scopes: Sequence[TenantCollection], words: str, vector: Vector, limit: int
    ) -> Hits:
        """The best chunks of some scopes by each measure."""
        with self._reading() as rows:
            if rows is None or not scopes:
                return Hits([], [])
            return Hits(
                self._lexical(rows, scopes, words, limit),
                self._nearest(rows, scopes, vector, limit),
            )

    def passages(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Chunks by their numbers, with a score of 0; what is gone is not among them."""
        found: dict[int, Passage] = {}
        with self._reading() as rows:
            for some in _some(numbers) if rows else ():
                marks = ",".join("?" * len(some))
                for number, *rest in rows.run(
                    "SELECT c.number, c.document, c.place, d.title, c.text FROM chunks c"
                    f" JOIN documents d ON d.id = c.document WHERE c.number IN ({marks})",
                    *some,
                ):
                    document, place, title, text = rest
                    found[number] = Passage(document, place, title, text, 0.0)
        return found

    def documents_of(self, subject: str) -> list[str]:
        """The ids of a person's documents."""
        with self._reading() as rows:
            found = (
                rows.run("SELECT id FROM documents WHERE subject = ? ORDER BY id", subject)
                if rows
                else []
            )
            return [each for (each,) in found]

    def erase(self, subject: str) -> list[str]:
        """Delete them so that no value of theirs is in any file any more."""
        with self._writing() as rows:
            found = rows.run("SELECT id FROM documents WHERE subject = ? ORDER BY id", subject)
            for (each,) in found:
                self._remove(rows, each)
            # Also of what was deleted before, and when an erasure was interrupted here.
            is_due = bool(rows.run("SELECT 1 FROM left_behind"))
        if is_due:
            self._forget_pages()
            with self._writing() as rows:
                rows.run("DELETE FROM left_behind")
        return [each for (each,) in found]


def _document(row: Sequence[Any]) -> Document:
    found = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Document(**{**found, "metadata": json.loads(row[-1])})


def _some(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


@contextmanager
def nothing() -> Iterator[None]:
    """No database yet."""
    yield None
