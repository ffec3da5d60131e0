"""Durable versions, states and aliases: one writer, append-only history."""

from adapters.registry.records import (
    STAGES,
    AliasRecord,
    CandidateRecord,
    HistoryRecord,
    Plan,
    Sighting,
    Snapshot,
    Stage,
    VersionBrief,
    VersionRecord,
)
from adapters.registry.repository import Registry

__all__ = [
    "STAGES",
    "AliasRecord",
    "CandidateRecord",
    "HistoryRecord",
    "Plan",
    "Registry",
    "Sighting",
    "Snapshot",
    "Stage",
    "VersionBrief",
    "VersionRecord",
]
