"""The tables of datasets: what is frozen, whose data is in it, and what is held out for ever."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Double, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from adapters.dataset.frozen import Dataset
from adapters.flywheel.models import Base


class DatasetRow(Base):
    """One dataset, erased ones included."""

    __tablename__ = "datasets"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    names: Mapped[list[str]] = mapped_column(JSON)
    """Each name it was frozen under, the newest last."""
    created_at: Mapped[float] = mapped_column(Double)
    counts: Mapped[dict[str, int]] = mapped_column(JSON)
    splits: Mapped[dict[str, int]] = mapped_column(JSON)
    about: Mapped[dict[str, Any]] = mapped_column(JSON)
    files: Mapped[dict[str, str]] = mapped_column(JSON)
    """SHA-256 of each file."""
    erased: Mapped[bool] = mapped_column(Boolean)
    rebuilt_as: Mapped[str | None] = mapped_column(String(64))
    rebuilt_from: Mapped[str | None] = mapped_column(String(64))

    def shown(self) -> Dataset:
        """The dataset as everyone else sees it."""
        return Dataset(
            digest=self.digest,
            name=self.names[-1],
            created_at=self.created_at,
            counts=dict(self.counts),
            splits=dict(self.splits),
            rebuilt_as=self.rebuilt_as,
            erased=self.erased,
            rebuilt_from=self.rebuilt_from,
            names=tuple(self.names),
            about=dict(self.about),
        )


class DatasetSubjectRow(Base):
    """A person whose data is in a row of a dataset."""

    __tablename__ = "dataset_subjects"
    __table_args__ = (
        Index("ix_dataset_subjects_dataset", "dataset"),
        Index("ix_dataset_subjects_row", "row"),
    )

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Keyed hash."""
    dataset: Mapped[str] = mapped_column(String(64), primary_key=True)
    row: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The row's digest."""


class HeldOutRow(Base):
    """An exchange that an intent's versions are tested on and never trained on."""

    __tablename__ = "held_out"
    __table_args__ = (Index("ix_held_out_dataset", "dataset"),)

    intent: Mapped[str] = mapped_column(String(256), primary_key=True)
    exchange_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    row: Mapped[str] = mapped_column(String(64))
    """The row's digest."""
    dataset: Mapped[str] = mapped_column(String(64))
    """Which dataset's files have it."""
    since: Mapped[float] = mapped_column(Double)
    """When it was first held out."""
