"""What the adapter path needs from above: engines that load, routers that apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


Scores = Sequence[Sequence[float]]
"""Per prompt, the log probability (nats) of each token after the first."""


@dataclass(frozen=True)
class ProbeRound:
    """Fixed prompts scored with a version and with the base, each pair at the same moment."""

    adapter: Scores
    base: Scores
    golden: Scores = ()
    """The manifest's golden prompts, with the version."""
    quiet: bool = True
    """The engine did nothing else meanwhile: what it computes does not depend on a batch then."""


@dataclass(frozen=True)
class ProbeResult:
    """What one replica computed, round by round."""

    replica_id: str
    rounds: Sequence[ProbeRound]
    quiet_base: Scores | None = None
    """The base's scores when the replica last did nothing else, if it ever did."""


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
        """One round: fixed prompts with the adapter and the base, ``golden_prompts`` with it."""
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
