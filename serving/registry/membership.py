"""Who is alive: engines and routers by their last report. In memory; a restart refills it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from adapters.aliases import Peer, Replica
from adapters.format.base_model import BaseFacts
from serving.internal.reports import EngineReport, RouterReport

TTL_S = 6.0
"""A process that has not reported for so long is gone."""
GRACE_S = 20.0
"""After so long a restarted registry no longer waits for engines that only routers know."""
TICK_S = 1.0
"""Between two looks at who is silent."""

_Report = TypeVar("_Report", EngineReport, RouterReport)


@dataclass
class _Seen(Generic[_Report]):
    report: _Report
    at: float


class Membership:
    """The live processes. Not thread-safe: it belongs to the registry's event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._engines: dict[str, _Seen[EngineReport]] = {}
        self._routers: dict[str, _Seen[RouterReport]] = {}
        self._ready: set[str] = set()
        # Remembered: its name stays one when the last engine was given back.
        self._base: BaseFacts | None = None
        self._awaited: set[str] = set()
        self._grace_ends = clock() + GRACE_S
        self._looked_at = clock()

    @property
    def settled(self) -> bool:
        """Whether every engine that a router still uses has been heard.

        A registry that was just restarted knows nobody; a table of its own would take replicas
        from the routers that are alive.
        """
        return not self._awaited or self._clock() >= self._grace_ends

    def engine_reported(self, report: EngineReport) -> bool:
        """Take a report. Returns True when it changes what routers should see."""
        identity = report.peer.id
        before = self._engines.get(identity)
        self._awaited.discard(identity)
        if report.draining:
            self._engines.pop(identity, None)
            self._ready.discard(identity)
            return before is not None
        if before is not None and report.answer < before.report.answer:
            # It was on its way while the engine told more.
            later = {"resident": before.report.resident, "answer": before.report.answer}
            report = report.model_copy(update=later)
        self._engines[identity] = _Seen(report, self._clock())
        self._base = self.engines()[0].base
        if report.ready:
            # The registry was restarted: the replica has converged under its predecessor.
            self._ready.add(identity)
        return before is None or before.report.resident != report.resident

    def router_reported(self, report: RouterReport) -> bool:
        """Take a report. Returns True when the router is new."""
        known = report.peer.id in self._routers
        if not known and self._clock() < self._grace_ends:
            self._awaited |= report.knows - self._engines.keys()
        self._routers[report.peer.id] = _Seen(report, self._clock())
        return not known

    def expire(self) -> bool:
        """Forget who has been silent for ``TTL_S``. Returns True when an engine or router left."""
        now = self._clock()
        # Who looks late was itself kept from hearing: that time does not count as silence.
        late, self._looked_at = max(0.0, now - self._looked_at - 2 * TICK_S), now
        for engine in self._engines.values():
            engine.at = min(now, engine.at + late)
        for router in self._routers.values():
            router.at = min(now, router.at + late)
        oldest = now - TTL_S
        gone_engines = [i for i, seen in self._engines.items() if seen.at < oldest]
        gone_routers = [i for i, seen in self._routers.items() if seen.at < oldest]
        for identity in gone_engines:
            del self._engines[identity]
            self._ready.discard(identity)
        for identity in gone_routers:
            del self._routers[identity]
        return bool(gone_engines or gone_routers)

    def base(self) -> BaseFacts | None:
        """The base that the engines serve, or served last; None until the first reported."""
        return self._base

    def set_ready(self, identity: str, ready: bool) -> bool:
        """Advertise an engine, or take it out. Returns True when that changed."""
        if ready == (identity in self._ready) or identity not in self._engines:
            return False
        (self._ready.add if ready else self._ready.discard)(identity)
        return True

    def is_ready(self, identity: str) -> bool:
        """Whether the engine is advertised."""
        return identity in self._ready

    def set_resident(self, identity: str, resident: frozenset[str], answer: int) -> None:
        """Record what an engine said that it holds; ``answer`` numbers its words."""
        seen = self._engines.get(identity)
        if seen is not None and answer >= seen.report.answer:
            seen.report = seen.report.model_copy(update={"resident": resident, "answer": answer})

    def engines(self) -> tuple[EngineReport, ...]:
        """Every live engine, ready or converging, oldest identity first."""
        # In one step: metrics are read in a thread.
        return tuple(seen.report for _, seen in sorted(self._engines.items()))

    def engine(self, identity: str) -> EngineReport | None:
        """One live engine."""
        seen = self._engines.get(identity)
        return seen.report if seen else None

    def routers(self) -> tuple[Peer, ...]:
        """Every live router."""
        return tuple(self._routers[i].report.peer for i in sorted(self._routers))

    def replicas(self) -> tuple[Replica, ...]:
        """The live engines as routers see them."""
        return tuple(
            Replica(
                id=report.peer.id,
                url=report.peer.url,
                secret=report.peer.secret,
                ready=report.peer.id in self._ready,
                resident=report.resident,
            )
            for report in self.engines()
        )
