"""What is known of one cluster: exchanges that are about the same, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from adapters.errors import AdapterError, Conflict


class ClusterState(StrEnum):
    """Whether somebody decided on it."""

    OPEN = "open"
    INTENT = "intent"
    """Its exchanges have an intent of their own now; new ones like them get it too."""
    DISMISSED = "dismissed"
    """Nobody wants to see it; what comes like it stays with it."""
    MERGED = "merged"
    """It is a part of another one."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster as it is now. No number covers exchanges that are not kept any more."""

    id: str
    """``clu_`` and hexadecimal digits; the same for as long as it is there."""
    state: ClusterState
    name: str
    """The example that is most like all others, shortened."""
    examples: tuple[str, ...]
    volume: int
    """How often something of it was asked."""
    cost_usd: float
    """Of all its answers."""
    trend: float
    """This week against the week before: 1.0 is twice as much, -0.5 half."""
    days: Mapping[str, int]
    """Volume by day (UTC), of the last two weeks, the oldest first."""
    created_at: float
    intent: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """One change of a cluster, and who decided it."""

    at: float
    actor: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class Made:
    """An intent that was made of clusters."""

    name: str
    alias: str | None
    examples: tuple[str, ...]


class UnknownCluster(AdapterError):
    """There is no such cluster (any more)."""

    code = "cluster-not-found"
    remedy = "List them: `graftwork clusters list`."


class ClusterTaken(Conflict):
    """Something else was decided about the cluster before."""

    code = "cluster-taken"
    remedy = "Undo that first: DELETE /admin/v1/clusters/{id}/intent."
