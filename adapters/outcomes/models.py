"""Tables of outcomes and of what was learned from them. Rows stay in this room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from adapters.flywheel.models import Base

_Number = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only where their type is its own."""


class OutcomeRow(Base):
    """One judged answer. ``number`` is the order of arrival."""

    __tablename__ = "outcomes"
    __table_args__ = ({"sqlite_autoincrement": True},)

    number: Mapped[int] = mapped_column(_Number, primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    """Of the same text, target and intent: the newest judgement counts."""
    target: Mapped[str] = mapped_column(String(512), index=True)
    intent: Mapped[str] = mapped_column(String(256))
    good: Mapped[float] = mapped_column(Double)
    at: Mapped[float] = mapped_column(Double)
    text: Mapped[str] = mapped_column(Text)
    """Its head and tail, redacted: what an encoder reads."""
    traits: Mapped[list[Any]] = mapped_column(JSON)
    """What is known of the whole text beside its meaning."""
    subject: Mapped[str | None] = mapped_column(String(64), index=True)
    """Keyed hash of the person whose it is."""
    encoder: Mapped[str] = mapped_column(String(128), index=True)
    """Whose vector it is; empty before it was read."""
    vector: Mapped[bytes | None] = mapped_column(LargeBinary)
    """Halves, little-endian; None: of a language that the encoder does not know."""


class LearnedRow(Base):
    """One row: the model that was fitted last."""

    __tablename__ = "outcomes_learned"

    id: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[bytes] = mapped_column(LargeBinary)
    told: Mapped[list[Any]] = mapped_column(JSON)
    """What became of each target's outcomes."""
    at: Mapped[float] = mapped_column(Double)
