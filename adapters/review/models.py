"""Tables of reviews. Rows stay in this room; everyone else sees ``item.Review``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from adapters.flywheel.models import Base

_Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where their type is its own."""


class ReviewRow(Base):
    """One item of the queue."""

    __tablename__ = "reviews"
    __table_args__ = (
        Index("ix_reviews_queue", "state", "tier", "weight", "id"),
        Index("ix_reviews_intent_queue", "intent", "state", "tier", "weight", "id"),
        Index("ix_reviews_settled", "outcome", "settled_at"),
    )

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    exchange_id: Mapped[str | None] = mapped_column(String(80), index=True)
    """None: of a demanded review whose exchange has not come yet."""
    decision_id: Mapped[str] = mapped_column(String(128), index=True)
    intent: Mapped[str] = mapped_column(String(256))
    tenant: Mapped[str] = mapped_column(String(256))
    state: Mapped[str] = mapped_column(String(16))
    """``open`` or ``done``; whether it is claimed, the claim says."""
    tier: Mapped[int]
    weight: Mapped[float] = mapped_column(Double)
    why: Mapped[list[Any]] = mapped_column(JSON)
    opened_at: Mapped[float] = mapped_column(Double)
    settled_at: Mapped[float | None] = mapped_column(Double)
    outcome: Mapped[str | None] = mapped_column(String(16))
    answer: Mapped[str | None] = mapped_column(Text)
    provenance: Mapped[str | None] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(512))
    """Who gave the gold answer, where a person did not write it."""
    disputed: Mapped[bool]
    escalated: Mapped[bool]
    verdicts: Mapped[int]
    """How many stand that say something of the answer."""
    claimed_by: Mapped[str | None] = mapped_column(String(256), index=True)
    claimed_until: Mapped[float] = mapped_column(Double)
    known: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Of an item that measures reviewers: what is right."""


def _review() -> Any:
    return mapped_column(String(80), ForeignKey("reviews.id", ondelete="CASCADE"), index=True)


class VerdictRow(Base):
    """What one reviewer said; one that was taken back stays as history."""

    __tablename__ = "review_verdicts"
    __table_args__ = (
        Index(
            "uq_review_verdicts_standing",
            "review_id",
            "reviewer",
            unique=True,
            sqlite_where=text("undone_at IS NULL"),
            postgresql_where=text("undone_at IS NULL"),
        ),
        Index("ix_review_verdicts_reviewer", "reviewer", "at"),
        {"sqlite_autoincrement": True},
    )

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    review_id: Mapped[str] = _review()
    reviewer: Mapped[str] = mapped_column(String(256))
    verdict: Mapped[str] = mapped_column(String(16))
    answer: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(String(512))
    comment: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double)
    undone_at: Mapped[float | None] = mapped_column(Double)
    right: Mapped[bool | None]
    """Of an item that measures reviewers."""


class CandidateRow(Base):
    """Another answer to the same exchange."""

    __tablename__ = "review_candidates"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    review_id: Mapped[str] = _review()
    source: Mapped[str] = mapped_column(String(512))
    answer: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double)


class SubjectOfReview(Base):
    """Whose data a review carries, for the case that its exchange goes first."""

    __tablename__ = "review_subjects"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    review_id: Mapped[str] = mapped_column(
        String(80), ForeignKey("reviews.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class GuidelineRow(Base):
    """What reviewers are to go by, for one intent; of the empty one, for all."""

    __tablename__ = "review_guidelines"

    intent: Mapped[str] = mapped_column(String(256), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    by: Mapped[str] = mapped_column(String(256))
    at: Mapped[float] = mapped_column(Double)


class FollowedRow(Base):
    """One row: up to which change of the exchanges the queue was filled."""

    __tablename__ = "review_followed"

    id: Mapped[int] = mapped_column(primary_key=True)
    changed: Mapped[int] = mapped_column(BigInteger)
    left_out: Mapped[bool]
    """Whether there was no room for some."""
