"""What business rules say about one request: data that every later stage may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Review = Literal["after", "before"]
"""When a person looks at an exchange: once it was answered, or before anybody is asked."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Which targets a rule leaves; what is not given leaves all."""

    rule: str
    targets: tuple[str, ...] = ()
    """Globs over `base`, `adapter:<alias>@<digest12>` and `frontier:<provider>/<model>`."""
    regions: tuple[str, ...] = ()
    """Globs; a target that may process data elsewhere, or does not say where, is out."""
    local: bool | None = None


@dataclass(frozen=True, slots=True)
class Obligation:
    """What an answer must keep; verified before it leaves."""

    rule: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """By kind: ``docs/policy.md`` lists them."""

    def shown(self) -> dict[str, Any]:
        """As the admin plane and records have it."""
        return {"rule": self.rule, "kind": self.kind, **self.settings}


@dataclass(frozen=True, slots=True)
class Ruling:
    """What one version of the rules says about one request."""

    version: str = ""
    """Content digest of the rules file; empty where there is none."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that applied, sorted."""
    denied_by: str | None = None
    reason: str = ""
    """Of the denial, for the client."""
    requirements: tuple[Requirement, ...] = ()
    review: Review | None = None
    reviewed_for: tuple[str, ...] = ()
    """Ids of the rules that want the review."""
    instructions: tuple[tuple[str, str], ...] = ()
    """Rule and text, for the model."""
    obligations: tuple[Obligation, ...] = ()
    failed: str | None = None
    """The rule that could not be evaluated, for which it was denied."""

    @property
    def effect(self) -> str:
        """The strongest of ``deny``, ``review``, ``require``; ``allow`` when there is none."""
        if self.denied_by is not None:
            return "deny"
        if self.review is not None:
            return "review"
        return "require" if self.requirements else "allow"


NO_RULING = Ruling()
