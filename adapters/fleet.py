"""What the adapter path needs from above: engines that load, routers that apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from adapters.traffic import VersionTraffic


@dataclass(frozen=True)
class AdapterFiles:
    """One version's files, by content.

    ``path`` is the directory in the content-addressed store as this process sees it; ``uri`` is
    where a replica on another node fetches the same bytes.
    """

    alias: str
    digest: str
    path: Path
    uri: str


@dataclass(frozen=True)
class LoadResult:
    """A version that one replica now holds."""

    replica_id: str
    seconds: float
    already_resident: bool = False


@dataclass(frozen=True)
class ProbeResult:
    """How far a version's log probabilities are from the base's on fixed prompts (nats)."""

    replica_id: str
    max_delta: float
    logprobs: Sequence[Sequence[float]] = field(default_factory=tuple)
    """Per golden prompt, the log probability of each token after the first."""


class Fleet(Protocol):
    """The live engine replicas and routers. Every method may raise ``FleetError``."""

    def replica_ids(self) -> Sequence[str]:
        """Replicas that are alive now, ready or still converging."""
        ...

    def busy(self, replica_id: str) -> int:
        """Requests under way on a replica, as it said last."""
        ...

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """Stage the files on the replica's node and add them to its engine; idempotent."""
        ...

    async def unload(self, replica_id: str, name: str) -> None:
        """Remove an engine name from the engine and confirm that it is gone; idempotent.

        Raises ``InUse`` while a request runs on it there: the engine is the one that knows.
        """
        ...

    async def withhold(self, replica_id: str, name: str, timeout_s: float) -> bool:
        """Have routers stop choosing the replica for the name, until ``restore``.

        False when a router has not applied that in time: it may still send requests there.
        """
        ...

    def restore(self, replica_id: str, name: str) -> None:
        """Let routers choose the replica for the name again, if it holds it; idempotent."""
        ...

    async def residency(self, replica_id: str) -> frozenset[str]:
        """Engine names that the engine truly holds."""
        ...

    async def pin(self, replica_id: str, names: frozenset[str]) -> None:
        """Have exactly these, all resident, keep a slot of the replica's batch."""
        ...

    def pinned(self, replica_id: str) -> frozenset[str]:
        """Which names keep a slot there, as the replica said last."""
        ...

    def held(self, replica_id: str) -> frozenset[str]:
        """The same as the replica said last; costs nothing, and is what routers go by."""
        ...

    async def probe(
        self, replica_id: str, name: str, golden_prompts: Sequence[str] = ()
    ) -> ProbeResult:
        """Score fixed prompts with the adapter and the base, and ``golden_prompts`` with it."""
        ...

    async def routers_applied(self, epoch: int, timeout_s: float) -> bool:
        """Wait until every live router answers with a table of at least this epoch."""
        ...

    def in_flight(self, name: str) -> int:
        """Requests under way on an engine name over all live routers, as last reported."""
        ...

    def counted(self, name: str) -> VersionTraffic:
        """What live routers counted of an engine name since each began, as last reported."""
        ...
