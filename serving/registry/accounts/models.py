"""The tables."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The schema; constraints are named alike on every database."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
        }
    )


class HolderRow(Base):
    """A router process, and the last of its asks that was heard."""

    __tablename__ = "budget_holders"

    holder: Mapped[str] = mapped_column(String(256), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
    heard_at: Mapped[int] = mapped_column(BigInteger)
    """Seconds since the epoch."""


class LeaseRow(Base):
    """What one holder owns of one account."""

    __tablename__ = "budget_leases"
    __table_args__ = (Index("ix_budget_leases_ends", "ends"),)

    account: Mapped[str] = mapped_column(Text, primary_key=True)
    holder: Mapped[str] = mapped_column(String(256), primary_key=True)
    budget: Mapped[str] = mapped_column(String(64))
    metric: Mapped[str] = mapped_column(String(16))
    window: Mapped[str] = mapped_column(String(16))
    limit: Mapped[int] = mapped_column(BigInteger)
    ends: Mapped[int | None] = mapped_column(BigInteger)
    granted: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)


class UsageRow(Base):
    """What one holder counted in one hour."""

    __tablename__ = "usage"
    __table_args__ = (Index("ix_usage_hour", "hour"),)

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(256), primary_key=True)
    route: Mapped[str] = mapped_column(String(320), primary_key=True)
    target: Mapped[str] = mapped_column(String(512), primary_key=True)
    intent: Mapped[str] = mapped_column(String(256), primary_key=True)
    holder: Mapped[str] = mapped_column(String(256), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    refused: Mapped[int] = mapped_column(BigInteger)
    cache_hits: Mapped[int] = mapped_column(BigInteger)
    attempts: Mapped[int] = mapped_column(BigInteger)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    nano_usd: Mapped[int] = mapped_column(BigInteger)
    target_us: Mapped[int] = mapped_column(BigInteger)
    routing_us: Mapped[int] = mapped_column(BigInteger)
    governance_us: Mapped[int] = mapped_column(BigInteger)
    context_stitching_us: Mapped[int] = mapped_column(BigInteger)
    monitoring_us: Mapped[int] = mapped_column(BigInteger)
    policy_us: Mapped[int] = mapped_column(BigInteger)
    data_prep_us: Mapped[int] = mapped_column(BigInteger)
    audit_us: Mapped[int] = mapped_column(BigInteger)


class SignalCount(Base):
    """How many requests of one hour fell into one bucket of what drifts, as one holder counted."""

    __tablename__ = "signals"

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    signal: Mapped[str] = mapped_column(String(32), primary_key=True)
    bucket: Mapped[str] = mapped_column(String(256), primary_key=True)
    holder: Mapped[str] = mapped_column(String(256), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    examples: Mapped[str] = mapped_column(Text)
    """Ids of decisions, a JSON list."""
