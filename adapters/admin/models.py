"""Requests and answers of the admin plane, as OpenAPI shows them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.aliases import engine_name
from adapters.errors import CheckResult
from adapters.publish.outcome import Outcome
from adapters.registry import AliasRecord, CandidateRecord, HistoryRecord, VersionRecord
from adapters.registry.lifecycle import State
from adapters.resources import ErrorAnswer
from adapters.traffic import VersionTraffic


class Answer(BaseModel):
    """Something that is answered."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Pushed(Answer):
    """Where a version stands after a push or a move."""

    alias: str
    digest: str = Field(description="SHA-256 of the canonical content, 64 hex digits")
    name: str = Field(description="the pinned name, `alias@digest12`")
    state: str
    reason: str = Field(description="why it is there, or goes no further; empty: nothing to say")
    known: bool = Field(description="the bytes were there already")
    epoch: int = Field(description="the last change that routers had to apply")
    checks: list[CheckResult]

    @classmethod
    def of(cls, outcome: Outcome) -> Pushed:
        """From what the rollout said."""
        return cls(
            alias=outcome.alias,
            digest=outcome.digest,
            name=engine_name(outcome.alias, outcome.digest),
            state=outcome.state.value,
            reason=outcome.error,
            known=outcome.known,
            epoch=outcome.epoch,
            checks=[CheckResult.model_validate(check) for check in outcome.checks],
        )


class PushRefused(ErrorAnswer):
    """A version that is not fit to serve, with every check by name."""

    alias: str
    digest: str
    state: str
    checks: list[CheckResult]


class VersionSummary(Answer):
    """One version in a list."""

    digest: str
    name: str
    state: str
    author: str
    reason: str = Field(
        default="", description="why it is there, or goes no further; empty: nothing to say"
    )
    error: str = Field(default="", description="what went wrong")
    effect: float | None = Field(
        description="largest log-probability difference from the base that the probe saw, nats"
    )
    load_seconds: float | None = Field(description="the slowest replica's load, seconds")
    created_at: datetime
    updated_at: datetime

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        """One that waits has a reason, and nothing has gone wrong with it."""
        self.reason = self.reason or self.error
        if self.state == State.RECEIVED.value:
            self.error = ""
        return self


class Traffic(Answer):
    """What the routers that are alive have counted of a version since they began."""

    requests: int = Field(description="calls that it was asked to answer")
    errors: int = Field(description="of those, how many it failed")
    shadowed: int = Field(description="calls that it answered in secret")
    agreement: float | None = Field(
        description="mean word overlap (F1) of its secret answers with the live ones; null: none"
    )

    @classmethod
    def of(cls, counts: VersionTraffic) -> Traffic:
        """From the counts."""
        mean = counts.agreement / counts.shadowed if counts.shadowed else None
        return cls(
            requests=counts.requests,
            errors=counts.errors,
            shadowed=counts.shadowed,
            agreement=mean,
        )


class Version(VersionSummary):
    """Everything about one version."""

    alias: str
    base: str = Field(description="digest of the base that it was checked against")
    in_flight: int = Field(description="requests under way on it, as routers last reported")
    traffic: Traffic
    manifest: dict[str, Any]
    checks: list[CheckResult]

    @classmethod
    def of(cls, record: VersionRecord, in_flight: int, traffic: VersionTraffic) -> Version:
        """From the registry's record."""
        counted = Traffic.of(traffic)
        return cls.model_validate({**asdict(record), "in_flight": in_flight, "traffic": counted})


class CandidateVersion(Answer):
    """A version beside the live one."""

    digest: str
    stage: str
    percent: float = Field(description="share of the alias's traffic, 0 to 100")


class HistoryLine(Answer):
    """One thing that happened to the alias."""

    at: datetime
    actor: str
    action: str
    digest: str | None
    before: str | None
    after: str | None
    epoch: int
    detail: str


class AliasSummary(Answer):
    """One adapter in the list."""

    alias: str
    live: str | None = Field(description="full digest of the live version")
    previous: str | None = Field(description="full digest that a rollback would bring back")
    intents: list[str]
    epoch: int
    updated_at: datetime
    candidates: list[CandidateVersion]
    versions: list[VersionSummary]

    @classmethod
    def of(
        cls,
        alias: AliasRecord,
        versions: list[VersionRecord],
        candidates: list[CandidateRecord],
        history: list[HistoryRecord] | None = None,
    ) -> Self:
        """From the registry's records."""
        return cls.model_validate(
            {
                **asdict(alias),
                "alias": alias.name,
                "candidates": candidates,
                "versions": versions,
                "history": history,
            }
        )


class AliasDetail(AliasSummary):
    """One adapter with what happened to it, oldest first."""

    history: list[HistoryLine]


class AliasList(Answer):
    """Every adapter, by name."""

    object: Literal["list"]
    data: list[AliasSummary]
    next: str | None
    epoch: int


class Retired(Answer):
    """The versions that were taken out of service."""

    alias: str
    versions: list[Pushed]


class CollectedVersion(Answer):
    """A version whose files left the store, or would."""

    name: str
    state: str
    since: datetime = Field(description="when it came to rest in that state")
    size_bytes: int


class Collected(Answer):
    """What a look for garbage found."""

    dry_run: bool
    size_bytes: int
    versions: list[CollectedVersion]


class ImportRequest(_Request):
    """Where the server itself finds the adapter."""

    uri: str = Field(min_length=1, max_length=2048)


class PromoteRequest(_Request):
    """Which version."""

    digest: str = Field(min_length=12, max_length=200, description="full, or its first 12 digits")


class ShareRequest(PromoteRequest):
    """Which version, and how much of the alias's traffic."""

    percent: float = Field(gt=0, le=100)


class RollbackRequest(_Request):
    """Nothing, or why the version that is live must never come back, and which one that is."""

    quarantine: str | None = Field(default=None, max_length=500)
    leaving: str | None = Field(
        default=None,
        max_length=64,
        description="the digest of the live version; 409 where another one is live by now",
    )


class CollectRequest(_Request):
    """Whether to look only."""

    dry_run: bool = False


class RetireRequest(_Request):
    """Which version; without one, all of the alias's."""

    digest: str | None = Field(default=None, min_length=12, max_length=200)
