"""The tables. Rows stay inside this package; everyone else sees the ``records`` they make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from adapters.evaluation import GateResult
from adapters.registry.lifecycle import State
from adapters.registry.records import (
    AliasRecord,
    CandidateRecord,
    HistoryRecord,
    Plan,
    Sighting,
    Stage,
    VersionBrief,
    VersionRecord,
)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC times on every database; SQLite alone would hand back naive ones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        # SQLAlchemy names the parameters.
        return None if value is None else value.astimezone(UTC)

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy names it
    ) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """The schema; constraints are named alike on every database."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[Any]: JSON,
        float: Double,
    }


class ControlRow(Base):
    """One row: the counter of commits, which process may write, and what it served last."""

    __tablename__ = "control"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int]
    writer: Mapped[int]
    """Grows each time a process claims the registry; an older claimant may no longer write."""
    base_id: Mapped[str] = mapped_column(String(256), server_default="")
    """Name of the base that was served last; empty before the first engine was up."""


class AliasRow(Base):
    """One name that clients use."""

    __tablename__ = "aliases"

    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    live: Mapped[str | None] = mapped_column(String(64))
    previous: Mapped[str | None] = mapped_column(String(64))
    rolled_back: Mapped[bool] = mapped_column(server_default=false())
    """``previous`` was left by a rollback: a person may return to it, no request may fall to it."""
    epoch: Mapped[int]
    """The epoch of its last change; 0 until something of it could be called."""
    intents: Mapped[list[Any]]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def record(self) -> AliasRecord:
        """The alias as everyone else sees it."""
        return AliasRecord(
            name=self.name,
            live=self.live,
            previous=self.previous,
            rolled_back=self.rolled_back,
            epoch=self.epoch,
            intents=tuple(self.intents),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class VersionRow(Base):
    """One immutable adapter directory under one alias."""

    __tablename__ = "versions"
    __table_args__ = (
        UniqueConstraint("alias", "digest"),
        # The engine knows a version by this name, so two versions must never share it.
        UniqueConstraint("name"),
        Index("ix_versions_state", "state"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(String(128), ForeignKey("aliases.name"))
    digest: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(160))
    state: Mapped[str] = mapped_column(String(16))
    base: Mapped[str] = mapped_column(String(128))
    """Digest of the base model it was checked against."""
    plan: Mapped[str] = mapped_column(String(16))
    """The stage that its publish is heading for."""
    plan_percent: Mapped[float]
    manifest: Mapped[dict[str, Any]]
    gate: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    """What the manifest tells of a gate (``adapters.evaluation``), where it does."""
    checks: Mapped[list[Any]]
    author: Mapped[str] = mapped_column(String(256))
    error: Mapped[str] = mapped_column(Text)
    effect: Mapped[float | None]
    """Largest log-probability difference from the base that the probe saw, in nats."""
    load_seconds: Mapped[float | None]
    """The slowest replica's load."""
    left_epoch: Mapped[int]
    """The epoch in which it last left service, or its way there; 0 if it never did."""
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    def record(self) -> VersionRecord:
        """The version as everyone else sees it."""
        return VersionRecord(
            alias=self.alias,
            digest=self.digest,
            name=self.name,
            state=State(self.state),
            base=self.base,
            plan=Plan(cast(Stage, self.plan), self.plan_percent),
            manifest=self.manifest,
            checks=tuple(self.checks),
            author=self.author,
            error=self.error,
            effect=self.effect,
            load_seconds=self.load_seconds,
            left_epoch=self.left_epoch,
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class CandidateRow(Base):
    """A version that gets a share of the alias's traffic beside the live one."""

    __tablename__ = "candidates"
    __table_args__ = (
        ForeignKeyConstraint(["alias", "digest"], ["versions.alias", "versions.digest"]),
    )

    alias: Mapped[str] = mapped_column(String(128), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    stage: Mapped[str] = mapped_column(String(16))
    percent: Mapped[float]
    epoch: Mapped[int]

    def record(self) -> CandidateRecord:
        """The candidate as everyone else sees it."""
        return CandidateRecord(
            alias=self.alias,
            digest=self.digest,
            stage=cast(Stage, self.stage),
            percent=self.percent,
            epoch=self.epoch,
        )


class HistoryRow(Base):
    """What happened, who did it, in order. Nobody changes a row; the oldest go."""

    __tablename__ = "history"
    __table_args__ = (Index("ix_history_alias_id", "alias", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(32))
    alias: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str | None] = mapped_column(String(64))
    before: Mapped[str | None] = mapped_column(String(64))
    after: Mapped[str | None] = mapped_column(String(64))
    epoch: Mapped[int]
    detail: Mapped[str] = mapped_column(Text)

    def record(self) -> HistoryRecord:
        """The line of history as everyone else sees it."""
        return HistoryRecord(
            id=self.id,
            at=self.at,
            actor=self.actor,
            action=self.action,
            alias=self.alias,
            digest=self.digest,
            before=self.before,
            after=self.after,
            epoch=self.epoch,
            detail=self.detail,
        )


class SightingRow(Base):
    """What became of one entry of the watched store, so that content is taken at most once."""

    __tablename__ = "sightings"

    source: Mapped[str] = mapped_column(String(512), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(128))
    base: Mapped[str] = mapped_column(String(128), server_default="")
    """Digest of the base that was served when it was judged; empty when nobody wrote it down."""
    digest: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(16))
    detail: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime]

    def record(self) -> Sighting:
        """The entry of the watched store as everyone else sees it."""
        return Sighting(
            self.source, self.fingerprint, self.digest, self.outcome, self.detail, self.base
        )


BRIEF = (
    VersionRow.alias,
    VersionRow.digest,
    VersionRow.name,
    VersionRow.state,
    VersionRow.base,
    VersionRow.effect,
    VersionRow.load_seconds,
    VersionRow.left_epoch,
    VersionRow.gate,
)
"""Columns of a ``VersionBrief``, in order."""


def brief(row: Sequence[Any]) -> VersionBrief:
    """A version without its documents, from a row of ``BRIEF``."""
    alias, digest, name, state, base, effect, load_seconds, left_epoch, gate = row
    return VersionBrief(
        alias=alias,
        digest=digest,
        name=name,
        state=State(state),
        base=base,
        effect=effect,
        load_seconds=load_seconds,
        left_epoch=left_epoch,
        gate=None if gate is None else GateResult.model_validate(gate),
    )


class PolicyRow(Base):
    """One rules file, by its content."""

    __tablename__ = "policies"

    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str | None] = mapped_column(Text)
    """The file as it came; None when it is too old to be kept."""
    size: Mapped[int]
    """Bytes of the file."""
    author: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime]


class PolicyMoveRow(Base):
    """Which rules hold since when, and who decided it. Rows are only ever added."""

    __tablename__ = "policy_moves"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(16))
    active: Mapped[str | None] = mapped_column(String(64))
    shadow: Mapped[str | None] = mapped_column(String(64))
    parent: Mapped[int | None]
    """The move that a rollback goes back to."""
