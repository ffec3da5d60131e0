"""Versions whose test could not be finished, each until it is made again.

A target that has fallen silent for now is no fault of the version, and no reason to hold up others:
the version stays ``gating``, out of the engines, while the alias's other publishes have their turn.
Kept in memory: the next process makes the test at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from adapters.registry import VersionRecord

PAUSES_S: Final = (60.0, 300.0, 900.0)
"""Before each further try; after the last one it has failed."""
_FORGOTTEN_S: Final = 3600.0
"""So long after its turn a version that stands still is not the same trouble any more."""


@dataclass(frozen=True, slots=True)
class _Rest:
    alias: str
    digest: str
    tries: int
    until: float


class Resting:
    """Which versions rest. ``clock``: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rests: dict[str, _Rest] = {}

    def begin(self, version: VersionRecord) -> float | None:
        """Until the next try, seconds; None when it was tried often enough."""
        now = self._clock()
        self._rests = {n: r for n, r in self._rests.items() if now < r.until + _FORGOTTEN_S}
        before = self._rests.pop(version.name, None)
        tries = 0 if before is None else before.tries
        if tries >= len(PAUSES_S):
            return None
        pause = PAUSES_S[tries]
        self._rests[version.name] = _Rest(version.alias, version.digest, tries + 1, now + pause)
        return pause

    def rests(self, name: str) -> bool:
        """Whether it is not the version's turn yet."""
        found = self._rests.get(name)
        return found is not None and self._clock() < found.until

    def end(self, name: str) -> None:
        """Its test was made, or nobody wants it any more."""
        self._rests.pop(name, None)

    def of(self, alias: str) -> list[str]:
        """Digests of the alias's versions that rest."""
        return [each.digest for each in self._rests.values() if each.alias == alias]
