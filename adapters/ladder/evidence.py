"""What all routers counted, added up since the registry began; routers may come, go and restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.traffic import VersionTraffic

NOTHING = VersionTraffic()


class Evidence:
    """Cumulative counts by engine name."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, VersionTraffic]] = {}
        self._total: dict[str, VersionTraffic] = {}

    def feed(
        self, by_router: Mapping[str, Mapping[str, VersionTraffic]]
    ) -> dict[str, VersionTraffic]:
        """Take every live router's counts. Returns what is new since the last time, by name."""
        deltas: dict[str, VersionTraffic] = {}
        for router, counts in by_router.items():
            before = self._seen.get(router, {})
            for name, count in counts.items():
                delta = count.since(before.get(name, NOTHING))
                if delta != NOTHING:
                    deltas[name] = deltas.get(name, NOTHING).plus(delta)
        self._seen = {router: dict(counts) for router, counts in by_router.items()}
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
