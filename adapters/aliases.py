"""The routing table: which alias means which version, and which replica truly holds it.

The registry builds a table, the routers swap it in by one assignment. It is immutable: a request
that resolved an alias keeps the table it saw (law 1).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from adapters.evaluation import GateResult

DIGEST_PREFIX_LENGTH = 12


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


def engine_name(alias: str, digest: str) -> str:
    """The public and engine-side name of a version: ``alias@digest12``."""
    return f"{alias}@{digest[:DIGEST_PREFIX_LENGTH]}"


class CandidateVersion(_Frozen):
    """A version that is tried beside the live one."""

    digest: str
    stage: str
    """``shadow`` or ``canary``."""
    percent: float = 0.0
    """Share of the alias's traffic, 0 to 100."""


class Alias(_Frozen):
    """One name that clients use, and the versions that may answer for it."""

    name: str
    live: str | None = None
    """Full digest of the live version; None before the first commit and after a retire."""
    previous: str | None = None
    """Full digest of the version that a rollback would bring back."""
    candidates: tuple[CandidateVersion, ...] = ()
    versions: tuple[str, ...] = ()
    """Full digests of every version that may be called by its pinned name."""
    retired: tuple[str, ...] = ()
    """Full digests of versions that were callable once; the newest few. Others answer for them."""
    intents: tuple[str, ...] = ()
    """Intents that it answers: of the live version's manifest, and of the routes that it learns."""
    gates: dict[str, GateResult] = Field(default_factory=dict)
    """What a gate found about each version, by full digest, where its manifest tells."""


class Replica(_Frozen):
    """One engine replica as the registry last saw it."""

    id: str
    url: str
    secret: str = Field(repr=False)
    """Bearer token of the replica's internal HTTP surface."""
    ready: bool = True
    resident: frozenset[str] = frozenset()
    """Engine names (``alias@digest12``) that the engine truly holds."""


class Peer(_Frozen):
    """Another process of the system with an internal HTTP surface (a router, the registry)."""

    id: str
    url: str
    secret: str = Field(repr=False)


class Roles(_Frozen):
    """Which turns a model's chat template takes."""

    system: bool = True
    """It has a system message."""
    developer: bool = True
    """It tells a developer's message from the system's."""
    alternates: bool = False
    """User and assistant must speak in turns, the user first."""


class PolicyVersions(_Frozen):
    """Which rules hold: digests of their files; empty where there are none."""

    active: str = ""
    shadow: str = ""
    """Evaluated beside them, never enforced."""


class RoutingTable(_Frozen):
    """Everything that a router needs to resolve a name to a version and a place."""

    revision: int = 0
    """Grows with every change of anything in the table."""
    epoch: int = 0
    """Grows with every commit, rollback or retire of an alias; survives restarts."""
    base_id: str = ""
    max_model_len: int | None = None
    roles: Roles = Roles()
    """What the base's chat template takes."""
    aliases: dict[str, Alias] = Field(default_factory=dict)
    replicas: tuple[Replica, ...] = ()
    cold: tuple[str, ...] = ()
    """Engine names of live versions that no replica has room for now; others answer for them."""
    loading: tuple[str, ...] = ()
    """Versions on their way to their first request, as ``alias@`` and the full digest."""
    registry: Peer | None = None
    routers: tuple[Peer, ...] = ()
    policy: PolicyVersions = PolicyVersions()
    intents: str = ""
    """Digest of the intents that were made of clusters; empty where there are none."""
    difficulty: str = ""
    """Digest of the model of how hard requests are; empty where nothing was learned."""

    def is_loading(self, model: str) -> bool:
        """Whether a pin, with 12 digits or all, names a version that is on its way."""
        alias, _, digest = model.partition("@")
        return any(
            model in {full, engine_name(alias, full.partition("@")[2])}
            for full in self.loading
            if digest and full.startswith(f"{alias}@")
        )

    def without_pin(self, model: str) -> str:
        """An alias that is named with one of its versions, alone; any other name as it is.

        Providers' models may have an ``@`` in their names, too.
        """
        alias, _, digest = model.partition("@")
        return alias if digest and alias in self.aliases else model
