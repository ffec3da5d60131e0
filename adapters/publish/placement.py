"""Which replicas hold an alias, and which versions deserve a place there.

An alias is on all replicas, or on k of n by rendezvous hashing. Hashing the alias and not the
version keeps a rollback on the replicas that still hold the previous version, and a replica that
comes or goes moves only its own share.

The order of versions is fed by what routers count. Recency decides (least recently used leaves
first), and each alias group keeps a floor, so that one tenant's many adapters cannot push out
another's only one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping

from adapters.traffic import VersionTraffic


def place(alias: str, replica_ids: Iterable[str], copies: int | None = None) -> tuple[str, ...]:
    """The replicas that should hold the alias, the preferred one first.

    ``copies`` None means every replica.
    """
    ranked = sorted(set(replica_ids), key=lambda replica: (_weight(alias, replica), replica))
    return tuple(ranked if copies is None else ranked[:copies])


def _weight(alias: str, replica_id: str) -> bytes:
    return hashlib.blake2b(f"{alias}\0{replica_id}".encode(), digest_size=8).digest()


NEVER = float("-inf")


class Heat:
    """When each engine name was last wanted, by a monotonic clock in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: dict[str, float] = {}

    def observe(self, deltas: Mapping[str, VersionTraffic]) -> set[str]:
        """Take what was counted since the last time. Returns names wanted while held nowhere."""
        now = self._clock()
        for name, delta in deltas.items():
            if delta.used > 0:
                self._last[name] = now
        return {name for name, delta in deltas.items() if delta.wanted > 0}

    def touch(self, name: str) -> None:
        """A version was just published: it is wanted."""
        self._last[name] = self._clock()

    def last_used(self, name: str) -> float:
        """Seconds of the clock; ``NEVER`` when nobody asked for it."""
        return self._last.get(name, NEVER)

    def idle_s(self, name: str) -> float:
        """Seconds since it was last wanted."""
        return self._clock() - self.last_used(name)

    def keep(self, names: Iterable[str]) -> None:
        """Forget every other name (law 9)."""
        kept = set(names)
        self._last = {name: at for name, at in self._last.items() if name in kept}

    def coldest(
        self, names: Iterable[str], *, group_of: Callable[[str], str], floor: int
    ) -> list[str]:
        """Names that may leave, least recently used first; each group keeps its ``floor``."""
        hottest_first = sorted(names, key=lambda name: (-self.last_used(name), name))
        kept: dict[str, int] = {}
        may_leave = []
        for name in hottest_first:
            group = group_of(name)
            kept[group] = kept.get(group, 0) + 1
            if kept[group] > floor:
                may_leave.append(name)
        return may_leave[::-1]
