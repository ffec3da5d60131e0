"""The tables of distillations, and of what versions were made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from adapters.flywheel.models import Base


class DistillationRow(Base):
    """One distillation, from the wish to its end."""

    __tablename__ = "distillations"
    __table_args__ = (Index("ix_distillations_state", "state"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    alias: Mapped[str] = mapped_column(String(128), index=True)
    intent: Mapped[str] = mapped_column(String(128))
    """Empty where a dataset of several intents is distilled."""
    dataset: Mapped[str] = mapped_column(String(64))
    """Digest; empty until the intent's gold is frozen."""
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    cause: Mapped[str] = mapped_column(String(32))
    author: Mapped[str] = mapped_column(String(256))
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    step: Mapped[int]
    steps: Mapped[int]
    loss: Mapped[float | None] = mapped_column(Double)
    eta_s: Mapped[float | None] = mapped_column(Double)
    digest: Mapped[str] = mapped_column(String(64))
    """Of the version; empty until there is one."""
    gate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    starts: Mapped[int]
    """How often a trainer was started for it."""
    created_at: Mapped[float] = mapped_column(Double)
    updated_at: Mapped[float] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)


class TrainerLeaseRow(Base):
    """Who may train for an alias. One row per alias: two trainers never work for one."""

    __tablename__ = "trainer_leases"

    alias: Mapped[str] = mapped_column(String(128), primary_key=True)
    distillation: Mapped[str] = mapped_column(
        String(32), ForeignKey("distillations.id", ondelete="CASCADE")
    )
    taken_at: Mapped[float] = mapped_column(Double)


class LineageRow(Base):
    """What one version was made of. No texts, and of persons nothing but reviewers' names."""

    __tablename__ = "lineage"

    alias: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    distillation: Mapped[str] = mapped_column(String(32))
    intent: Mapped[str] = mapped_column(String(128))
    base: Mapped[str] = mapped_column(String(256))
    dataset: Mapped[str] = mapped_column(String(64), index=True)
    settings: Mapped[dict[str, Any]] = mapped_column(JSON)
    splits: Mapped[dict[str, Any]] = mapped_column(JSON)
    reviewers: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Rows by reviewer's name."""
    teachers: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Rows by the target whose answers were judged."""
    parents: Mapped[list[Any]] = mapped_column(JSON)
    """Digests of the alias's versions that it was trained from, the nearest first."""
    at: Mapped[float] = mapped_column(Double)
