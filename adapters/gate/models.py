"""The gate's table."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from adapters.flywheel.models import Base


class GateRow(Base):
    """One report about one version."""

    __tablename__ = "gates"
    __table_args__ = (Index("ix_gates_version", "alias", "digest", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(64))
    at: Mapped[float]
    verdict: Mapped[str] = mapped_column(String(16))
    evidence: Mapped[str] = mapped_column(String(64))
    """Digest of the items, the target and the settings that it was judged by."""
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
