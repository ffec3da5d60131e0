"""What is known about each target and each replica: breaker, retry budget, pause, latency."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from router.config.delivery import DeliveryConfig, RetryConfig
from router.send.breaker import Breaker

_MAX_KNOWN = 2048
_MAX_PAUSE_S = 300.0
_TIMES_KEPT = 128
_REFRESH = 16
"""Calls after which a percentile is taken anew."""


class RetryBudget:
    """A token bucket per target: each request saves up a part of a retry, time saves up a few more.

    Args:
        config: ratio, rate and burst.
        now: seconds on the clock that the other methods are called with.
    """

    __slots__ = ("_at", "_burst", "_per_s", "_ratio", "tokens")

    def __init__(self, config: RetryConfig, now: float) -> None:
        self._ratio = config.budget_ratio
        self._per_s = config.budget_per_s
        self._burst = config.budget_burst
        self._at = now
        self.tokens = config.budget_burst

    def deposit(self) -> None:
        """A request went to the target in its own right."""
        tokens = self.tokens + self._ratio
        self.tokens = min(self._burst, tokens)

    def withdraw(self, now: float) -> bool:
        """Whether one more retry or hedge may go to the target; if so, it is taken off."""
        saved = (now - self._at) * self._per_s
        self._at = now
        self.tokens = min(self._burst, self.tokens + saved)
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Latencies:
    """The newest times to first content of one target, seconds; bounded (law 9)."""

    __slots__ = ("_next", "_seen", "_times", "_usual", "_valid")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._next = 0
        self._seen = 0
        self._usual = 0.0
        self._valid = False

    def add(self, seconds: float) -> None:
        """One more call was answered."""
        if len(self._times) < _TIMES_KEPT:
            self._times.append(seconds)
        else:
            self._times[self._next] = seconds
            self._next = (self._next + 1) % _TIMES_KEPT
        self._seen += 1
        if self._seen % _REFRESH == 0:
            self._valid = False

    def percentile(self, share: float, min_samples: int) -> float | None:
        """The time within which that share was answered; None while too little is known.

        Nearest rank; taken anew every sixteenth call.
        """
        count = len(self._times)
        if count < min_samples:
            return None
        if not self._valid:
            self._usual = sorted(self._times)[min(count - 1, int(share * count))]
            self._valid = True
        return self._usual


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

    def __init__(
        self,
        config: DeliveryConfig,
        rng: random.Random | None = None,
        remembered: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._config = config
        self._remembered = remembered
        self.rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._known: dict[str, Health] = {}

    def of(self, name: str, now: float) -> Health:
        """The health of a target or replica; a new one is well."""
        found = self._known.get(name)
        if found is None and not self._remembered(name):
            return Health(self._config, now, self.rng)  # of a version that was retired meanwhile
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
