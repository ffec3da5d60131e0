"""What all routers counted, added up since the registry began; routers may come, go and restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from adapters.traffic import VersionTraffic

NOTHING = VersionTraffic()
MOST_ROUTERS: Final = 256
"""Routers whose last counts are remembered; then those that were silent longest are not."""


class Evidence:
    """Cumulative counts by engine name."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, VersionTraffic]] = {}
        self._total: dict[str, VersionTraffic] = {}

    def feed(
        self, by_router: Mapping[str, Mapping[str, VersionTraffic]]
    ) -> dict[str, VersionTraffic]:
        """Take every live router's counts. Returns what is new since the last time, by name.

        A router that was silent for a while, and one that was just heard of again, counts from
        where it was: its past is not news.
        """
        deltas: dict[str, VersionTraffic] = {}
        for router, counts in by_router.items():
            before = self._seen.pop(router, {})
            for name, count in counts.items():
                delta = count.since(before.get(name, NOTHING))
                if delta != NOTHING:
                    deltas[name] = deltas.get(name, NOTHING).plus(delta)
            # One that is back says nothing before it was asked.
            self._seen[router] = dict(counts) or before
        while len(self._seen) > max(MOST_ROUTERS, len(by_router)):
            del self._seen[next(iter(self._seen))]
        for name, delta in deltas.items():
            self._total[name] = self.of(name).plus(delta)
        return deltas

    def of(self, name: str) -> VersionTraffic:
        """Everything counted for a name so far."""
        return self._total.get(name, NOTHING)

    def keep(self, names: Iterable[str]) -> None:
        """Forget every other name (law 9)."""
        kept = set(names)
        self._total = {name: count for name, count in self._total.items() if name in kept}
