"""Documents that answers may draw on: where they are kept, and how large they may be."""

from __future__ import annotations

from pydantic import Field, field_validator

from router.config.section import Section


class DocumentsConfig(Section):
    """The index of documents. One process writes it; routers read it."""

    url: str | None = Field(
        default=None,
        description="`postgresql://…`: a database with or without pgvector that routers read, too; "
        "default: beside the registry's own tables",
    )
    max_mb: float = Field(default=32.0, gt=0, le=1024, description="the largest file, MB")
    max_chunks: int = Field(
        default=100_000,
        ge=1,
        description="chunks of all documents together; each takes 1.5 KB of a router's memory",
    )
    max_chunks_per_document: int = Field(
        default=5_000, ge=1, description="chunks of one document; each takes about 15 ms to add"
    )

    @field_validator("url")
    @classmethod
    def _is_postgresql(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("documents.url must begin with postgresql://")
        return url


class ContextConfig(Section):
    """Which collections a request's answer may draw on, and how much of a window they may take."""

    default: tuple[str, ...] = Field(
        default=(), description="collections of every request that names none and has no route's"
    )
    routes: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="collections by intent; an empty list: none"
    )
    grants: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="globs over the tenants that may read a collection; without: all",
    )
    limit: int = Field(default=12, ge=1, le=40, description="passages of one request, at most")
    share: float = Field(
        default=0.4, gt=0, le=1, description="share of a target's window that they may take"
    )
    max_tokens: int = Field(
        default=8192, ge=1, description="tokens that they may take in the largest window"
    )
    answer_tokens: int = Field(
        default=512,
        ge=1,
        description="kept free for the answer where the client sets no bound; at most a quarter "
        "of the window",
    )
    rerank_ms: float = Field(
        default=150.0,
        ge=0,
        description="time for looking at the best passages again with a cross-encoder, "
        "milliseconds; 0: never",
    )
    least_score: float = Field(
        default=0.002,
        ge=0,
        le=1,
        description="a passage that the cross-encoder gives less, and whose vector is not as near "
        "as least_similarity, has nothing to do with the question and is left out, unless the "
        "request names the documents itself; 0: none is",
    )
    least_similarity: float = Field(
        default=0.6,
        ge=0,
        le=1,
        description="cosine of a passage's vector and the question's below which one that there "
        "was no time to read again is left out, as least_score says; 0: none is",
    )
    timeout_ms: float = Field(
        default=1500.0, gt=0, description="after so long a request goes on without, milliseconds"
    )
    trim: bool = Field(
        default=False,
        description="leave out the oldest turns of a conversation that is too long for a target, "
        "and say so, instead of asking a larger one; a request may ask for it with "
        '`truncation: "auto"`',
    )
