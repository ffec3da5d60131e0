"""A fleet that behaves: true residency per replica, requests in flight, routers that lag, deaths.

Failures are rules: called before each call with (what, replica or None, name), a rule may raise.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.aliases import engine_name
from adapters.errors import FleetError, InUse, ReplicaGone
from adapters.fleet import AdapterFiles, Fleet, LoadResult, ProbeResult, ProbeRound
from adapters.traffic import VersionTraffic

Rule = Callable[[str, str | None, str], None]


@dataclass
class FakeEngine:
    """What one replica holds, and how much it was ever asked to do at once."""

    resident: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    loading: int = 0
    most_loading: int = 0


class FakeFleet(Fleet):
    """Engines by replica id. ``calls`` is the diary of every call, in order."""

    def __init__(self, *replicas: str, load_s: float = 0.0) -> None:
        self.engines = {replica: FakeEngine() for replica in replicas}
        self.requests: Counter[str] = Counter()
        """Under way by engine name; wherever there is no count of its own, on every replica."""
        self.requests_on: dict[str, Counter[str]] = {}
        """By replica, then by engine name, for the replicas that are named here."""
        self.traffic: dict[str, VersionTraffic] = {}
        self.withheld: set[tuple[str, str]] = set()
        self.rules: list[Rule] = []
        self.calls: list[tuple[str, str | None, str]] = []
        self.delta = 0.5
        self.logprobs: Sequence[Sequence[float]] = ()
        self.router_epoch: int | None = None
        self.unloaded_in_use: list[str] = []
        self.load_s = load_s

    # What tests do to it

    def die(self, replica: str) -> None:
        """Kill a replica; it forgets what it held."""
        self.engines.pop(replica, None)

    def join(self, replica: str) -> None:
        """Start an empty replica."""
        self.engines[replica] = FakeEngine()

    def holding(self, replica: str) -> set[str]:
        """Engine names on a replica."""
        return self.engines[replica].resident

    def count(self, what: str) -> int:
        """How often a method was called."""
        return sum(call[0] == what for call in self.calls)

    # The Protocol

    def replica_ids(self) -> Sequence[str]:
        """Replicas that are alive."""
        return list(self.engines)

    def busy(self, replica_id: str) -> int:
        """What is counted on the replica alone."""
        return self.requests_on.get(replica_id, Counter()).total()

    async def load(self, replica_id: str, files: AdapterFiles) -> LoadResult:
        """Hold the version after ``load_s`` seconds."""
        name = engine_name(files.alias, files.digest)
        engine = self._enter("load", replica_id, name)
        if not files.path.is_dir():
            raise FleetError(f"{files.path} is not a directory")
        if name in engine.resident:
            return LoadResult(replica_id, 0.0, already_resident=True)
        engine.loading += 1
        engine.most_loading = max(engine.most_loading, engine.loading)
        await asyncio.sleep(self.load_s)
        engine.loading -= 1
        self._enter("loaded", replica_id, name).resident.add(name)
        return LoadResult(replica_id, self.load_s)

    async def unload(self, replica_id: str, name: str) -> None:
        """Stop holding the version, and remember if somebody was still using it."""
        engine = self._enter("unload", replica_id, name)
        await asyncio.sleep(0)
        here = self.requests_on.get(replica_id)
        if here is not None and here[name] > 0:
            raise InUse(f"a request is under way on {name}")
        if here is None and self.requests[name] > 0:
            self.unloaded_in_use.append(name)
        engine.resident.discard(name)

    async def withhold(self, replica_id: str, name: str, timeout_s: float) -> bool:
        """Taken out of the next table; applied unless ``router_epoch`` says that a router lags."""
        self.calls.append(("withhold", replica_id, name))
        self.withheld.add((replica_id, name))
        await asyncio.sleep(0)
        return self.router_epoch is None

    def restore(self, replica_id: str, name: str) -> None:
        """Back into the next table."""
        self.withheld.discard((replica_id, name))

    async def pin(self, replica_id: str, names: frozenset[str]) -> None:
        """Keep exactly these."""
        engine = self._enter("pin", replica_id, ",".join(sorted(names)))
        await asyncio.sleep(0)
        engine.pinned = set(names)

    def pinned(self, replica_id: str) -> frozenset[str]:
        """What keeps a slot, and is still held."""
        engine = self.engines.get(replica_id)
        return frozenset(engine.pinned & engine.resident if engine is not None else ())

    def held(self, replica_id: str) -> frozenset[str]:
        """What the replica holds; a dead one is nobody's home."""
        engine = self.engines.get(replica_id)
        return frozenset(engine.resident if engine is not None else ())

    async def residency(self, replica_id: str) -> frozenset[str]:
        """What the replica holds."""
        engine = self._enter("residency", replica_id, "")
        await asyncio.sleep(0)
        return frozenset(engine.resident)

    async def probe(
        self, replica_id: str, name: str, golden_prompts: Sequence[str] = ()
    ) -> ProbeResult:
        """Answer ``delta`` and ``logprobs``; only for a version that is held."""
        engine = self._enter("probe", replica_id, name)
        await asyncio.sleep(0)
        if name not in engine.resident:
            raise FleetError(f"{replica_id} does not hold {name}")
        one = ProbeRound(adapter=[[self.delta]], base=[[0.0]], golden=self.logprobs)
        return ProbeResult(replica_id, (one,))

    async def routers_applied(self, epoch: int, timeout_s: float) -> bool:
        """Yes, unless ``router_epoch`` says that a router stayed behind."""
        self.calls.append(("applied", None, str(epoch)))
        self._rule("applied", None, str(epoch))
        await asyncio.sleep(0)
        return self.router_epoch is None or self.router_epoch >= epoch

    def in_flight(self, name: str) -> int:
        """Requests under way."""
        return self.requests[name]

    def counted(self, name: str) -> VersionTraffic:
        """What tests say that routers counted."""
        return self.traffic.get(name, VersionTraffic())

    def _enter(self, what: str, replica: str, name: str) -> FakeEngine:
        self.calls.append((what, replica, name))
        self._rule(what, replica, name)
        if replica not in self.engines:
            raise ReplicaGone(f"{replica} is gone")
        return self.engines[replica]

    def _rule(self, what: str, replica: str | None, name: str) -> None:
        for rule in list(self.rules):
            rule(what, replica, name)
