"""The documents as administrators see them: added, listed, read, deleted, erased."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from router.config.documents import DocumentsConfig
from router.context.documents import cutting, parsing
from router.context.documents.model import Chunk, Document, Index, Passage, digest
from router.context.retrieve import Question, Retrieved, Retriever
from router.embed.encoder import Encoder
from router.embed.threads import Threads

ID_PREFIX: Final = "doc_"
_READ_AT_ONCE: Final = 2
"""Files; each is a process that may use a gigabyte."""
AsWriter = Callable[[Callable[[], object]], None]


class TooLong(Exception):
    """The document, or all of them together, are more than is kept."""


class Taken(Exception):
    """The id is another tenant's document's."""


class UnknownCollection(Exception):
    """Nothing that may be read has this name."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What somebody adds."""

    title: str
    collection: str
    tenant: str
    kind: str
    raw: bytes
    subject: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    """Of the document that it replaces."""


class Library:
    """One process's documents; the only one that changes them.

    Args:
        config: limits.
        index: where they are kept.
        encoder: makes their vectors.
        retriever: finds them.
        threads: where documents are understood: for as long as that takes, many seconds of a
            large one.
        as_writer: does something that only the one writer may do; raises when that is another.
    """

    def __init__(
        self,
        config: DocumentsConfig,
        index: Index,
        encoder: Encoder,
        retriever: Retriever,
        threads: Threads,
        as_writer: AsWriter,
    ) -> None:
        self.config = config
        self.index = index
        self._encoder = encoder
        self._retriever = retriever
        self._threads = threads
        self._as_writer = as_writer
        self._quick = Threads("documents", 2)
        self.kept = 0
        """Chunks in the index, as far as was last seen."""
        self._reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def add(self, upload: Upload) -> Document:
        """Read, cut, understand and keep a document; what did not change keeps its vectors.

        Raises ``Unreadable``, ``TooLong``, ``Taken``, ``Busy``, ``IndexUnavailable``,
        ``ModelMissing``.
        """
        async with self._reading:
            text = await parsing.text_of(upload.kind, upload.raw)
        kept = await self._threads.run(lambda: self._keep(upload, text))
        # Whoever asks for the first time does not wait for models.
        await self._retriever.prepare()
        return kept

    def _keep(self, upload: Upload, text: str) -> Document:
        texts = cutting.chunks(text)
        if not any(each.strip() for each in texts):
            raise parsing.Unreadable("it holds no text")
        self._check_room(len(texts), upload.id)
        chunks = self._understood(upload.tenant, texts)
        document = Document(
            upload.id or ID_PREFIX + secrets.token_hex(12),
            upload.tenant,
            upload.collection,
            upload.title,
            parsing.KINDS[upload.kind],
            time.time(),
            len(chunks),
            sum(self._encoder.count(each) for each in texts),
            upload.subject,
            upload.metadata,
        )
        self._as_writer(lambda: self._put(document, chunks))
        return document

    def _put(self, document: Document, chunks: Sequence[Chunk]) -> None:
        old = self.index.get(document.id)
        if old is not None and old[0].tenant != document.tenant:
            raise Taken(document.id)
        self.index.put(document, chunks)
        self.kept = self.index.chunks()

    def _check_room(self, more: int, replaced_id: str | None) -> None:
        config = self.config
        if more > config.max_chunks_per_document:
            raise TooLong(
                f"it has {more} chunks, and documents.max_chunks_per_document is "
                f"{config.max_chunks_per_document}: split it"
            )
        replaced = None if replaced_id is None else self.index.get(replaced_id)
        held = self.index.chunks() - (0 if replaced is None else replaced[0].chunks)
        if held + more > config.max_chunks:
            raise TooLong(f"all documents together may have {config.max_chunks} chunks")

    def _understood(self, tenant: str, texts: Sequence[str]) -> list[Chunk]:
        known = self.index.vectors_of(tenant, list({digest(each) for each in texts}))
        for each in texts:
            key = digest(each)
            if key not in known:
                known[key] = self._encoder.encode([each])[0]
        return [Chunk(each, known[digest(each)]) for each in texts]

    async def get(self, document_id: str) -> tuple[Document, list[str]] | None:
        """A document and its chunks. Raises ``IndexUnavailable``."""
        return await self._quick.run(lambda: self.index.get(document_id))

    async def page(self, tenant: str | None, after: str, limit: int) -> list[Document]:
        """Documents with a later id. Raises ``IndexUnavailable``."""
        return await self._quick.run(lambda: self.index.page(tenant, after, limit))

    async def delete(self, document_id: str) -> bool:
        """Whether there was one; no answer that begins from now on has seen it."""

        def delete() -> bool:
            done: list[bool] = []
            self._as_writer(lambda: done.append(self.index.delete(document_id)))
            self.kept = self.index.chunks()
            return done[0]

        return await self._quick.run(delete)

    async def search(
        self, tenant: str, collection: str | None, words: str, limit: int
    ) -> list[Passage]:
        """What would be found for a tenant. Raises ``UnknownCollection``."""
        wanted = None if collection is None else (collection,)
        found = await self._retriever.retrieve(Question(tenant, wanted, words, limit))
        if collection in found.unknown:
            raise UnknownCollection(collection)
        return found.passages

    async def retrieve(self, question: Question) -> Retrieved:
        """What documents say; raises as ``Retriever.retrieve``."""
        return await self._retriever.retrieve(question)

    async def documents_of(self, subject: str) -> list[str]:
        """The ids of a person's documents."""
        return await self._quick.run(lambda: self.index.documents_of(subject))

    # What erasure asks of every room that keeps something of persons

    @property
    def counted_as(self) -> str:
        """In certificates."""
        return "documents"

    async def found(self, subject: str) -> int:
        """How many documents are this person's."""
        return len(await self.documents_of(subject))

    async def erase(self, subject: str) -> int:
        """Delete a person's documents, freed pages and logs included; how many there were.

        Raises ``IndexUnavailable`` when something is in the way: to be tried again.
        """

        def erase() -> int:
            done: list[list[str]] = []
            self._as_writer(lambda: done.append(self.index.erase(subject)))
            return len(done[0])

        return await self._quick.run(erase)

    def close(self) -> None:
        """Wait for what is under way, give connections back."""
        self._threads.close()
        self._quick.close()
        self._retriever.close()
        self.index.close()
