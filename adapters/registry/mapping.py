"""From rows to records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from adapters.evaluation import GateResult
from adapters.registry import models, records
from adapters.registry.lifecycle import State


def version(row: models.VersionRow) -> records.VersionRecord:
    """A version."""
    return records.VersionRecord(
        alias=row.alias,
        digest=row.digest,
        name=row.name,
        state=State(row.state),
        base=row.base,
        plan=records.Plan(cast(records.Stage, row.plan), row.plan_percent),
        manifest=row.manifest,
        checks=tuple(row.checks),
        author=row.author,
        error=row.error,
        effect=row.effect,
        load_seconds=row.load_seconds,
        left_epoch=row.left_epoch,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


BRIEF = (
    models.VersionRow.alias,
    models.VersionRow.digest,
    models.VersionRow.name,
    models.VersionRow.state,
    models.VersionRow.base,
    models.VersionRow.effect,
    models.VersionRow.load_seconds,
    models.VersionRow.left_epoch,
    models.VersionRow.gate,
)
"""Columns of a ``VersionBrief``, in order."""


def brief(row: Sequence[Any]) -> records.VersionBrief:
    """A version without its documents, from a row of ``BRIEF``."""
    alias, digest, name, state, base, effect, load_seconds, left_epoch, gate = row
    return records.VersionBrief(
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


def alias(row: models.AliasRow) -> records.AliasRecord:
    """An alias."""
    return records.AliasRecord(
        name=row.name,
        live=row.live,
        previous=row.previous,
        rolled_back=row.rolled_back,
        epoch=row.epoch,
        intents=tuple(row.intents),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def candidate(row: models.CandidateRow) -> records.CandidateRecord:
    """A candidate."""
    return records.CandidateRecord(
        alias=row.alias,
        digest=row.digest,
        stage=cast(records.Stage, row.stage),
        percent=row.percent,
        epoch=row.epoch,
    )


def history(row: models.HistoryRow) -> records.HistoryRecord:
    """One line of history."""
    return records.HistoryRecord(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        alias=row.alias,
        digest=row.digest,
        before=row.before,
        after=row.after,
        epoch=row.epoch,
        detail=row.detail,
    )


def sighting(row: models.SightingRow) -> records.Sighting:
    """An entry of the watched store."""
    return records.Sighting(
        row.source, row.fingerprint, row.digest, row.outcome, row.detail, row.base
    )
