"""What a document is, and what is found of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Protocol

from router.embed.layers import Vector

EVERYBODY: Final = "*"
"""The tenant of documents that every tenant may read."""


class TenantCollection(NamedTuple):
    """Whose documents, and which of them."""

    tenant: str
    collection: str


@dataclass(frozen=True, slots=True)
class Document:
    """A document without its text."""

    id: str
    tenant: str
    collection: str
    title: str
    kind: str
    """Its media type."""
    created: float
    """Seconds since the epoch."""
    chunks: int
    tokens: int
    """In the encoder's count."""
    subject: str | None = None
    """Whose personal data it holds."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scope(self) -> TenantCollection:
        """Where it is found."""
        return TenantCollection(self.tenant, self.collection)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document, with its vector."""

    text: str
    vector: Vector

    @property
    def digest(self) -> bytes:
        """Of its text: what did not change keeps its vector."""
        return digest(self.text)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that was found."""

    document: str
    chunk: int
    """Its place in the document, from 0."""
    title: str
    text: str
    score: float
    """0 to 1."""


class Hits(NamedTuple):
    """Chunks by number, best first: by their words, and by what they mean."""

    lexical: list[tuple[int, float]]
    vectors: list[tuple[int, float]]


def digest(text: str) -> bytes:
    """What equal chunks are recognised by."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()


class IndexUnavailable(Exception):
    """The index cannot be read or written now."""


class Index(Protocol):
    """Where documents are kept. Methods block; each raises ``IndexUnavailable``."""

    @property
    def held(self) -> int:
        """Chunks whose vectors this process holds in memory."""
        ...

    def put(self, document: Document, chunks: Sequence[Chunk]) -> None:
        """Keep a document, in place of one with its id; all of it or nothing."""
        ...

    def vectors_of(self, tenant: str, digests: Sequence[bytes]) -> dict[bytes, Vector]:
        """The vectors of those texts of the tenant that are known."""
        ...

    def get(self, document_id: str) -> tuple[Document, list[str]] | None:
        """A document and its chunks' texts."""
        ...

    def page(self, tenant: str | None, after: str, limit: int) -> list[Document]:
        """Documents with a later id, by id."""
        ...

    def delete(self, document_id: str) -> bool:
        """Whether there was one."""
        ...

    def chunks(self) -> int:
        """How many there are."""
        ...

    def scopes(self, tenants: Sequence[str]) -> set[TenantCollection]:
        """Where these tenants have documents."""
        ...

    def find(
        self, scopes: Sequence[TenantCollection], words: str, vector: Vector, limit: int
    ) -> Hits:
        """The best chunks of some scopes by each measure."""
        ...

    def passages(self, numbers: Sequence[int]) -> dict[int, Passage]:
        """Chunks by their numbers, with a score of 0; what is gone is not among them."""
        ...

    def documents_of(self, subject: str) -> list[str]:
        """The ids of a person's documents."""
        ...

    def erase(self, subject: str) -> list[str]:
        """Delete them so that no value of theirs is in any file any more."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
