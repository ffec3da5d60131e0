"""What is known about each target and each replica: breaker, retry budget, pause, latency."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from router.config.delivery import DeliveryConfig
from router.send.breaker import Breaker
from router.send.latency import Latencies
from router.send.retry_budget import RetryBudget

_MAX_KNOWN = 2048
_MAX_PAUSE_S = 300.0


class Health:
    """One target's, or one replica's."""

    __slots__ = ("breaker", "budget", "paused_until", "streams", "wholes")

    def __init__(self, config: DeliveryConfig, now: float, rng: random.Random) -> None:
        self.breaker = Breaker(config.breaker, rng)
        self.budget = RetryBudget(config.retry, now)
        self.paused_until = 0.0
        self.streams = Latencies()
        self.wholes = Latencies()

    def why_not(self, now: float) -> str | None:
        """What speaks against a call now, for the decision record."""
        if self.paused_until > now:
            return f"it asked for patience, {self.paused_until - now:.1f} s more"
        if self.breaker.lets_in(now):
            return None
        opens_in = self.breaker.opens_in(now)
        if opens_in:
            return f"its breaker is open for {opens_in:.1f} s"
        return "its breaker is half open and being probed"

    def pause(self, now: float, seconds: float) -> None:
        """The target asked for so much patience: nobody calls it before."""
        self.paused_until = max(self.paused_until, now + min(seconds, _MAX_PAUSE_S))


class HealthBook:
    """Everybody's health; bounded (law 9): the longest known is forgotten first.

    Targets go by their name, replicas by ``replica:<id>``: neither can be taken for the other.
    """

    def __init__(self, config: DeliveryConfig, rng: random.Random | None = None) -> None:
        self._config = config
        self.rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._known: dict[str, Health] = {}

    def of(self, name: str, now: float) -> Health:
        """The health of a target or replica; a new one is well."""
        found = self._known.get(name)
        if found is None:
            while len(self._known) >= _MAX_KNOWN:
                del self._known[next(iter(self._known))]
            found = self._known[name] = Health(self._config, now, self.rng)
        return found

    def why_not(self, target: str) -> str | None:
        """Why a target should not be asked now; None when it may."""
        found = self._known.get(target)
        return None if found is None else found.why_not(time.monotonic())

    def forget(self, name: str) -> None:
        """A target or replica that is gone."""
        self._known.pop(name, None)

    def keep_replicas(self, alive: set[str]) -> None:
        """Forget replicas that left."""
        gone = [n for n in self._known if n.startswith("replica:") and n[8:] not in alive]
        for name in gone:
            del self._known[name]

    def __iter__(self) -> Iterator[tuple[str, Health]]:
        return iter(list(self._known.items()))
