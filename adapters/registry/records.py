"""What the registry hands out: frozen values, detached from any session."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from adapters.evaluation import GateResult
from adapters.registry.lifecycle import State

Stage = Literal["live", "canary", "shadow"]
STAGES: tuple[Stage, ...] = ("live", "canary", "shadow")


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a publish is heading. ``percent`` (0 to 100) matters to canary and shadow only."""

    stage: Stage = "live"
    percent: float = 0.0


@dataclass(frozen=True, slots=True)
class VersionRecord:
    """One version as the registry knows it."""

    alias: str
    digest: str
    name: str
    """Engine name, ``alias@digest12``."""
    state: State
    base: str
    """Digest of the base model it was checked against; empty before preflight."""
    plan: Plan
    manifest: dict[str, Any] = field(hash=False)
    checks: tuple[dict[str, Any], ...] = field(hash=False)
    author: str
    error: str
    effect: float | None
    """Largest log-probability difference from the base, in nats."""
    load_seconds: float | None
    left_epoch: int
    """The epoch in which it last stopped being live or callable; 0 if it never was."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class VersionBrief:
    """What tables, residency and metrics need of a version: everything but its documents."""

    alias: str
    digest: str
    name: str
    """Engine name, ``alias@digest12``."""
    state: State
    base: str
    """Digest of the base model it was checked against; empty before preflight."""
    effect: float | None
    load_seconds: float | None
    left_epoch: int
    gate: GateResult | None = field(default=None, hash=False)
    """What its manifest tells of a gate."""


@dataclass(frozen=True, slots=True)
class AliasRecord:
    """One alias and what it points at (full digests)."""

    name: str
    live: str | None
    previous: str | None
    rolled_back: bool
    """``previous`` was left by a rollback: never an answer in the live version's place."""
    epoch: int
    intents: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """A version beside the live one, with its share of the traffic (0 to 100)."""

    alias: str
    digest: str
    stage: Stage
    percent: float
    epoch: int


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One line of an alias's history."""

    id: int
    at: datetime
    actor: str
    action: str
    alias: str
    digest: str | None
    before: str | None
    after: str | None
    epoch: int
    detail: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """What became of one entry of the watched store."""

    source: str
    fingerprint: str
    digest: str | None
    outcome: str
    detail: str = ""
    base: str = ""
    """Digest of the base that was served then; empty when it is not known."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a routing table or a reconcile pass needs, read in one transaction."""

    epoch: int
    aliases: tuple[AliasRecord, ...]
    versions: tuple[VersionBrief, ...]
    candidates: tuple[CandidateRecord, ...]
    writer: int = 0
    """Who had claimed the registry at that moment."""
    base_id: str = ""
    """Name of the base that was served last; empty before the first engine was up."""
    retired: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    """By alias, digests that were callable once and are no longer; the newest few, newest first."""
    policy: str = ""
    """Version of the rules that hold; empty without any."""
    shadow_policy: str = ""
    """Version of the rules in the shadow."""

    def version(self, alias: str, digest: str) -> VersionBrief | None:
        """The version with this full digest, if it is there."""
        for version in self.versions:
            if version.alias == alias and version.digest == digest:
                return version
        return None
