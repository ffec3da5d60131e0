"""The routing table that this process applies, and what is under way on it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from adapters.aliases import Replica, RoutingTable, engine_name
from router.replicas.fair import FairQueues
from router.replicas.rendezvous import weight
from router.request import Option

_SUSPECT_S = 2.0
_BALANCE = 1.25
_SPARE = 4
"""A session leaves its replica when that has this many requests more than 1.25 times the mean."""


class TableHolder:
    """Swaps tables by one assignment; counts what runs on which version and replica.

    ``on_gone`` hears the engine name of each version that a new table no longer has.
    """

    def __init__(self, queues: FairQueues, on_gone: Callable[[str], None] = lambda _: None) -> None:
        self.queues = queues
        self._on_gone = on_gone
        self.current = RoutingTable()
        self.on_table: Callable[[RoutingTable], None] = lambda _: None
        """Hears each new table."""
        self._names: frozenset[str] = frozenset()
        self._pins: Counter[str] = Counter()
        self._suspects: dict[str, float] = {}

    def apply(self, table: RoutingTable) -> bool:
        """Use a newer table from now on; an older one is ignored. Returns whether it was taken."""
        if table.revision <= self.current.revision and self.current.revision > 0:
            return False
        gone, self._names = self._names, _names(table)
        self.current = table
        for name in gone - self._names:
            self._on_gone(name)
        alive = {replica.id for replica in table.replicas}
        self._suspects = {i: until for i, until in self._suspects.items() if i in alive}
        self.queues.keep(alive)
        self.on_table(table)
        return True

    def knows(self, target: str) -> bool:
        """Whether a target may be remembered: a version that left the table is forgotten for good.

        A request that began before may still end, or be judged, long after.
        """
        kind, _, name = target.partition(":")
        return kind != "adapter" or name in self._names or not self.current.revision

    @contextmanager
    def pinned(self, options: Iterable[Option]) -> Iterator[None]:
        """Keep the options' versions loaded until the request is over: a drain waits for it."""
        names = [option.engine_name for option in options if option.engine_name is not None]
        self._pins.update(names)
        try:
            yield
        finally:
            for name in names:
                self._pins[name] -= 1
                if self._pins[name] <= 0:
                    del self._pins[name]

    def suspect(self, replica: Replica) -> None:
        """A replica just failed: prefer others for a moment."""
        self._suspects[replica.id] = time.monotonic() + _SUSPECT_S

    def places(self, option: Option) -> list[Replica]:
        """Ready replicas that truly hold the option now, least loaded first, suspects last.

        A session's own replica comes first, where its prefix is cached, unless that is much busier
        than the others (rendezvous hashing with bounded loads; Mirrokni et al. 2018).
        """
        name, now, table = option.engine_name, time.monotonic(), self.current
        held = [
            replica
            for replica in table.replicas
            if replica.ready and (name == table.base_id or name in replica.resident)
        ]
        if len(held) > 1:
            held.sort(key=lambda r: (self._suspects.get(r.id, 0.0) > now, self.queues.depth(r.id)))
            if option.affinity is not None:
                self._favour(held, option.affinity, now)
        return held

    def _favour(self, held: list[Replica], session: str, now: float) -> None:
        """Put the session's replica first, or the next in its order that has room."""
        mean = sum(self.queues.depth(replica.id) for replica in held) / len(held)
        room = _SPARE + _BALANCE * mean
        for replica in sorted(held, key=lambda r: weight(session, r.id), reverse=True):
            if self._suspects.get(replica.id, 0.0) <= now and self.queues.depth(replica.id) < room:
                held.remove(replica)
                held.insert(0, replica)
                return

    def missing(self) -> list[str]:
        """What keeps the system from being ready: the base, or live versions held nowhere.

        What no replica has room for is cold, not missing.
        """
        table = self.current
        ready = [replica for replica in table.replicas if replica.ready]
        if not ready:
            return ["base"]
        held = frozenset[str]().union(*(replica.resident for replica in ready))
        live = (engine_name(a.name, a.live) for a in table.aliases.values() if a.live is not None)
        return [name for name in live if name not in held and name not in table.cold]

    def in_flight(self) -> dict[str, int]:
        """Requests under way by engine name."""
        return dict(self._pins)


def _names(table: RoutingTable) -> frozenset[str]:
    aliases = table.aliases.values()
    return frozenset(engine_name(a.name, digest) for a in aliases for digest in a.versions)
